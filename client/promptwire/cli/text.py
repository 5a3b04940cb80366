"""Texts of other people on a terminal: what they say is shown, what they would do to the terminal is not done."""

import json
import re
from typing import Final

# C0 and C1 controls and DEL; marks that reorder text (Trojan Source, CVE-2021-42574); separators that some programs
# take for a line's end; lone surrogates, which no encoding takes.
_DANGEROUS: Final = (
    r"\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
)
_IN_BLOCK: Final = re.compile(rf"[{_DANGEROUS}]|\r(?!\n)")
_IN_LINE: Final = re.compile(rf"[{_DANGEROUS}\t\n\r]")
_SHORT: Final = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def safe_block(text: str) -> str:
    r"""As it is, lines and tabs too, but for dangerous characters, which become visible: `\x1b`, `\u202e`."""
    return _IN_BLOCK.sub(_visible, text)


def safe_line(text: str) -> str:
    r"""The same on one line: a tab becomes `\t`, a line's end `\n`."""
    return _IN_LINE.sub(_visible, text)


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON that any terminal and any encoding of Unicode takes; what is dangerous is escaped as JSON escapes it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # Between JSON's strings there is nothing dangerous but line ends, which _IN_BLOCK leaves alone.
    return _IN_BLOCK.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or (f"\\x{ord(character):02x}" if character < "\x80" else f"\\u{ord(character):04x}")
