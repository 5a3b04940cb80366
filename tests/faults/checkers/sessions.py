"""One client's reads never go back, and hold its own writes (G4)."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.checkers.truth import Lineage, Truth, answer_of
from tests.faults.checkers.violation import Violation
from tests.faults.history import History, Op, lineage_of

Place = dict[int, int]
"""Where a reader may be: by lineage, the earliest of the prompt's states that explains all it saw."""


@dataclass(slots=True)
class _Session:
    """One client in one namespace."""

    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    """By prompt and selector."""
    wrote: dict[str, Place] = field(default_factory=dict)
    """By prompt: its own newest write."""
    last: dict[tuple[str, str], Op] = field(default_factory=dict)


def check(history: History, truth: Truth) -> Iterator[Violation]:
    sessions: dict[tuple[str, str], _Session] = {}
    for op in history.ops:
        if op.outcome != "ok" or _unbound(op):
            continue
        session = sessions.setdefault((op.client, op.namespace), _Session())
        lineages = truth.lineages.get(op.namespace, [])
        if op.writes:
            _wrote(session, op, lineages)
        elif not _read(session, op, lineages):
            shows = [one for one in (session.last.get((op.name, op.selector)), op) if one]
            place = session.places.pop((op.name, op.selector), None)
            if truth.excuse_load(op):
                continue
            message = f"{op.client} read @{op.selector} = {answer_of(op)}, but was at {place or session.wrote}"
            yield Violation("monotonic", message, op.namespace, op.name, shows)
        session.last[op.name, op.selector] = op
    yield from _tokens(history, truth)


def _unbound(op: Op) -> bool:
    """A cached read that is asked without a token knows nothing of its session."""
    return op.kind == "read" and not op.strong and op.token is None


def _wrote(session: _Session, op: Op, lineages: list[Lineage]) -> None:
    for number, lineage in enumerate(lineages):
        if lineage.log.lineage == lineage_of(op.epoch):
            index = lineage.index_at(op.name, op.revision)
            session.wrote[op.name] = _at_least(session.wrote.get(op.name, {}), number, index)
            for key, place in session.places.items():
                if key[0] == op.name:
                    session.places[key] = _at_least(place, number, index)


def _at_least(place: Place, number: int, index: int) -> Place:
    return {number: max(index, place.get(number, 0))}


def _read(session: _Session, op: Op, lineages: list[Lineage]) -> bool:
    place = session.places.get((op.name, op.selector)) or session.wrote.get(op.name) or {0: 0}
    meaning, reached = answer_of(op), {}
    for number, lineage in enumerate(lineages):
        if min(place) < number and op.end >= lineage.log.start:
            # It may have come here with this read: to what the backup held, or to something newer.
            least = lineage.index_at(op.name, lineage.log.base)
        elif number in place:
            least = place[number]
        else:
            continue
        positions = lineage.positions(op.name, op.selector, meaning)
        found = bisect_left(positions, least)
        if found < len(positions) and lineage.came_by(op.name, positions[found]) <= op.end:
            reached[number] = positions[found]
    if reached:
        session.places[op.name, op.selector] = reached
    return bool(reached)


def _tokens(history: History, truth: Truth) -> Iterator[Violation]:
    """An answer is at least as new as the `min_revision` that was asked for, in the same history."""
    for op in history.ops:
        if op.outcome != "ok" or not op.token or lineage_of(op.token[0]) != lineage_of(op.epoch):
            continue
        if op.revision < op.token[1] and not truth.excuse(op.namespace, *op.token, op.start):
            message = f"{op.client} asked for revision {op.token[1]} or newer and got {op.revision}"
            yield Violation("min_revision", message, op.namespace, op.name, [op])
