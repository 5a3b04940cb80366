"""The order of what is found, as keys that can be compared, sent in a page's token and taken up again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from promptwire_service.domain.search.expressions import Field
from promptwire_service.domain.search.fields import Kind, Subject, number_in

TEXT_MAX_CHARS: Final = 64
"""Texts that have as many characters in common count as equal: a page's token carries them."""

Rank = list[Any]
"""What a row is ordered by under one key: a kind of value, and the value. JSON can hold it."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    field: Field
    descending: bool = False

    def __str__(self) -> str:
        return f"{self.field} {'DESC' if self.descending else 'ASC'}"


def ranks(keys: Sequence[OrderKey], subject: Subject) -> Callable[[Any], list[Rank]]:
    """Tells a row's ranks under these keys."""
    getters = [(subject.type_of(key.field).kind, subject.getter(key.field)) for key in keys]
    return lambda row: [_rank(kind, get(row)) for kind, get in getters]


def comparable(keys: Sequence[OrderKey], ranked: Sequence[Rank]) -> tuple[Any, ...]:
    """Ranks as a flat tuple that Python compares by itself: what is missing comes last, whichever the direction."""
    flat: list[Any] = []
    for key, (kind, value) in zip(keys, ranked, strict=True):
        if kind == _MISSING[0]:
            flat += (True, 0, 0)
        elif not key.descending:
            flat += (False, kind, value)
        else:
            # A text comes after those that it is the beginning of: so it ends in what is more than any character.
            turned = (*(-ord(character) for character in value), 1) if isinstance(value, str) else -value
            flat += (False, -kind, turned)
    return tuple(flat)


_MISSING: Final[Rank] = [2, ""]


def _rank(kind: Kind, value: Any) -> Rank:
    """A tag's numbers come before its texts, in order of their size."""
    if value is None:
        return _MISSING
    if kind is Kind.TAG and (number := number_in(value)) is not None:
        return [0, number]
    return [1, value[:TEXT_MAX_CHARS] if isinstance(value, str) else value]


def is_ranks(value: object, keys: Sequence[OrderKey], subject: Subject) -> bool:
    """Whether this, from a page's token, could be the ranks of a row."""
    return (
        isinstance(value, list)
        and len(value) == len(keys)
        and all(_is_rank(rank, subject.type_of(key.field).kind) for rank, key in zip(value, keys, strict=True))
    )


def _is_rank(rank: object, kind: Kind) -> bool:
    match rank, kind:
        case ([2, ""], Kind.TAG) | ([1, str()], Kind.TEXT | Kind.TAG) | ([1, bool()], Kind.BOOLEAN):
            return True
        case [1, bool()], _:
            return False
        case ([1, int()], Kind.NUMBER | Kind.TIME) | ([0, float() | int()], Kind.TAG):
            return True
    return False
