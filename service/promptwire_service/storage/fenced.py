"""A cache that cannot keep an old value: fills are fenced by revisions, and one at a time for a key."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from promptwire_service.domain.records import Read

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class CacheCounters:
    """Since the start of the process; what they count is in CacheStatus of the admin service."""

    hits: int = 0
    misses: int = 0
    fenced: int = 0
    invalidations: int = 0


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    """A fill, until the last of its waiters has taken its answer. `fence` is the newest change of the key applied since
    it began; `void` when all was forgotten.
    """

    result: asyncio.Future[Read[V]] = field(init=False)
    fence: int = 0
    void: bool = False
    waiters: int = 0


@dataclass(slots=True)
class FencedCache(Generic[K, V]):
    """Answers from `entries`, filled by `fill`, which reads value and revision atomically.

    The race it exists for: a fill reads the old value, the change is applied to a key that is not cached yet, the fill
    installs what it read, and nothing ever corrects it. So a change also raises the fence of a fill under way, and
    a fill older than its fence is neither installed nor given to anyone: who waited for it may have asked after
    the change.

    A waiter goes on some turns of the loop after the fill has landed, and what it is given counts as right at that
    later moment. So landed fills are fenced, too, until nobody waits for them.
    """

    entries: MutableMapping[K, Read[V]]
    fill: Callable[[K], Awaitable[Read[V]]]
    counters: CacheCounters = field(default_factory=CacheCounters)
    _flights: dict[K, _Flight[V]] = field(default_factory=dict)
    """In the air."""
    _landed: dict[K, list[_Flight[V]]] = field(default_factory=dict)

    def peek(self, key: K) -> Read[V] | None:
        """What is cached, if anything: right up to the last change applied."""
        cached = self.entries.get(key)
        if cached is not None:
            self.counters.hits += 1
        return cached

    async def get(self, key: K) -> Read[V]:
        """Cached or read anew; right up to the last change applied before the call, or later."""
        while True:
            cached = self.peek(key)
            if cached is not None:
                return cached
            flight = self._flights.get(key)
            if flight is None:
                self.counters.misses += 1
                flight = self._take_off(key)
            flight.waiters += 1
            try:
                # Shielded: one waiter's cancellation must not take the answer from the others.
                read = await asyncio.shield(flight.result)
            finally:
                self._leave(key, flight)
            if self._current(flight, read):
                return read

    def invalidate(self, key: K, number: int) -> None:
        """A change of the key at this revision number is known: nothing older may be answered from here on."""
        cached = self.entries.get(key)
        if cached is not None and cached.revision.number < number:
            del self.entries[key]
            self.counters.invalidations += 1
        for flight in self._waited_for(key):
            flight.fence = max(flight.fence, number)

    def forget(self, matches: Callable[[K], bool]) -> None:
        """Drops every key that matches, and voids its fill: history itself may be another one."""
        for key in [key for key in self.entries if matches(key)]:
            del self.entries[key]
        for key in [key for key in {*self._flights, *self._landed} if matches(key)]:
            for flight in self._waited_for(key):
                flight.void = True
            self._flights.pop(key, None)

    def _waited_for(self, key: K) -> list[_Flight[V]]:
        flight, landed = self._flights.get(key), self._landed.get(key, [])
        return landed if flight is None else [flight, *landed]

    def _leave(self, key: K, flight: _Flight[V]) -> None:
        """One waiter less; the last one of a fill that has landed lets go of it, and of one that has not, ends it."""
        flight.waiters -= 1
        if not flight.waiters and self._flights.get(key) is flight:
            # All callers have gone: what nobody waits for must not wait for the store. Who asks now starts another.
            # Void, since it may still come through (see tasks.py), and no change raises its fence any more.
            flight.void = True
            del self._flights[key]
            flight.result.cancel()
        landed = self._landed.get(key)
        if landed and not flight.waiters and flight in landed:
            landed.remove(flight)
            if not landed:
                del self._landed[key]

    def _take_off(self, key: K) -> _Flight[V]:
        flight: _Flight[V] = _Flight()
        self._flights[key] = flight
        flight.result = asyncio.ensure_future(self._fly(key, flight))
        # Its waiters may all be gone by then: a failure that nobody asks for is no news.
        flight.result.add_done_callback(lambda result: result.cancelled() or result.exception())
        return flight

    async def _fly(self, key: K, flight: _Flight[V]) -> Read[V]:
        """Lands in the same step as the result appears: who finds the flight in the table finds it in the air."""
        try:
            read = await self.fill(key)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if flight.waiters:
                self._landed.setdefault(key, []).append(flight)
        if not self._current(flight, read):
            self.counters.fenced += 1
            return read
        # cachetools refuses one value larger than the whole cache: it is answered, not kept.
        with suppress(ValueError):
            self.entries[key] = read
        return read

    @staticmethod
    def _current(flight: _Flight[V], read: Read[V]) -> bool:
        return not flight.void and read.revision.number >= flight.fence
