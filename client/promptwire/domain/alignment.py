"""Which items of two sequences belong together: the shortest edit script, within bounded time.

E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986. difflib's matcher is quadratic on long texts and
cubic on nasty ones, and nothing bounds it.
"""

from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

Pairs = list[tuple[int, int]]


PAUSE_COMPARISONS: Final = 5_000
"""After so many, about 2 ms, a budget's `pause` is called."""


@dataclass(slots=True)
class Budget:
    """How many comparisons may still be made; below 0 once it is spent."""

    left: int
    pause: Callable[[], None] | None = None
    """Lets others in."""
    _until_pause: int = PAUSE_COMPARISONS

    def spend(self, comparisons: int) -> bool:
        """Whether there was enough."""
        self.left -= comparisons
        self._until_pause -= comparisons
        if self._until_pause <= 0:
            self._until_pause = PAUSE_COMPARISONS
            if self.pause is not None:
                self.pause()
        return self.left >= 0

    def stop(self) -> None:
        """Spends all that is left, also from another thread."""
        self.left = -1


def align(left: Sequence[Hashable], right: Sequence[Hashable], budget: Budget) -> Pairs | None:
    """Indices of the items that both keep, rising on both sides; None when finding them would cost too much."""
    start = _common(left, right)
    end = _common(left[start:][::-1], right[start:][::-1])
    head = [(index, index) for index in range(start)]
    tail = [(len(left) - offset, len(right) - offset) for offset in range(end, 0, -1)]
    middle = _shortest(left[start : len(left) - end], right[start : len(right) - end], budget)
    if middle is None:
        return None
    return [*head, *((i + start, j + start) for i, j in middle), *tail]


def _common(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """How many items both begin with."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _shortest(left: Sequence[Hashable], right: Sequence[Hashable], budget: Budget) -> Pairs | None:
    if not left or not right:
        return []
    # Of each round, how far into `left` its paths reach on each diagonal; round n has diagonals -n, -n + 2 ... n.
    rounds: list[array[int]] = []
    for edits in range(len(left) + len(right) + 1):
        if not budget.spend(2 * edits + 1):
            return None
        reached = array("q")
        for diagonal in range(-edits, edits + 1, 2):
            began = x = _step(rounds, diagonal)[0]
            while x < len(left) and x - diagonal < len(right) and left[x] == right[x - diagonal]:
                x += 1
            reached.append(x)
            budget.spend(x - began)
            if x >= len(left) and x - diagonal >= len(right):
                return _walk_back(rounds, len(left), len(right))
        rounds.append(reached)
    raise AssertionError("as many edits as items always do")


def _step(rounds: Sequence["array[int]"], diagonal: int) -> tuple[int, int]:
    """Where the path on a diagonal begins in the round after these, and the diagonal that it comes from.

    It comes by an insertion from the diagonal above or by a deletion from the one below, whichever reached further.
    """
    edits = len(rounds)
    if not edits:
        return 0, diagonal
    above = (diagonal + edits) // 2
    if diagonal == -edits or (diagonal != edits and rounds[-1][above - 1] < rounds[-1][above]):
        return rounds[-1][above], diagonal + 1
    return rounds[-1][above - 1] + 1, diagonal - 1


def _walk_back(rounds: "list[array[int]]", x: int, y: int) -> Pairs:
    """Uses the rounds up."""
    pairs: Pairs = []
    while True:
        began, before = _step(rounds, x - y)
        while x > began:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if not rounds:
            return pairs[::-1]
        x = rounds.pop()[(before + len(rounds)) // 2]
        y = x - before
