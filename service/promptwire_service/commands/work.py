"""Work that one call does on the event loop, in steps: between them everyone else is served.

Work is counted, not timed: one unit is a comparison of short values, about 0.2 us. A call that is cancelled, because
its caller's deadline is over or the caller is gone, ends at its next step.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

STEP_UNITS: Final = 10_000
"""About 2 ms."""


PAUSE_SECONDS: Final = 0.0005


def pause() -> None:
    """Lets the event loop in, when work is done on another thread.

    The interpreter by itself lets it wait for 5 ms each time that it has read or written something.
    """
    time.sleep(PAUSE_SECONDS)


class Turns:
    """Lets calls with much to do take turns: of all of them together, one step is done in a turn of the event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.taken = 0

    async def next(self) -> None:
        """Returns after the event loop has served what is ready, when it is the caller's turn."""
        async with self._lock:
            self.taken += 1
            await asyncio.sleep(0)


class Work:
    """What one call has done so far, of what it may do."""

    def __init__(self, turns: Turns, most_units: int) -> None:
        self._turns = turns
        self._most_units = most_units
        self._next_turn = STEP_UNITS
        self.done_units = 0

    @property
    def is_spent(self) -> bool:
        return self.done_units >= self._most_units

    async def add(self, units: int) -> None:
        """Counts work that was done or is done next; others are served when it has become a step."""
        self.done_units += units
        if self.done_units >= self._next_turn:
            self._next_turn = self.done_units + STEP_UNITS
            await self._turns.next()

    async def run(self, steps: Generator[int, None, T]) -> T:
        """Does work that yields what its steps cost; returns what it comes to."""
        while True:
            try:
                units = next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            await self.add(units)


async def in_steps(turns: Turns, items: Iterable[T], units: Callable[[T], int]) -> AsyncIterator[T]:
    """The items, for somebody who does so much work with each: others are served in between."""
    work = Work(turns, 0)
    for item in items:
        yield item
        await work.add(units(item))
