"""Reading where logs stand: whoever asks at the same time shares a round trip, whatever namespaces they ask about."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Final, NamedTuple

from promptwire_service.domain.changes import LogHead
from promptwire_service.domain.errors import RegistryError
from promptwire_service.storage.base import Store
from promptwire_service.storage.tasks import end

BATCH_MAX: Final = 500
"""Namespaces of one round trip. The store runs it in about a millisecond, and others wait for no longer."""
_IN_FLIGHT_MAX: Final = 2
"""Round trips to one partition at a time. A second one keeps a single stalled connection from holding up everybody."""


class HeadRead(NamedTuple):
    """A log's head, and the time (of the reader's clock, in seconds) at which reading it began."""

    head: LogHead
    began_at: float


class _Lane:
    """What is asked of one partition of the store."""

    __slots__ = ("in_flight", "is_urgent", "timer", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[str, list[asyncio.Future[HeadRead]]] = {}
        """Those who ask about each namespace."""
        self.in_flight = 0
        self.is_urgent = False
        """Whether somebody in `waiting` has no patience."""
        self.timer: asyncio.Handle | None = None


class HeadReader:
    """Coalesces reads of heads. Partitions of the store are read apart from each other, so that they fail apart."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lanes: dict[Hashable, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, namespace: str, patience_seconds: float = 0.0) -> HeadRead:
        """Returns the head as of a read that began after this call, at most so long after it if the store is quick.

        Patient callers wait for others to share a round trip with. Raises the store's error.
        """
        lane = self._lanes.setdefault(self._store.partition(namespace), _Lane())
        # One for each caller, so that one's cancellation does not take the answer from the others.
        future: asyncio.Future[HeadRead] = asyncio.get_running_loop().create_future()
        lane.waiting.setdefault(namespace, []).append(future)
        self._send_soon(lane, patience_seconds)
        return await future

    async def close(self) -> None:
        for lane in self._lanes.values():
            if lane.timer:
                lane.timer.cancel()
            _end(lane.waiting.values())
            lane.waiting.clear()
        for task in tuple(self._tasks):
            await end(task)

    def _send_soon(self, lane: _Lane, patience_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if patience_seconds:
            if lane.timer is None:
                lane.timer = loop.call_later(patience_seconds, self._send, lane)
        elif not lane.is_urgent:
            lane.is_urgent = True
            if lane.timer:
                lane.timer.cancel()
            lane.timer = loop.call_soon(self._send, lane)

    def _send(self, lane: _Lane) -> None:
        """Sends what is waiting, as far as round trips may be under way; the next one to end sends the rest."""
        lane.timer = None
        lane.is_urgent = bool(lane.waiting)
        while lane.waiting and lane.in_flight < _IN_FLIGHT_MAX:
            batch = {namespace: lane.waiting.pop(namespace) for namespace in list(islice(lane.waiting, BATCH_MAX))}
            lane.is_urgent = bool(lane.waiting)
            lane.in_flight += 1
            task = asyncio.create_task(self._read(lane, batch), name="promptwire-heads")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read(self, lane: _Lane, batch: dict[str, list[asyncio.Future[HeadRead]]]) -> None:
        began_at = self._clock()
        try:
            heads = await self._store.read_heads(list(batch))
        except Exception as error:
            for futures in batch.values():
                _fail(futures, error)
        else:
            for futures, head in zip(batch.values(), heads, strict=True):
                if isinstance(head, RegistryError):
                    _fail(futures, head)
                    continue
                read = HeadRead(head, began_at)
                for future in futures:
                    if not future.done():
                        future.set_result(read)
        finally:
            _end(batch.values())
            lane.in_flight -= 1
            if lane.is_urgent:
                self._send(lane)


def _fail(futures: list[asyncio.Future[HeadRead]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)


def _end(waiting: Iterable[list[asyncio.Future[HeadRead]]]) -> None:
    """Cancels what has no outcome."""
    for futures in waiting:
        for future in futures:
            future.cancel()
