"""The change feed has every change, once, in order, as the log has it, over as many streams as it takes (G9)."""

from collections.abc import Iterator

from tests.faults.checkers.truth import Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import Entry, History, Told, lineage_of


def check(history: History, truth: Truth) -> Iterator[Violation]:
    last: dict[tuple[str, str], Told] = {}
    for told in history.told:
        if told.kind not in ("from", "change", "feed_done"):
            continue
        before = last.get((told.client, told.namespace))
        shows = [one for one in (before, told) if one]
        for name, message in _take(before, told, truth):
            yield Violation(name, f"{told.client}: {message}", told.namespace, shows=shows)
        if told.kind != "feed_done":
            last[told.client, told.namespace] = told


def _take(before: Told | None, told: Told, truth: Truth) -> Iterator[tuple[str, str]]:
    lineage = truth.lineage(told.namespace, told.epoch)
    if told.kind == "from":
        if told.token is not None and told.token[1] != told.revision:
            yield "resumable", f"asked to go on after {told.token[1]}, it began after {told.revision}"
    elif told.kind == "change":
        if before is None or (told.epoch, told.revision - 1) != (before.epoch, before.revision):
            yield "ordered", f"revision {told.revision} does not follow"
        entry = lineage.entry_at(told.revision) if lineage else None
        wrong = entry is None or entry != Entry.of(told.entry)
        if wrong and not truth.excuse(told.namespace, told.epoch, told.revision, told.at):
            yield "atomic", f"told {told.entry} where the log has {entry}"
    elif told.kind == "feed_done":
        final = truth.lineages[told.namespace][-1]
        reached = (lineage_of(before.epoch), before.revision) if before else ("", 0)
        if reached[0] != final.log.lineage or not final.ends_at(reached[1]):
            yield "reliable", f"at the end it has come to {reached}, but the log ends at {final.head}"
