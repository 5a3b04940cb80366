"""Whether a row matches a filter. Two-valued logic: what has no value equals nothing, and NOT turns exactly that round.

So `tags.team != 'x'` holds for a row without the tag, and `tags.team < 'x'` does not.
"""

import operator
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from promptwire_service.domain.search.expressions import And, Compare, Expression, In, Like, Not, Or, Value
from promptwire_service.domain.search.fields import Getter, Kind, Subject, number_in
from promptwire_service.domain.search.like import Pattern, Steps

Test = Callable[[Any], bool]
_Comparison = Callable[[Any, Any], bool]

SHORT_CHARS: Final = 256
"""A text up to this length is matched with a pattern at once, and counted as so many comparisons:"""
_SHORT_COST: Final = 32

_COMPARISONS: Final[dict[str, _Comparison]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _LongTextError(Exception):
    """A pattern has met a text that is too long to be matched at once."""

    def __init__(self, pattern: Pattern, text: str) -> None:
        super().__init__()
        self.pattern = pattern
        self.text = text


class Matcher:
    """Tells of rows, one after the other, whether a filter holds for them."""

    def __init__(self, expression: Expression, subject: Subject) -> None:
        self._subject = subject
        self._known: dict[Pattern, bool] = {}
        """What patterns have told of the long texts of the row that is being matched."""
        self._cost = 1
        self._several: list[Getter] = []
        self._test = self._of(expression)

    def matches(self, row: Any) -> bool:
        """The same as `scan` without a pause."""
        steps = self.scan(row)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)

    def scan(self, row: Any) -> Steps:
        """Whether the filter holds for a row. Only one row may be under way."""
        yield self._cost + sum(len(get(row)) for get in self._several)
        self._known.clear()
        while True:
            # A test that meets a long text is begun again once that is matched: everything else in it is cheap.
            try:
                return self._test(row)
            except _LongTextError as long:
                self._known[long.pattern] = yield from long.pattern.scan(long.text)

    def _of(self, expression: Expression) -> Test:
        match expression:
            case And(parts):
                tests = [self._of(part) for part in parts]
                return lambda row: all(test(row) for test in tests)
            case Or(parts):
                tests = [self._of(part) for part in parts]
                return lambda row: any(test(row) for test in tests)
            case Not(part):
                test = self._of(part)
                return lambda row: not test(row)
        kind, get = self._subject.type_of(expression.field).kind, self._subject.getter(expression.field)
        self._cost += 1
        if kind is Kind.TEXTS:
            get = _remembered(get)
            self._several.append(get)
        match expression:
            case Compare(_, sign, value):
                return _comparison(kind, get, _COMPARISONS[sign], value)
            case In(_, values):
                return _membership(kind, get, values)
            case Like(_, text, ignores_case):
                self._cost += _SHORT_COST
                return _existing(kind, get, self._like(Pattern(text, ignores_case=ignores_case)))
        absent: tuple[object, ...] = (None,) if kind is Kind.TAG else (None, "")
        return lambda row: _is_absent(get(row), absent)

    def _like(self, pattern: Pattern) -> Callable[[str], bool]:
        known = self._known

        def test(text: str) -> bool:
            if len(text) <= SHORT_CHARS:
                return pattern.matches(text)
            if pattern not in known:
                raise _LongTextError(pattern, text)
            return known[pattern]

        return test


def _remembered(get: Getter) -> Getter:
    """The same for a row that is asked for several times in a row."""
    last: tuple[Any, Any] = (None, ())

    def remembered(row: Any) -> Any:
        nonlocal last
        if last[0] is not row:
            last = row, get(row)
        return last[1]

    return remembered


def _is_absent(value: object, absent: tuple[object, ...]) -> bool:
    return value in absent or (isinstance(value, Collection) and not isinstance(value, str) and not value)


def _comparison(kind: Kind, get: Getter, compare: _Comparison, value: Value) -> Test:
    if kind is Kind.TAG and not isinstance(value, str):
        return _existing(kind, get, lambda text: (number := number_in(text)) is not None and compare(number, value))
    return _existing(kind, get, lambda held: compare(held, value))


def _membership(kind: Kind, get: Getter, values: Sequence[Value]) -> Test:
    """However many values there are, a row is looked up among them once."""
    if kind is not Kind.TAG:
        among = frozenset(values)
        return _existing(kind, get, lambda held: held in among)
    texts = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if not isinstance(value, str))
    return _existing(kind, get, lambda text: text in texts or (bool(numbers) and number_in(text) in numbers))


def _existing(kind: Kind, get: Getter, test: Callable[[Any], bool]) -> Test:
    """The test of what the field holds: of one of several, of nothing never."""
    if kind is Kind.TEXTS:
        return lambda row: any(test(one) for one in get(row))
    return lambda row: (held := get(row)) is not None and test(held)
