"""JSON that every parser reads alike: I-JSON (RFC 7493), and bounded.

A value that one parser refuses or reads as another value could be stored and not be read back. So a number must be
finite, a key unique, a text free of half surrogate pairs; an integer is kept exact, and therefore must fit 64 bits.
Sizes are checked on the text, before anything is built of it.
"""

import json
import math
import re
from typing import Any, Final

DEPTH_MAX: Final = 64
VALUES_MAX: Final = 20_000
"""Maximum number of values in a text, inner ones included, an empty list or object counted twice."""

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_INT_MAX_DIGITS: Final = 20

# One that does not end is a string, too: then the text is searched once, and the parser says what is wrong.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS: Final = re.compile(r"[\[\]{}]")


class InvalidJsonError(ValueError):
    """The text is not JSON of this kind; the message says why, without the text."""


def parse_json(text: str) -> Any:
    """Returns the value. Raises InvalidJsonError."""
    _check_size(text)
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_exact,
            object_pairs_hook=_unique,
        )
        if "\\u" in text:  # only an escape can bring in what UTF-8 has no bytes for
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidJsonError("an escape is half of a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        raise InvalidJsonError(str(error)) from None
    return value


def compact_json(value: object, *, sort_keys: bool = False) -> str:
    """Writes a value in the form in which the registry keeps it: without spaces, text as it is.

    Writing what was read of it gives the same bytes. Raises TypeError, ValueError, RecursionError.
    """
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check_size(text: str) -> None:
    # A value is one string at most, and a key beside it.
    outside, strings = _STRING.subn("", text, count=2 * VALUES_MAX + 1)
    # Each value but the first follows a comma or the opening of a list or an object.
    values = 1 + outside.count(",") + outside.count("[") + outside.count("{")
    if strings > 2 * VALUES_MAX or values > VALUES_MAX:
        raise InvalidJsonError(f"it has over {VALUES_MAX:,} values")
    depth = 0
    for bracket in _BRACKETS.findall(outside):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise InvalidJsonError(f"it is nested over {DEPTH_MAX} deep")


def _refuse_constant(name: str) -> None:
    raise InvalidJsonError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(value := float(text)):
        raise InvalidJsonError(f"a number is too large for a 64-bit float: {_shown(text)}")
    return value


def _exact(text: str) -> int:
    if len(text) <= _INT_MAX_DIGITS and _INT_MIN <= (value := int(text)) <= _INT_MAX:
        return value
    raise InvalidJsonError(f"an integer must be from -2^63 to 2^64 - 1; got {_shown(text)}")


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}... ({len(text):,} characters)"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidJsonError(f"a key is given twice: {_shown(ascii(key))}")
        seen.add(key)
    raise AssertionError(pairs)
