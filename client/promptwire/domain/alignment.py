"""Which items of two sequences belong together: the shortest edit script, within bounded time.

E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986. difflib's matcher is quadratic on long texts and
cubic on nasty ones, and nothing bounds it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Pairs = list[tuple[int, int]]


@dataclass(slots=True)
class Budget:
    """How many comparisons may still be made; below 0 once it is spent."""

    left: int

    def spend(self, comparisons: int) -> bool:
        """Whether there was enough."""
        self.left -= comparisons
        return self.left >= 0


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
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(len(left) + len(right) + 1):
        # What this round does at least, and what its copy of the paths takes in memory.
        if not budget.spend(2 * edits + 1):
            return None
        trace.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            x = _step(furthest, diagonal, edits)
            y, began = x - diagonal, x
            while x < len(left) and y < len(right) and left[x] == right[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            budget.spend(x - began)
            if x >= len(left) and y >= len(right):
                return _walk_back(trace, len(left), len(right))
    raise AssertionError("as many edits as items always do")


def _step(furthest: dict[int, int], diagonal: int, edits: int) -> int:
    """Where a path of so many edits begins on a diagonal: an insertion, or else a deletion, past the furthest."""
    if diagonal == -edits or (diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1]):
        return furthest[diagonal + 1]
    return furthest[diagonal - 1] + 1


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> Pairs:
    pairs: Pairs = []
    for edits in range(len(trace) - 1, -1, -1):
        furthest, diagonal = trace[edits], x - y
        inserted = diagonal == -edits or (diagonal != edits and furthest[diagonal - 1] < furthest[diagonal + 1])
        before = diagonal + 1 if inserted else diagonal - 1
        x_before = furthest[before]
        y_before = x_before - before
        while x > x_before and y > y_before and x > 0 and y > 0:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        if edits:
            x, y = x_before, y_before
    pairs.reverse()
    return pairs
