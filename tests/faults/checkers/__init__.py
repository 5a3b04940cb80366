"""Pure functions from a history to what is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.faults.checkers import aliases, answers, feeds, rollbacks, sessions, watches, writes
from tests.faults.checkers.truth import Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import History, Op

CHECKS: tuple[Callable[[History, Truth], Iterator[Violation]], ...] = (
    aliases.check,
    sessions.check,
    answers.check,
    watches.check,
    feeds.check,
    rollbacks.check,
)


def violations(history: History) -> list[Violation]:
    """All that is wrong, by all checks."""
    return examine(history)[0]


def examine(history: History) -> tuple[list[Violation], Counter[str]]:
    """All that is wrong, and how many answers were excused, by reason."""
    truth = Truth(history)
    found = list(writes.check(history, truth))
    if any(violation.check == "contiguous" for violation in found):
        return found, truth.excused  # no revision is where the other checks look for it
    history = replace(history, ops=[op for op in history.ops if not _excused(op, truth)])
    return found + [violation for check in CHECKS for violation in check(history, truth)], truth.excused


def _excused(op: Op, truth: Truth) -> bool:
    """A read that is wrong, but may be."""
    if op.kind != "read" or op.outcome != "ok" or not op.epoch or next(answers.place(op, truth), None) is None:
        return False
    return truth.excuse(op.namespace, op.epoch, op.revision, op.start)
