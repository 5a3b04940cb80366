"""Pure functions from a history to what is wrong with it."""

from collections.abc import Callable, Iterator

from tests.faults.checkers import aliases, answers, feeds, sessions, watches, writes
from tests.faults.checkers.truth import Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import History

CHECKS: dict[str, Callable[[History, Truth], Iterator[Violation]]] = {
    "writes": writes.check,
    "aliases": aliases.check,
    "sessions": sessions.check,
    "answers": answers.check,
    "watches": watches.check,
    "feeds": feeds.check,
}


def violations(history: History) -> list[Violation]:
    """All that is wrong, by all checks."""
    truth = Truth(history)
    return [violation for check in CHECKS.values() for violation in check(history, truth)]
