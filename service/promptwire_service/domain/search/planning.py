"""Where the matches of a filter can be: which entries of which indexes have to be looked at, and which names.

A plan only narrows. Every candidate is matched against the whole filter: a cover may hold too much, never too
little.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire_service.domain.search.expressions import And, Compare, Expression, Field, In, Like, Or, Value
from promptwire_service.domain.search.fields import PROMPTS, Subject
from promptwire_service.domain.search.like import literal_prefix
from promptwire_service.domain.search.ordering import OrderKey

LEGS_MAX: Final = 64
"""Of one cover. Each costs the store a look for every batch of candidates."""
COVERS_MAX: Final = 8
"""That the store counts, to choose one; those with fewest legs, beside the names alone."""

_AFTER: Final = "\x01"
"""Comes after a name and before every longer one: no name has control characters."""
_LAST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Span:
    """Names from `lower`, included, to `upper`, excluded; None is no bound. In order of code points, as of bytes."""

    lower: str = ""
    upper: str | None = None

    def within(self, other: "Span") -> "Span | None":
        lower = max(self.lower, other.lower)
        uppers = [upper for upper in (self.upper, other.upper) if upper is not None]
        upper = min(uppers) if uppers else None
        return None if upper is not None and upper <= lower else Span(lower, upper)


@dataclass(frozen=True, slots=True)
class Leg:
    """The entries of one term in a range of names. No term: the prompts themselves, by name.

    A term is `(whose, what, key, value)`: e.g. `("version", "tag", "team", "a")`, `("prompt", "author", "ana")`.
    """

    term: tuple[str, ...]
    span: Span


Cover = tuple[Leg, ...]
"""Every match is in one of these."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Covers, of which the store takes the one with fewest entries. The last one is of names alone, and needs no index.

    With `newest`, all candidates instead, in that order: `created_at` or `updated_at`, descending.
    """

    covers: tuple[Cover, ...]
    newest: str = ""


EVERYWHERE: Final = Span()


def plan(expression: Expression, subject: Subject) -> Plan:
    bounds = _Planner(subject).bounds(expression)
    spans = (EVERYWHERE,) if bounds.spans is None else bounds.spans
    return Plan((*bounds.covers, _by_names(spans)))


def newest_of(order: Sequence[OrderKey], subject: Subject) -> str:
    """The index that gives this order; empty for none."""
    if len(order) != 1 or not order[0].descending:
        return ""
    indexed = ("created_at", "updated_at") if subject is PROMPTS else ("created_at",)
    name = order[0].field.name
    return name if name in indexed else ""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What is known of a part's matches: in which spans their names are (None: anywhere), and covers with terms."""

    spans: tuple[Span, ...] | None = None
    covers: tuple[Cover, ...] = ()


_ANYWHERE: Final = _Bounds()


class _Planner:
    def __init__(self, subject: Subject) -> None:
        self._whose = "prompt" if subject is PROMPTS else "version"

    def bounds(self, expression: Expression) -> _Bounds:
        match expression:
            case And(parts):
                return _all_of([self.bounds(part) for part in parts])
            case Or(parts):
                return _any_of([self.bounds(part) for part in parts])
            case Compare(Field("name"), operator, str() as value):
                return _Bounds((_compared(operator, value),))
            case In(Field("name"), values):
                return _Bounds(_merged(_compared("=", str(value)) for value in values))
            case Like(Field("name"), pattern, False):
                prefix, whole = literal_prefix(pattern)
                return _Bounds((Span(prefix, prefix + (_AFTER if whole else _LAST)),))
            case Compare(field, "=", value):
                return self._terms(field, (value,))
            case In(field, values):
                return self._terms(field, values)
        return _ANYWHERE

    def _terms(self, field: Field, values: Sequence[Value]) -> _Bounds:
        legs = []
        for value in dict.fromkeys(values):
            # A number equals many texts of a tag.
            if not isinstance(value, str):
                return _ANYWHERE
            match field:
                case Field("tags", key):
                    term: tuple[str, ...] = (self._whose, "tag", key, value)
                case Field("prompt_tags", key):
                    term = ("prompt", "tag", key, value)
                case Field("alias" | "author"):
                    term = (self._whose, field.name, value)
                case _:
                    return _ANYWHERE
            legs.append(Leg(term, EVERYWHERE))
        return _Bounds(covers=(tuple(legs),)) if len(legs) <= LEGS_MAX else _ANYWHERE


def _compared(operator: str, value: str) -> Span:
    match operator:
        case "=":
            return Span(value, value + _AFTER)
        case "<":
            return Span("", value)
        case "<=":
            return Span("", value + _AFTER)
        case ">":
            return Span(value + _AFTER)
    return Span(value)


def _all_of(parts: Sequence[_Bounds]) -> _Bounds:
    spans: tuple[Span, ...] | None = None
    for part in parts:
        if part.spans is not None:
            spans = part.spans if spans is None else _intersection(spans, part.spans)
    covers = sorted((cover for part in parts for cover in part.covers), key=len)[:COVERS_MAX]
    return _Bounds(spans, tuple(_within(cover, spans) for cover in covers))


def _any_of(parts: Sequence[_Bounds]) -> _Bounds:
    chosen: list[Leg] = []
    for part in parts:
        if part.spans is None and not part.covers:
            return _ANYWHERE
        few_names = part.spans is not None and all(span.upper == span.lower + _AFTER for span in part.spans)
        chosen += part.covers[0] if part.covers and not few_names else _by_names(part.spans or ())
    spans = None
    if all(part.spans is not None for part in parts):
        spans = _merged(span for part in parts for span in part.spans or ())
    covers = (tuple(dict.fromkeys(chosen)),) if any(leg.term for leg in chosen) and len(chosen) <= LEGS_MAX else ()
    return _Bounds(spans, covers)


def _by_names(spans: Sequence[Span]) -> Cover:
    """One leg over them all where there are too many."""
    if len(spans) > LEGS_MAX:
        spans = [Span(spans[0].lower, spans[-1].upper)]
    return tuple(Leg((), span) for span in spans)


def _within(cover: Cover, spans: tuple[Span, ...] | None) -> Cover:
    if spans is None:
        return cover
    if len(spans) * len(cover) > LEGS_MAX:
        spans = (Span(spans[0].lower, spans[-1].upper),)
    return tuple(
        Leg(leg.term, narrowed) for leg in cover for span in spans if (narrowed := leg.span.within(span)) is not None
    )


def _intersection(one: Sequence[Span], other: Sequence[Span]) -> tuple[Span, ...]:
    """Of spans that ascend without overlaps, as the answer's do: one look along both."""
    common: list[Span] = []
    i = j = 0
    while i < len(one) and j < len(other):
        this, that = one[i], other[j]
        if (both := this.within(that)) is not None:
            common.append(both)
        if that.upper is None or (this.upper is not None and this.upper <= that.upper):
            i += 1
        else:
            j += 1
    return tuple(common)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Ascending, without overlaps."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.lower, span.upper is None, span.upper or "")):
        last = merged[-1] if merged else None
        if last is None or (last.upper is not None and last.upper < span.lower):
            merged.append(span)
        elif last.upper is not None and (span.upper is None or span.upper > last.upper):
            merged[-1] = Span(last.lower, span.upper)
    return tuple(merged)
