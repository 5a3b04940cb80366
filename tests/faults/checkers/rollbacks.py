"""A roll-back goes to what was live before, and never to what a roll-back or the undo of a release left since."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.checkers.truth import Lineage, Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import Entry, History, Op

STATES_MAX = 1_000
"""How many states of an alias can be gone back to."""


@dataclass(slots=True)
class _Stack:
    """Of one alias: what it can go back to and since when it was live, the newest last; see docs/adr/0015."""

    states: list[tuple[int, str]] = field(default_factory=list)

    def below(self, current: str) -> str:
        """The newest state that is another one than what is live; "" if there is none."""
        return next((target for _, target in reversed(self.states) if target != current), "")

    def since(self, target: str) -> int:
        """When a target was last made live; 0 if it was not, or was abandoned."""
        return next((number for number, held in reversed(self.states) if held == target), 0)

    def abandon(self, since: int, left: str) -> None:
        """What became live from a revision on, and what is left, wherever it stands."""
        self.states = [state for state in self.states if state[0] < since and state[1] != left]

    def push(self, number: int, target: str) -> None:
        if target and (not self.states or self.states[-1][1] != target):
            self.states = [*self.states, (number, target)][-STATES_MAX:]


def check(history: History, truth: Truth) -> Iterator[Violation]:
    for namespace, lineages in truth.lineages.items():
        for lineage in lineages:
            yield from _check(namespace, lineage, truth.attempts.get(namespace, {}))


def _check(namespace: str, lineage: Lineage, attempts: dict[str, list[Op]]) -> Iterator[Violation]:
    stacks: dict[tuple[str, str], _Stack] = {}
    ops = {entry.number: attempts[entry.request_id][0] for entry in lineage.log.entries if entry.request_id in attempts}
    for entry in lineage.log.entries:
        op = ops.get(entry.number)
        for key, (start, end) in _moves(entry).items():
            stack = stacks.setdefault(key, _Stack())
            if op and op.kind == "rollback":
                target = stack.below(start)
                if not op.version and target != end and entry.number > lineage.log.base:
                    message = f"@{key[1]} was rolled back from {start or 'nothing'} to {end} at revision {entry.number}"
                    before = f"before it was {target}" if target else "there was nothing to go back to"
                    yield Violation("rollback", f"{message}, but {before}", namespace, key[0], [op])
                since = stack.since(end) + 1 if stack.since(end) else entry.number
                stack.abandon(since, start if start != end else "")
            elif op and op.kind == "undo" and _abandons(op, ops):
                stack.abandon(op.undoes, start if start != end else "")
            stack.push(entry.number, end)


def _moves(entry: Entry) -> dict[tuple[str, str], tuple[str, str]]:
    """By prompt and alias: from where to where the whole entry moved it."""
    moves: dict[tuple[str, str], tuple[str, str]] = {}
    for change in entry.changes:
        if change.alias:
            key = change.name, change.alias
            moves[key] = moves[key][0] if key in moves else change.previous, change.target
    return moves


def _abandons(undo: Op, ops: dict[int, Op]) -> bool:
    """Whether what it leaves was found bad; who undoes an undo says that the release was good."""
    undone = ops.get(undo.undoes)
    return undone is None or undone.kind != "undo" or not _abandons(undone, ops)
