"""Reads that are asked for at the same time, sent to the store together.

A cache fills key by key, and rightly so; but a namespace that starts over, or an agent that starts, wants hundreds of
keys at once, and a round trip for each would keep everybody waiting for seconds.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from promptwire_service.domain.records import Read

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_Asked = tuple[K, asyncio.Future[Read[V]]]

CALLS_MAX: Final = 8
"""Calls for one namespace at a time."""


class BatchedReads(Generic[K, V]):
    """Gathers what is asked for in one turn of the event loop, at most `most` keys to a call of `read_many`, which may
    answer the first ones only: then it is called again for the rest.

    The answers of one call are of one revision, so each is as good as if it had been read by itself. A namespace has
    `CALLS_MAX` calls under way at most: one that wants thousands of keys must not take all connections from others.
    """

    def __init__(self, read_many: Callable[[str, Sequence[K]], Awaitable[Read[list[V]]]], most: int) -> None:
        self._read_many = read_many
        self._most = most
        self._waiting: dict[str, list[_Asked[K, V]]] = {}
        self._calls: Counter[str] = Counter()
        self._queued: dict[str, deque[_Asked[K, V]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, namespace: str, key: K) -> Read[V]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._send)
        future: asyncio.Future[Read[V]] = loop.create_future()
        self._waiting.setdefault(namespace, []).append((key, future))
        return await future

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for namespace, asked in waiting.items():
            self._queued.setdefault(namespace, deque()).extend(asked)
            self._start(namespace)

    def _start(self, namespace: str) -> None:
        queue = self._queued[namespace]
        while queue and self._calls[namespace] < CALLS_MAX:
            together: list[_Asked[K, V]] = []
            while queue and len(together) < self._most:
                asked = queue.popleft()
                if not asked[1].done():  # who asked may have gone
                    together.append(asked)
            if together:
                self._calls[namespace] += 1
                task = asyncio.create_task(self._fetch(namespace, together))
                self._tasks.add(task)  # the loop itself keeps tasks by weak references only
                task.add_done_callback(partial(self._ended, namespace))
                _end_with_the_last(task, [future for _, future in together])
        if not queue and not self._calls[namespace]:
            del self._calls[namespace], self._queued[namespace]

    def _ended(self, namespace: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._calls[namespace] -= 1
        self._start(namespace)

    async def _fetch(self, namespace: str, asked: Sequence[_Asked[K, V]]) -> None:
        left = asked
        try:
            while left:
                read = await self._read_many(namespace, [key for key, _ in left])
                for (_, future), value in zip(left, read.value, strict=False):
                    if not future.done():
                        future.set_result(Read(value, read.revision))
                left = left[len(read.value) :]
        except Exception as error:
            for _, future in left:
                if not future.done():
                    future.set_exception(error)
        finally:
            for _, future in asked:
                future.cancel()  # without effect on what has its outcome


def _end_with_the_last(task: "asyncio.Task[None]", futures: "list[asyncio.Future[Read[V]]]") -> None:
    """Cancels a read once all who asked for it have gone: it must not go on waiting for a connection to the store."""
    left = len(futures)

    def leave(future: "asyncio.Future[Read[V]]") -> None:
        nonlocal left
        left -= future.cancelled()
        if left == 0:
            task.cancel()

    for future in futures:
        future.add_done_callback(leave)
