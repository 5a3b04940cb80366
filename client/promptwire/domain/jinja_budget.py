"""What rendering one Jinja2 template may cost, and what is refused before it costs anything.

A unit is a step (a loop's turn, a call, a filter), an item, or 64 characters, so that time and memory are bounded
alike, and the same template with the same values always comes as far.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from promptwire.domain.template import RenderingError

_Value = TypeVar("_Value")

UNITS_MAX: Final = 1_000_000
OUTPUT_MAX_CHARS: Final = 16 << 20
SECONDS_MAX: Final = 5.0
"""A second bound, for values whose own methods are slow."""
_CHARS_A_UNIT: Final = 64
_UNITS_A_LOOK: Final = 1_024
_NUMBER_MAX_BITS: Final = 10_000
_WIDTH_MAX: Final = 1_000
_WIDTHS: Final = {"center": (0, "width"), "indent": (0, "width"), "tojson": (0, "indent"), "round": (0, "precision")}


class BudgetError(RenderingError):
    """Rendering would take too much."""


class Budget:
    """Of one rendering, in one thread."""

    RANGE_MAX: Final = 100_000

    def __init__(self, units: int = UNITS_MAX) -> None:
        self._left = units
        self._look_at = units - _UNITS_A_LOOK
        self._deadline = time.monotonic() + SECONDS_MAX

    def spend(self, units: int) -> None:
        """Raises BudgetError."""
        self._left -= units
        if self._left < self._look_at:
            if self._left < 0:
                raise BudgetError(f"takes more than {UNITS_MAX:,} steps; it may loop too often, or grow too large")
            if time.monotonic() > self._deadline:
                raise BudgetError(f"takes longer than {SECONDS_MAX:g} s")
            self._look_at = self._left - _UNITS_A_LOOK

    def weighed(self, value: _Value) -> _Value:
        """The value, paid for with all that it holds, as often as it holds it."""
        stack: list[Any] = [value]
        while stack:
            one = stack.pop()
            if isinstance(one, str | bytes):
                self.spend(1 + len(one) // _CHARS_A_UNIT)
            elif isinstance(one, dict):
                self.spend(1 + len(one))
                stack += (*one.keys(), *one.values())
            elif isinstance(one, list | tuple | set | frozenset):
                self.spend(1 + len(one))
                stack += one
            elif isinstance(one, int):
                self.spend(1 + one.bit_length() // _CHARS_A_UNIT)
        return value

    def joined(self, values: Iterable[object], separator: object = "") -> str:
        """Their texts, joined, once that is paid for."""
        between = str(separator)
        texts = []
        for value in values:
            self.weighed(value)
            text = str(value)
            self.spend(1 + (len(text) + len(between)) // _CHARS_A_UNIT)
            texts.append(text)
        return between.join(texts)

    def within(self, pieces: Iterable[str]) -> Iterator[str]:
        """Pieces of the output, until there are too many."""
        left = OUTPUT_MAX_CHARS
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise BudgetError(f"makes more than {OUTPUT_MAX_CHARS:,} characters")
            yield piece

    def check_operation(self, operator: str, left: object, right: object) -> None:
        """Refuses what would be large before it is made."""
        if operator == "%" and isinstance(left, str | bytes):
            raise BudgetError("text % values is not taken; use ~ to join texts")
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(one, str | bytes | list | tuple) and isinstance(times, int):
                    self.spend(1 + len(one) * max(times, 0) // (1 if isinstance(one, list | tuple) else _CHARS_A_UNIT))
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _NUMBER_MAX_BITS:
                raise BudgetError(f"makes a number of over {_NUMBER_MAX_BITS:,} bits")

    def check_filter(self, name: str, value: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The same, of filters that take a width or a text to put in."""
        if name in _WIDTHS:
            index, key = _WIDTHS[name]
            width = args[index] if len(args) > index else kwargs.get(key, 0)
            if isinstance(width, int) and width > _WIDTH_MAX:
                raise BudgetError(f"{name}: {key} must be at most {_WIDTH_MAX:,}; got {width:,}")
        texts = [*args, *kwargs.values()]
        if name == "replace" and len(args) >= 2 and not kwargs:
            found = str(value).count(str(args[0]))
            self.spend(1 + found * len(str(args[1])) // _CHARS_A_UNIT)
        elif name in ("indent", "wordwrap", "truncate", "replace") and any(
            isinstance(text, str) and len(text) > _WIDTH_MAX for text in texts
        ):
            raise BudgetError(f"{name} takes texts of at most {_WIDTH_MAX:,} characters")
        if name in ("batch", "slice") and texts and isinstance(texts[0], int):
            self.spend(max(texts[0], 0))
        if name == "indent" and isinstance(value, str):
            width = next(iter(texts), 4)
            self.spend(value.count("\n") * (len(width) if isinstance(width, str) else width) // _CHARS_A_UNIT)
        if name == "sum" and (len(args) > 1 or "start" in kwargs):
            raise BudgetError("sum takes no start; it adds numbers up")
        if name in ("string", "tojson", "urlencode"):
            self.weighed(value)
