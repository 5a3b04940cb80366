"""Two sides measured in turns, and what their numbers say about each other."""

import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["met", "met?", "missed?", "missed", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row: our side and the floor under it, one number of each for each repeat."""

    benchmark: str
    case: str
    """What exactly was done, in a few words."""
    floor_is: str
    """What the floor is, in a few words."""
    unit: str
    ours: Sequence[float]
    floor: Sequence[float]
    goal: float | None = None
    """Bound of the ratio; None where nothing is promised."""
    more_is_better: bool = False
    notes: Sequence[str] = field(default=())

    @property
    def ratios(self) -> list[float]:
        """Of each repeat to its neighbour in time, so that what slowed the machine down slowed down both."""
        return [one / other for one, other in zip(self.ours, self.floor, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def ratio_quartiles(self) -> tuple[float, float]:
        """How much the machine's noise leaves open."""
        return quartiles(self.ratios)

    @property
    def verdict(self) -> Verdict:
        """With a question mark where the goal lies between the quartiles: another run may say otherwise."""
        if self.goal is None:
            return ""
        low, high = self.ratio_quartiles
        unsure = low < self.goal < high
        if (self.ratio >= self.goal) if self.more_is_better else (self.ratio <= self.goal):
            return "met?" if unsure else "met"
        return "missed?" if unsure else "missed"


def interleave(
    ours: Callable[[], float], floor: Callable[[], float], *, repeats: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Both in turns, after one round that does not count; at most `repeats` rounds, and no new one after `seconds`.

    Who goes first changes with each round, so that a drift of the machine's speed favours neither.
    """
    ours(), floor()
    deadline = time.monotonic() + seconds
    sides: tuple[list[float], list[float]] = [], []
    measures = (ours, floor)
    for number in range(repeats):
        if number >= 3 and time.monotonic() > deadline:
            break
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            sides[side].append(measures[side]())
    return sides


def statement(text: str, *, number: int, **names: object) -> Callable[[], float]:
    """Measures nanoseconds per execution of a statement, out of `number` executions in a loop, as timeit does.

    The names are locals of the loop, as they would be of an agent's function. Ten copies of the statement stand in the
    loop's body, so that the loop itself hardly counts; nothing is subtracted.
    """
    copies = 10
    setup = "; ".join(f"{name} = _{name}" for name in names) or "pass"
    scope = {f"_{name}": value for name, value in names.items()}
    timer = timeit.Timer("\n".join([text] * copies), setup, timer=time.perf_counter_ns, globals=scope)
    return lambda: timer.timeit(number // copies) / (number // copies * copies)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100).__int__() - 1)]
