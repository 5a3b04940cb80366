"""Pure functions from a history to what is wrong with it."""

from collections.abc import Callable, Iterator

from tests.faults.checkers import aliases, answers, feeds, sessions, watches, writes
from tests.faults.checkers.truth import Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import History

CHECKS: tuple[Callable[[History, Truth], Iterator[Violation]], ...] = (
    aliases.check,
    sessions.check,
    answers.check,
    watches.check,
    feeds.check,
)


def violations(history: History) -> list[Violation]:
    """All that is wrong, by all checks."""
    truth = Truth(history)
    found = list(writes.check(history, truth))
    if any(violation.check == "contiguous" for violation in found):
        return found  # no revision is where the other checks look for it
    return found + [violation for check in CHECKS for violation in check(history, truth)]
