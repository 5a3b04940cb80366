"""Whether a row matches a filter. Two-valued logic: what has no value equals nothing, and NOT turns exactly that round.

So `tags.team != 'x'` holds for a row without the tag, and `tags.team < 'x'` does not.
"""

import operator
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from promptwire_service.domain.search.expressions import And, Compare, Expression, In, IsNull, Like, Not, Or, Value
from promptwire_service.domain.search.fields import Getter, Kind, Subject, number_in

Test = Callable[[Any], bool]
_Comparison = Callable[[Any, Any], bool]

_COMPARISONS: Final[dict[str, _Comparison]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matcher(expression: Expression, subject: Subject) -> Test:
    """Tells of a row of the subject whether the expression holds."""
    match expression:
        case And(parts):
            tests = [matcher(part, subject) for part in parts]
            return lambda row: all(test(row) for test in tests)
        case Or(parts):
            tests = [matcher(part, subject) for part in parts]
            return lambda row: any(test(row) for test in tests)
        case Not(part):
            test = matcher(part, subject)
            return lambda row: not test(row)
        case Compare(field, sign, value):
            return _comparison(subject.type_of(field).kind, subject.getter(field), _COMPARISONS[sign], value)
        case In(field, values):
            kind, get = subject.type_of(field).kind, subject.getter(field)
            tests = [_comparison(kind, get, operator.eq, value) for value in values]
            return lambda row: any(test(row) for test in tests)
        case Like(field, text, ignores_case):
            return _existing(subject.type_of(field).kind, subject.getter(field), like(text, ignores_case))
        case IsNull(field):
            get = subject.getter(field)
            absent: tuple[object, ...] = (None,) if subject.type_of(field).kind is Kind.TAG else (None, "")
            return lambda row: _is_absent(get(row), absent)


def _is_absent(value: object, absent: tuple[object, ...]) -> bool:
    return value in absent or (isinstance(value, Collection) and not isinstance(value, str) and not value)


def _comparison(kind: Kind, get: Getter, compare: _Comparison, value: Value) -> Test:
    if kind is Kind.TAG and not isinstance(value, str):
        return _existing(kind, get, lambda text: (number := number_in(text)) is not None and compare(number, value))
    return _existing(kind, get, lambda held: compare(held, value))


def _existing(kind: Kind, get: Getter, test: Callable[[Any], bool]) -> Test:
    """The test of what the field holds: of one of several, of nothing never."""
    if kind is Kind.TEXTS:
        return lambda row: any(test(one) for one in get(row))
    return lambda row: (held := get(row)) is not None and test(held)


def like(pattern: str, ignores_case: bool) -> Callable[[str], bool]:
    """The test of a text against a LIKE pattern.

    Piece by piece between the `%`, each where it is first found, so that no pattern takes more than the product of the
    two lengths; one regular expression with many `.*` would take a power of it.
    """
    flags = re.DOTALL | (re.IGNORECASE if ignores_case else 0)
    first, *rest = [re.compile("".join(piece), flags) for piece in _pieces(pattern)]
    if not rest:
        return lambda text: first.fullmatch(text) is not None
    *middle, last = rest
    tail = re.compile(f"(?:{last.pattern})\\Z", flags)
    last_chars = len(_pieces(pattern)[-1])

    def test(text: str) -> bool:
        found = first.match(text)
        for piece in middle:
            if found is None:
                return False
            found = piece.search(text, found.end())
        return found is not None and tail.match(text, max(found.end(), len(text) - last_chars)) is not None

    return test


def _pieces(pattern: str) -> list[list[str]]:
    """Between the `%`: each piece as regular expressions of one character each."""
    pieces: list[list[str]] = [[]]
    characters = iter(pattern)
    for character in characters:
        match character:
            case "%":
                pieces.append([])
            case "_":
                pieces[-1].append(".")
            case "\\":
                pieces[-1].append(re.escape(next(characters, "\\")))
            case _:
                pieces[-1].append(re.escape(character))
    return pieces


def literal_prefix(pattern: str) -> tuple[str, bool]:
    """What every text that matches begins with, and whether that is all that it is."""
    prefix = ""
    characters = iter(pattern)
    for character in characters:
        if character in "%_":
            return prefix, False
        prefix += next(characters, "\\") if character == "\\" else character
    return prefix, True
