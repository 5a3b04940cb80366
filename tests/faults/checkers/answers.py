"""An answer is what the store held where it says so, of the namespace that was asked; no error is a bug."""

from collections.abc import Iterator

from tests.faults.checkers.truth import Lineage, Truth, answer_of
from tests.faults.checkers.violation import Violation
from tests.faults.history import History, Op

SCHEDULING_NS = 2_000_000_000
"""How late a thread may run on a machine under full load, for clients that trust theirs instead of the clock."""


def check(history: History, truth: Truth) -> Iterator[Violation]:
    for op in history.ops:
        if op.reason in ("INTERNAL", "UNKNOWN"):
            yield Violation("errors", f"{op.kind} failed with {op.reason}", op.namespace, op.name, [op])
        if op.outcome != "ok" or op.writes:
            continue
        if op.kind == "load":
            wrong = [*_content(op, truth), *_age_of_load(op, truth)]
            if wrong and not truth.excuse_load(op):
                yield from wrong
            continue
        yield from _content(op, truth)
        if op.epoch:
            yield from place(op, truth)


def _content(op: Op, truth: Truth) -> Iterator[Violation]:
    if op.version and op.text not in truth.texts(op.namespace, op.name, op.version):
        message = f"version {op.version} reads {op.text!r}, which nobody wrote there"
        yield Violation("content", message, op.namespace, op.name, [op])


def place(op: Op, truth: Truth) -> Iterator[Violation]:
    lineage = truth.lineage(op.namespace, op.epoch)
    if lineage is None:
        if op.version:
            yield Violation("existed", f"epoch {op.epoch} is in no log", op.namespace, op.name, [op])
        return
    held = lineage.at(op.name, op.revision).meanings(op.selector) if op.revision <= lineage.head else ()
    if answer_of(op) not in held:
        message = f"at revision {op.revision} @{op.selector} was {held}, not {answer_of(op)}"
        yield Violation("existed", message, op.namespace, op.name, [op])
    if op.revision <= lineage.head and lineage.began[op.revision] > op.end:
        message = f"answered at revision {op.revision} before anyone had asked for it"
        yield Violation("existed", message, op.namespace, op.name, [op])
    asked = op.start - (0 if op.strong else op.max_age_ns)
    least = lineage.acknowledged_by(asked, op.name)
    if op.revision < least:
        message = f"revision {least} was acknowledged {(op.start - lineage.ended[least]) / 1e6:.1f} ms before a"
        kind = "strong read" if op.strong else f"read that says it is at most {op.max_age_ns / 1e6:.0f} ms old"
        yield Violation("staleness", f"{message} {kind} of revision {op.revision}", op.namespace, op.name, [op])
    if lineage.over < asked:
        yield Violation("staleness", "read a history that was gone", op.namespace, op.name, [op])


def _age_of_load(op: Op, truth: Truth) -> Iterator[Violation]:
    if op.stale and not op.fails_stale:
        return
    age = op.lease_ns + (SCHEDULING_NS if op.fails_stale else 0)
    for time in {op.start, op.end} if op.count > 1 else {op.end}:
        if not any(_current(op, lineage, time, age) for lineage in truth.lineages.get(op.namespace, ())):
            message = f"@{op.selector} = {answer_of(op)} was not right at any time in the {age / 1e9:g} s before"
            yield Violation("staleness", f"{message} it was handed out as fresh", op.namespace, op.name, [op])
            return


def _current(op: Op, lineage: Lineage, time: int, age_ns: int) -> bool:
    return any(
        lineage.came_by(op.name, index) <= time and lineage.gone_by(op.name, index) >= time - age_ns
        for index in reversed(lineage.positions(op.name, op.selector, answer_of(op)))
    )
