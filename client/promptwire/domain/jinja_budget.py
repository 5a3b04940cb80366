"""What rendering a prompt's Jinja2 may cost: every operation is paid for before it is done.

A unit is a step, an item, or 64 characters; each operation of the subset takes time and memory in proportion to its
units. The same template with the same values always comes as far.
"""

import operator
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sized, ValuesView
from typing import Any, Final, NoReturn

from promptwire.domain.attributes import NOTHING, attribute, is_closed
from promptwire.domain.template import OUTPUT_MAX_CHARS, MissingVariablesError, RenderingError

UNITS_MAX: Final = 1_000_000
CHARS_A_UNIT: Final = 64
INTEGER_MAX: Final = (1 << 63) - 1
_CONTAINERS: Final = (list, tuple, set, frozenset, KeysView, ValuesView, ItemsView)
_SCALARS: Final = (str, int, float, bool, type(None))


class BudgetError(RenderingError):
    """Rendering would take too much."""


class Missing:
    """Stands for a value that is not there, until something needs it."""

    __slots__ = ("_name", "_says")

    def __init__(self, says: str, name: str | None = None) -> None:
        self._says = says
        self._name = name

    def fail(self) -> NoReturn:
        raise RenderingError(self._says) if self._name is None else MissingVariablesError((self._name,))


class Budget:
    """One rendering of all of a prompt's texts, in one thread."""

    __slots__ = ("_left", "_room", "_units")

    def __init__(self, units: int = UNITS_MAX) -> None:
        self._units = units
        self._left = units
        self._room = OUTPUT_MAX_CHARS

    @property
    def spent(self) -> int:
        return self._units - self._left

    def spend(self, units: int) -> None:
        """Raises BudgetError."""
        self._left -= units
        if self._left < 0:
            raise BudgetError(f"takes more than {self._units:,} steps; it may loop too often, or grow too large")

    def put_out(self, text: str) -> str:
        """The text, counted as output. Raises BudgetError."""
        self._room -= len(text)
        if self._room < 0:
            raise BudgetError(f"makes more than {OUTPUT_MAX_CHARS:,} characters")
        return text

    def spend_chars(self, chars: int) -> None:
        self.spend(1 + chars // CHARS_A_UNIT)

    def weigh(self, value: object, indent: int = 0) -> int:
        """Pays for a walk through all that a value holds, as often as it holds it. Returns what that took.

        Raises MissingVariablesError and RenderingError for what is not there.
        """
        before, width, level = self._left, 0, [value]
        while level:
            inner: list[Any] = []
            for one in level:
                if isinstance(one, str | bytes):
                    self.spend(1 + (width + len(one)) // CHARS_A_UNIT)
                elif isinstance(one, Mapping):
                    self.spend(1 + width // CHARS_A_UNIT + len(one))
                    inner += (*one.keys(), *one.values())
                elif isinstance(one, _CONTAINERS):
                    self.spend(1 + width // CHARS_A_UNIT + len(one))
                    inner += one
                elif isinstance(one, Missing):
                    one.fail()
                else:
                    self.spend(1 + width // CHARS_A_UNIT)
            level, width = inner, width + indent
        return before - self._left

    def text(self, value: object) -> str:
        """A value as it is put out."""
        if isinstance(value, Iterator):
            raise RenderingError("a sequence made by a filter has no text of its own: use join or list")
        if not isinstance(value, str):
            self.weigh(value)
        text = value if value.__class__ is str else str(value)
        self.spend_chars(len(text))
        return text

    def items(self, value: Any) -> list[Any]:
        """The items of anything that has some."""
        if isinstance(value, Sized):
            self.spend(len(value))
            return list(value)  # type: ignore[call-overload,no-any-return]
        items = []
        for item in value:
            self.spend(1)
            items.append(item)
        return items

    def calculate(self, operation: Callable[..., Any], *operands: Any) -> Any:
        """Arithmetic of numbers within 64 bits; `+` also of two texts or two lists."""
        if operation is operator.add:
            left, right = operands
            if isinstance(left, str) and isinstance(right, str):
                self.spend_chars(len(left) + len(right))
                return "".join((left, right))
            if isinstance(left, list | tuple) and isinstance(right, list | tuple):
                self.spend(len(left) + len(right))
                return left + right  # type: ignore[operator]
        for one in operands:
            if not isinstance(one, int | float):
                raise RenderingError(f"{operation.__name__} takes numbers; got {type(one).__name__}")
            self.number(one)
        return self.number(operation(*operands))

    def number(self, value: Any) -> Any:
        if isinstance(value, int) and not -INTEGER_MAX <= value <= INTEGER_MAX:
            raise BudgetError("an integer has more than 64 bits")
        return value

    def compare(self, operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
        if isinstance(left, str) and isinstance(right, str):
            self.spend_chars(min(len(left), len(right)))
        elif not isinstance(left, _SCALARS) and not isinstance(right, _SCALARS):
            self.weigh(left)
            self.weigh(right)
        return operation(left, right)

    def contains(self, container: Any, item: Any) -> bool:
        if isinstance(container, str):
            self.spend_chars(len(container) + len(item))
        elif isinstance(container, Sized):
            weight = self.weigh(item)
            self.spend(1 if isinstance(container, Mapping | set | frozenset) else len(container) * weight)
        else:
            raise RenderingError(f"there is no `in` for {type(container).__name__}")
        return item in container

    def item(self, value: Any, key: Any) -> Any:
        """`value[key]`, or Missing. A text that is no key is an attribute, as Jinja2 has it."""
        self.weigh(key)
        found: Any = NOTHING
        try:
            if isinstance(value, Mapping):
                found = value.get(key, NOTHING)
            elif not is_closed(value):
                found = value[key]
        except (TypeError, LookupError, AttributeError):
            pass
        if found is NOTHING and isinstance(key, str):
            found = attribute(value, key)
        return Missing(f"{_kind(value)} has no element {key!r:.60}") if found is NOTHING else found

    def member(self, value: Any, name: str) -> Any:
        """`value.name`, or Missing."""
        found = attribute(value, name)
        if found is NOTHING and not name.startswith("_") and not isinstance(value, Mapping):
            found = self.item(value, name)
        return Missing(f"{_kind(value)} has no attribute {name!r:.60}") if found is NOTHING else found

    def cut(self, value: Any, part: slice) -> Any:
        if not isinstance(value, Sized):
            raise RenderingError(f"{_kind(value)} cannot be cut")
        length = len(range(*part.indices(len(value))))
        if isinstance(value, str):
            self.spend_chars(length)
        else:
            self.spend(length)
        return value[part]  # type: ignore[index]


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
