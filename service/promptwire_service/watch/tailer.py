"""Keeping all followed namespaces at the ends of their logs: one task and one subscription, whatever their number."""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from itertools import islice
from typing import Final

import structlog

from promptwire_service.domain.errors import RegistryError
from promptwire_service.storage.base import Store
from promptwire_service.storage.tasks import end
from promptwire_service.watch.heads import BATCH_MAX, HeadReader
from promptwire_service.watch.tail import Follower, Tail

_log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
"""How often each followed namespace is polled, if nobody notifies."""
_RETRY_SECONDS: Final = 0.1
_CATCH_UPS_MAX: Final = 16
"""Namespaces that the sweep lets read their logs at a time. Those that somebody waits for are not counted."""


class LogTailer:
    """Polls the heads of all followed namespaces every second, and reads the logs of those that have moved.

    A notification has its namespace read at once. It only says where to read; what is applied is the log. A sweep of
    many namespaces goes in batches, spread over the second: nobody waits for more than one batch, and a namespace
    that takes long to catch up does so in a task of its own.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.heads = HeadReader(store, clock)
        self._store = store
        self._clock = clock
        self._tails: dict[str, Tail] = {}
        """The one that was polled longest ago comes first."""
        self._retry: dict[Tail, None] = {}
        self._behind: dict[Tail, None] = {}
        self._catch_ups = 0
        self._polling: dict[Hashable, asyncio.Task[None]] = {}
        """One batch of the sweep at a time for each partition of the store."""
        self._unreachable: set[Hashable] = set()
        self._catching_up: set[asyncio.Task[None]] = set()
        self._retry_timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def follow(self, namespace: str, follower: Follower) -> Tail:
        if self._sweeper is None:
            self._unsubscribe = self._store.on_notify(self._notify)
            self._sweeper = asyncio.create_task(self._sweep(), name="promptwire-tailer")
        tail = Tail(namespace, self._store, self.heads, follower, clock=self._clock)
        tail.polled_at = asyncio.get_running_loop().time()
        self._tails[namespace] = tail
        return tail

    def unfollow(self, tail: Tail) -> None:
        del self._tails[tail.namespace]
        self._retry.pop(tail, None)
        self._behind.pop(tail, None)
        tail.release()

    async def close(self) -> None:
        if self._unsubscribe:
            self._unsubscribe()
        if self._retry_timer:
            self._retry_timer.cancel()
        for task in (self._sweeper, *self._polling.values(), *self._catching_up):
            if task:
                await end(task)
        for tail in self._tails.values():
            await tail.close()
        await self.heads.close()

    def _notify(self, namespace: str, number: int) -> None:
        """Reads the log if the number is news. If it misleads, the sweep is not far."""
        if not namespace:  # connected again: any notification may have been lost
            self._retry_soon(self._tails.values(), 0.0)
        elif (tail := self._tails.get(namespace)) and number > tail.head.number:
            tail.catch_up_soon().add_done_callback(lambda task: self._retry_if_failed(tail, task))

    def _retry_if_failed(self, tail: Tail, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception():
            self._retry_soon([tail])

    def _retry_soon(self, tails: Iterable[Tail], seconds: float = _RETRY_SECONDS) -> None:
        self._retry.update((tail, None) for tail in tails if self._tails.get(tail.namespace) is tail)
        if self._retry and self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(seconds, self._poll_again)

    def _poll_again(self) -> None:
        self._retry_timer = None
        tails = list(islice(self._retry, BATCH_MAX))
        for tail in tails:
            del self._retry[tail]
        self._start_polls(tails)
        self._retry_soon((), _RETRY_SECONDS)

    async def _sweep(self) -> None:
        while True:
            interval = POLL_SECONDS / max(1, -(-len(self._tails) // BATCH_MAX))
            await asyncio.sleep(interval)
            # Those that will be due before the next batch is.
            due_at = asyncio.get_running_loop().time() - POLL_SECONDS + interval
            self._start_polls([tail for tail in islice(self._tails.values(), BATCH_MAX) if tail.polled_at <= due_at])

    def _start_polls(self, tails: Iterable[Tail]) -> None:
        now = asyncio.get_running_loop().time()
        parts: dict[Hashable, list[Tail]] = {}
        for tail in tails:
            tail.polled_at = now
            self._tails[tail.namespace] = self._tails.pop(tail.namespace)
            parts.setdefault(self._store.partition(tail.namespace), []).append(tail)
        for partition, some in parts.items():
            if partition not in self._polling:  # otherwise it does not answer, and these are due again in a second
                self._polling[partition] = asyncio.create_task(self._poll(partition, some), name="promptwire-poll")

    async def _poll(self, partition: Hashable, tails: list[Tail]) -> None:
        began_at = self._clock()
        try:
            heads = await self._store.read_heads([tail.namespace for tail in tails])
        except Exception as error:
            if partition not in self._unreachable:
                self._unreachable.add(partition)
                log = _log.warning if isinstance(error, RegistryError) else _log.exception
                log("cannot poll the logs", namespaces=len(tails), error=str(error))
            self._retry_soon(tails)
        else:
            self._unreachable.discard(partition)
            for tail, head in zip(tails, heads, strict=True):
                if self._tails.get(tail.namespace) is not tail:
                    continue
                if isinstance(head, RegistryError):
                    tail.note_failure(head)
                    self._retry_soon([tail])
                elif not tail.reconcile(head, began_at):
                    self._behind[tail] = None
            self._start_catch_ups()
        finally:
            self._polling.pop(partition, None)

    def _start_catch_ups(self) -> None:
        while self._behind and self._catch_ups < _CATCH_UPS_MAX:
            tail = next(iter(self._behind))
            del self._behind[tail]
            self._catch_ups += 1
            task = tail.catch_up_soon()
            self._catching_up.add(task)
            task.add_done_callback(partial(self._caught_up, tail))

    def _caught_up(self, tail: Tail, task: "asyncio.Task[None]") -> None:
        self._catching_up.discard(task)
        self._catch_ups -= 1
        self._retry_if_failed(tail, task)
        self._start_catch_ups()
