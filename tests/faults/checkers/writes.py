"""An acknowledged write is in the log, once, where its answer says, and revisions have no gaps (G1, G2)."""

from collections.abc import Iterator

from tests.faults.checkers.truth import Lineage, Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import MOVES, Change, Entry, History, Op, lineage_of, moves_of, versions_in

_LOGGED = {
    "register": "version_registered",
    "set_tags": "tags_set",
    "delete_tags": "tags_deleted",
    "delete_version": "version_deleted",
    "undelete_version": "version_undeleted",
    "delete_prompt": "prompt_deleted",
    "undelete_prompt": "prompt_undeleted",
}


def check(history: History, truth: Truth) -> Iterator[Violation]:
    for namespace, lineages in truth.lineages.items():
        for before, later in zip([None, *lineages], lineages, strict=False):
            yield from _log(namespace, before, later, truth)
    answers: dict[tuple[str, str, str], Op] = {}
    for op in history.ops:
        if not op.writes or op.outcome != "ok":
            continue
        yield from _acknowledged(op, truth)
        first = answers.setdefault((op.namespace, op.request_id, lineage_of(op.epoch)), op)
        if _answer(first) != _answer(op):
            message = f"request {op.request_id} got two answers"
            yield Violation("exactly_once", message, op.namespace, op.name, [first, op])


def _log(namespace: str, before: Lineage | None, later: Lineage, truth: Truth) -> Iterator[Violation]:
    numbers = [entry.number for entry in later.log.entries]
    if numbers != list(range(1, len(numbers) + 1)):
        odd = next(number for number, at in zip(numbers, range(1, len(numbers) + 1), strict=True) if number != at)
        yield Violation("contiguous", f"the log has a gap or a repeat before revision {odd}", namespace)
        return
    if before and before.log.entries[: later.log.base] != later.log.entries[: later.log.base]:
        yield Violation("lost", f"the backup's first {later.log.base} revisions are not what they were", namespace)
    seen: dict[str, Entry] = {}
    for entry in later.log.entries:
        if entry.request_id in seen:
            message = (
                f"request {entry.request_id} happened at revisions {seen[entry.request_id].number}, {entry.number}"
            )
            yield Violation("exactly_once", message, namespace, entry.names[0])
        seen[entry.request_id] = entry
        if entry.request_id not in truth.attempts.get(namespace, {}) and not entry.purges:
            yield Violation("exactly_once", f"nobody asked for revision {entry.number}", namespace, entry.names[0])
        if later.began[entry.number] > later.ended[entry.number]:
            message = f"revision {entry.number} was acknowledged before an earlier one was asked for"
            yield Violation("real_time", message, namespace, entry.names[0])


def _answer(op: Op) -> tuple[object, ...]:
    return op.revision, op.version, op.target, op.previous, op.moves


def _acknowledged(op: Op, truth: Truth) -> Iterator[Violation]:
    lineage = truth.lineage(op.namespace, op.epoch)
    if lineage and op.kind == "rollback" and op.target == op.previous:
        # It was there already: nothing is written, and the answer is a strong read.
        held = lineage.at(op.name, op.revision).aliases.get(op.selector)
        if lineage.entry_of(op.request_id) or op.revision > lineage.head or held != op.target:
            message = f"a roll-back to where it is was answered at revision {op.revision}, where it is {held}"
            yield Violation("whole", message, op.namespace, op.name, [op])
        return
    entry = lineage.entry_at(op.revision) if lineage else None
    if entry is None or entry.request_id != op.request_id:
        message = f"{op.kind} was acknowledged at revision {op.revision}, where the log has {entry}"
        yield Violation("lost", message, op.namespace, op.name, [op])
        return
    changes = list(entry.changes)
    if op.kind == "delete_version":
        # Aliases that led to it go with it; the answer does not say which.
        went = [one for one in changes if one.kind == "alias_deleted" and op.version in versions_in(one.previous)]
        changes = [one for one in changes if one not in went]
    if sorted(changes, key=lambda change: change.alias) != _asked(op):
        yield Violation("whole", f"the log has {entry} for what was asked", op.namespace, op.name, [op])


def _asked(op: Op) -> list[Change]:
    """What the log is to have for it, by what was asked and answered."""
    if op.kind in MOVES:
        moves = moves_of(op)
        return [_move(op.name, alias, *moves[alias]) for alias in sorted(moves)]
    return [Change(_LOGGED[op.kind], op.name, version=op.version, tags=op.tags, keys=op.keys)]


def _move(name: str, alias: str, target: str, previous: str) -> Change:
    return Change("alias_set" if target else "alias_deleted", name, alias=alias, target=target, previous=previous)
