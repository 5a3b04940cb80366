"""Texts of other people on a terminal: what they say is shown, what they would do to the terminal is not done.

What is shown is also all there is: characters that nobody would see become visible (see domain.hidden_text).
"""

import json
import re
from typing import Final

from promptwire.domain.hidden_text import show_hidden

_LINE_ENDS: Final = re.compile(r"[\t\n\r]")
_SHORT: Final = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def safe_block(text: str) -> str:
    r"""Returns a text with its lines and tabs, and with dangerous and hidden characters visible: `\x1b`, `\u202e`."""
    return show_hidden(text, _visible)


def safe_line(text: str) -> str:
    r"""Returns the same on one line: a tab becomes `\t`, a line's end `\n`."""
    return _LINE_ENDS.sub(lambda match: _SHORT[match[0]], show_hidden(text, _visible))


def json_text(value: object, *, indent: int | None = None) -> str:
    """Returns JSON for any terminal and any encoding of Unicode; what is dangerous or hidden is escaped as in JSON."""
    # Between JSON's strings there is nothing dangerous but line ends, which are left alone.
    return show_hidden(json.dumps(value, indent=indent, ensure_ascii=False), lambda one: json.dumps(one)[1:-1])


def _visible(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
