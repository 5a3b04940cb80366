"""A cache that cannot keep an old value: fills are fenced by revisions, and one at a time for a key."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Hashable, Iterator, MutableMapping
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
    it began; `generation` is its scope's when it began, None where the scope was not followed. `void` when all its
    waiters have gone.
    """

    scope: Hashable
    generation: int | None
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

    Keys belong to scopes (namespaces), which are invalidated as a whole when their history is another one. That costs
    the same whatever is cached: entries and fills carry the generation of their scope, and count only while it lasts.
    Entries of a scope that is not followed are not kept, because nobody would invalidate them.
    """

    entries: MutableMapping[K, tuple[int, Read[V]]]
    fill: Callable[[K], Awaitable[Read[V]]]
    scope_of: Callable[[K], Hashable]
    counters: CacheCounters = field(default_factory=CacheCounters)
    _flights: dict[K, _Flight[V]] = field(default_factory=dict)
    """In the air."""
    _landed: dict[K, list[_Flight[V]]] = field(default_factory=dict)
    _generations: dict[Hashable, int] = field(default_factory=dict)
    """Of the scopes that are followed."""
    _next_generation: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def peek(self, key: K) -> Read[V] | None:
        """What is cached, if anything: right up to the last change applied."""
        cached = self.entries.get(key)
        if cached is None or cached[0] != self._generations.get(self.scope_of(key)):
            return None
        self.counters.hits += 1
        return cached[1]

    async def get(self, key: K) -> Read[V]:
        """Cached or read anew; right up to the last change applied before the call, or later."""
        while True:
            cached = self.peek(key)
            if cached is not None:
                return cached
            flight = self._flights.get(key)
            if flight is None or flight.generation != self._generations.get(flight.scope):
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
        if cached is not None and cached[1].revision.number < number:
            del self.entries[key]
            self.counters.invalidations += 1
        for flight in self._waited_for(key):
            flight.fence = max(flight.fence, number)

    def restart(self, scope: Hashable) -> None:
        """Drops every entry of a scope and voids its fills: it is followed anew, or its history is another one."""
        self._generations[scope] = next(self._next_generation)

    def evict(self, scope: Hashable) -> None:
        """Drops every entry of a scope and keeps none from now on: nobody follows it any more."""
        self._generations.pop(scope, None)

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
        scope = self.scope_of(key)
        flight: _Flight[V] = _Flight(scope, self._generations.get(scope))
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
        if flight.generation is not None:
            # cachetools refuses one value larger than the whole cache: it is answered, not kept.
            with suppress(ValueError):
                self.entries[key] = (flight.generation, read)
        return read

    def _current(self, flight: _Flight[V], read: Read[V]) -> bool:
        same_history = flight.generation == self._generations.get(flight.scope) and not flight.void
        return same_history and read.revision.number >= flight.fence
