"""An acknowledged write is in the log, once, where its answer says, and revisions have no gaps (G1, G2)."""

from collections.abc import Iterator

from tests.faults.checkers.truth import Lineage, Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import Entry, History, Op, lineage_of

_LOGGED = {
    "register": "version_registered",
    "set_alias": "alias_set",
    "delete_alias": "alias_deleted",
    "set_tags": "tags_set",
    "release": "release",
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
        if (first.revision, first.version, first.previous, first.moves) != (
            op.revision,
            op.version,
            op.previous,
            op.moves,
        ):
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
            yield Violation("exactly_once", message, namespace, entry.name)
        seen[entry.request_id] = entry
        if entry.request_id not in truth.attempts.get(namespace, {}):
            yield Violation("exactly_once", f"nobody asked for revision {entry.number}", namespace, entry.name)
        if later.began[entry.number] > later.ended[entry.number]:
            message = f"revision {entry.number} was acknowledged before an earlier one was asked for"
            yield Violation("real_time", message, namespace, entry.name)


def _acknowledged(op: Op, truth: Truth) -> Iterator[Violation]:
    lineage = truth.lineage(op.namespace, op.epoch)
    entry = lineage.log.entries[op.revision - 1] if lineage and 0 < op.revision <= lineage.head else None
    if entry is None or entry.request_id != op.request_id:
        message = f"{op.kind} was acknowledged at revision {op.revision}, where the log has {entry}"
        yield Violation("lost", message, op.namespace, op.name, [op])
        return
    told: tuple[object, ...] = (_LOGGED[op.kind], op.name, op.version, op.previous, {})
    if op.kind == "release":
        told = ("release", op.name, 0, 0, {alias: [op.version, previous] for alias, previous in op.moves.items()})
    # What a deleted alias pointed at is told as `previous`; its answer has no version.
    if (entry.kind, entry.name, entry.version, entry.previous, entry.moves) != told:
        yield Violation("whole", f"the log has {entry} for what was asked", op.namespace, op.name, [op])
