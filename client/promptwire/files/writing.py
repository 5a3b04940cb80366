"""YAML that reviewers read: texts of several lines as they are, line by line, and every text byte for byte.

A writer of its own, since PyYAML's gives up on literal blocks at the first space before a line's end.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

# What YAML can hold without an escape, but for a CR, which it would read as LF.
_PLAIN_LINES: Final = re.compile(
    "[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*"
)
_ESCAPED: Final = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./()+-]*(?:,? [A-Za-z0-9_./()+-]+)*\Z")
_WORDS: Final = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_BARE_MAX_CHARS: Final = 100
_INDENT: Final = "  "


def mapping(value: Mapping[str, object], depth: int = 0) -> Iterator[str]:
    """Lines of a mapping that is not empty."""
    indent = _INDENT * depth
    for key, item in value.items():
        yield from _entry(f"{indent}{_line(key)}:", item, depth)


def _sequence(values: list[object], depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    for item in values:
        if isinstance(item, Mapping) and item:
            first, *rest = mapping(item, depth + 1)
            yield f"{indent}- {first.removeprefix(indent + _INDENT)}"
            yield from rest
        else:
            yield from _entry(f"{indent}-", item, depth)


def _entry(head: str, value: object, depth: int) -> Iterator[str]:
    match value:
        case Mapping() if value:
            yield f"{head}\n"
            yield from mapping(value, depth + 1)
        case list() if value:
            yield f"{head}\n"
            yield from _sequence(value, depth + 1)
        case str():
            yield f"{head} {text(value, depth + 1)}\n"
        case _:
            yield f"{head} {json.dumps(value)}\n"


def text(value: str, depth: int) -> str:
    """A text as a value at this depth, without the end of its last line."""
    if "\n" in value or len(value) > _BARE_MAX_CHARS:
        if _PLAIN_LINES.fullmatch(value):
            return _literal(value, _INDENT * depth)
        if "\n" in value:
            return _folded_quotes(value, _INDENT * depth)
    return _line(value)


def _line(value: str) -> str:
    if len(value) <= _BARE_MAX_CHARS and _BARE.match(value) and value.lower() not in _WORDS:
        return value
    return f'"{_escaped(value)}"'


def _literal(value: str, indent: str) -> str:
    """A block that begins with its indentation, since the first line may begin with spaces."""
    body = value.rstrip("\n")
    ends = len(value) - len(body)
    if not body.strip(" \t\n"):
        return f'"{_escaped(value)}"'
    # Of the ends of lines that follow the last words, "-" keeps none, "" one and "+" all.
    chomping = "-" if ends == 0 else "" if ends == 1 else "+"
    explicit = str(len(_INDENT)) if value[0] in " \n\t" else ""
    lines = "\n".join(f"{indent}{line}" if line else "" for line in body.split("\n"))
    # The end of the last line is the caller's.
    return f"|{explicit}{chomping}\n{lines}" + "\n" * max(0, ends - 1)


def _folded_quotes(value: str, indent: str) -> str:
    r"""Each line in a line of its own that ends in its end as an escape and a `\`, which takes back YAML's own."""
    lines = value.split("\n")
    ended = [f"{_escaped(line)}\\n" for line in lines[:-1]] + ([_escaped(lines[-1])] if lines[-1] else [])
    body = "\\\n".join(f"{indent}{_guarded(line)}" for line in ended)
    return f'"\\\n{body}"'


def _guarded(line: str) -> str:
    """Spaces at a line's begin would be taken for indentation."""
    return f"\\{line}" if line.startswith(" ") else line


def _escaped(value: str) -> str:
    return _ESCAPED.sub(_escape, value.replace("\\", "\\\\").replace('"', '\\"'))


def _escape(match: re.Match[str]) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match[0])
    return short or (f"\\x{ord(match[0]):02x}" if match[0] < "\x80" else f"\\u{ord(match[0]):04x}")
