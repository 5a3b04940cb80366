"""Reads that know how fresh they are: the caches and the followed namespaces, behind one door."""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from promptwire_service.domain.convergence import AliasPoint, Survey
from promptwire_service.domain.errors import store_behind
from promptwire_service.domain.reads import Answer, Freshness
from promptwire_service.domain.records import PromptRecord, Read, VersionRecord
from promptwire_service.domain.status import NamespaceStatus, WatcherStatus
from promptwire_service.storage.base import Store
from promptwire_service.storage.cached import PROMPT_TTL_SECONDS, CachedStore
from promptwire_service.storage.tasks import end
from promptwire_service.watch.heads import HeadRead
from promptwire_service.watch.hub import Hub
from promptwire_service.watch.streams import WatchedNamespaces
from promptwire_service.watch.survey import Surveyor
from promptwire_service.watch.tail import Tail
from promptwire_service.watch.tailer import LogTailer
from promptwire_service.watch.watcher import Watcher

T = TypeVar("T")

CACHE_MAX_BYTES: Final = 256 << 20
GOODBYE_RETRY_MS: Final = 200
IDLE_SECONDS: Final = 300.0
UNWATCHED_MAX: Final = 4_000
"""Namespaces that are followed because they were read, and that no stream watches."""
_GOODBYES_AT_ONCE: Final = 500


@dataclass(slots=True)
class Space:
    """One namespace that is followed: what is known of it, and when it was last asked for."""

    tail: Tail
    hub: Hub
    used_at: float


class Coherence:
    """Owns the cached store, and a tail and hub for each namespace in use; see commands.context.Reader.

    A namespace without data is followed only while a stream watches it. Reads of it are answered from the store.
    """

    def __init__(
        self,
        store: Store,
        cache_max_bytes: int = CACHE_MAX_BYTES,
        *,
        clock: Callable[[], float] = time.monotonic,
        unwatched_max: int = UNWATCHED_MAX,
        watched: WatchedNamespaces | None = None,
    ) -> None:
        self.store = CachedStore(store, cache_max_bytes)
        self.draining = False
        self._clock = clock
        self._unwatched_max = unwatched_max
        self._watched = WatchedNamespaces() if watched is None else watched
        self._tailer = LogTailer(self.store, clock=clock)
        self._spaces: dict[str, Space] = {}
        self._surveyor: Surveyor | None = None
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._surveyor = Surveyor(self.store, self._hub_of)
        self._reaper = asyncio.create_task(self._reap(), name="promptwire-reaper")

    async def close(self) -> None:
        """Stops following; does not close the store."""
        if self._reaper:
            await end(self._reaper)
        if self._surveyor:
            await self._surveyor.close()
        await self._tailer.close()
        self._spaces.clear()

    async def drain(self) -> None:
        """Asks every watcher to go elsewhere; from here on no stream is to begin or to go on waiting."""
        self.draining = True
        count = 0
        for space in list(self._spaces.values()):
            space.tail.release()
            for watcher in space.hub.watchers:
                watcher.goodbye(GOODBYE_RETRY_MS)
                count += 1
            if count >= _GOODBYES_AT_ONCE:
                count = 0
                await asyncio.sleep(0)

    async def prompt(self, namespace: str, name: str, freshness: Freshness) -> Answer[PromptRecord | None]:
        found = await self._fresh(namespace, freshness)
        if isinstance(found, Answer):
            return found
        read = self.store.peek_prompt(namespace, name) or await self.store.prompt(namespace, name)
        return self._answer(found, read)

    async def version(
        self, namespace: str, name: str, version: int, freshness: Freshness
    ) -> Answer[VersionRecord | None]:
        found = await self._fresh(namespace, freshness)
        if isinstance(found, Answer):
            return found
        read = self.store.peek_version(namespace, name, version) or await self.store.version(namespace, name, version)
        return self._answer(found, read)

    def known(self, namespace: str) -> Answer[None] | None:
        space = self._spaces.get(namespace)
        if space is None or not space.tail.head.epoch:
            return None
        space.used_at = self._clock()
        age = space.used_at - space.tail.synced_at
        return Answer(None, space.tail.head, age) if age < PROMPT_TTL_SECONDS else None

    async def reach(self, namespace: str, freshness: Freshness) -> Answer[None]:
        found = await self._fresh(namespace, freshness)
        if isinstance(found, Answer):
            return found
        return Answer(None, found.tail.head, self._clock() - found.tail.synced_at)

    @asynccontextmanager
    async def watching(self, peer: str, namespace: str) -> AsyncIterator[Space]:
        """The namespace, followed for as long as the block lasts, with data or without.

        Raises RESOURCE_EXHAUSTED past the bounds of watched namespaces, and the store's error as `space`.
        """
        self._watched.acquire(peer, namespace)
        try:
            yield await self.space(namespace)
        finally:
            self._watched.release(peer, namespace)

    async def space(self, namespace: str) -> Space:
        """The namespace, followed from now on. Raises the store's error if it cannot be for the first time."""
        space = self._spaces.get(namespace)
        if space is None:
            read = await self._tailer.heads.read(namespace)
            space = self._spaces.get(namespace) or await self._follow(namespace, read)
        space.used_at = self._clock()
        if not space.tail.is_synced:
            await space.tail.poll()
        return space

    def namespaces(self) -> list[str]:
        """Those that are followed."""
        return list(self._spaces)

    async def status(self, namespace: str) -> NamespaceStatus:
        """Of a namespace as it is known here, without asking the store."""
        space = self._spaces.get(namespace)
        known = space is not None and space.tail.is_synced
        now, wall_ms = self._clock(), time.time_ns() // 1_000_000
        return NamespaceStatus(
            revision=space.tail.head if space and known else None,
            checked_ms=wall_ms - int((now - space.tail.synced_at) * 1000) if space and known else None,
            caches=self.store.status(),
            watchers=tuple(_watcher_status(watcher) for watcher in space.hub.watchers) if space else (),
            watcher_count=sum(len(space.hub.watchers) for space in self._spaces.values()),
        )

    async def survey(self, namespace: str, epoch: str, points: Sequence[AliasPoint], wait_seconds: float) -> Survey:
        assert self._surveyor is not None, "the service has started"
        return await self._surveyor.ask(namespace, epoch, points, wait_seconds)

    async def _fresh(self, namespace: str, freshness: Freshness) -> Space | Answer[None]:
        """The namespace, with caches at least this fresh; or, where it has no data, the answer to whatever is read."""
        space = self._spaces.get(namespace)
        if space is None:
            read = await self._tailer.heads.read(namespace)
            space = self._spaces.get(namespace)
            if space is None and not read.head.revision.number:
                return self._without_data(read, freshness)
            if space is None:
                space = await self._follow(namespace, read)
        space.used_at = self._clock()
        if not space.tail.is_synced or freshness.strong:
            # What is applied after a poll that began after the request holds every write acknowledged before it.
            await space.tail.poll()
        if freshness.min_revision:
            await space.tail.reach(freshness.min_revision)
        return space

    def _without_data(self, read: HeadRead, freshness: Freshness) -> Answer[None]:
        """Nothing is there, as of a read that began after the request: no answer could be fresher."""
        at, least = read.head.revision, freshness.min_revision
        if least and least.epoch == at.epoch and least.number > at.number:
            raise store_behind(least.number, at.number)
        return Answer(None, at, self._clock() - read.began_at)

    def _answer(self, space: Space, read: Read[T]) -> Answer[T]:
        """What a cache holds, or a fill has brought, has not changed since it was read, up to the cursor.

        A fill may have begun before who is answered asked: so only the cursor tells how old it is, and how new.
        """
        head = space.tail.head
        later = head.epoch == read.revision.epoch and head.number > read.revision.number
        return Answer(read.value, head if later else read.revision, self._clock() - space.tail.synced_at)

    async def _follow(self, namespace: str, read: HeadRead) -> Space:
        hub = Hub(namespace, self.store)
        hub.tail = self._tailer.follow(namespace, hub)
        space = self._spaces[namespace] = Space(hub.tail, hub, self._clock())
        self._evict_least_recently_used(keep=namespace)
        await space.tail.begin(*read)
        return space

    def _evict_least_recently_used(self, keep: str) -> None:
        """Keeps unwatched namespaces within their bound. A tenth goes at a time: finding them looks at all of them."""
        if len(self._spaces) - len(self._watched) <= self._unwatched_max:
            return
        idle = [
            (space.used_at, namespace)
            for namespace, space in self._spaces.items()
            if namespace != keep and self._is_evictable(namespace, space)
        ]
        if len(idle) >= self._unwatched_max:
            for _, namespace in heapq.nsmallest(max(1, self._unwatched_max // 10), idle):
                self._evict(namespace)

    def _is_evictable(self, namespace: str, space: Space) -> bool:
        return not space.hub.watchers and namespace not in self._watched and not space.tail.is_catching_up

    def _evict(self, namespace: str) -> None:
        self._tailer.unfollow(self._spaces.pop(namespace).tail)
        self.store.evict(namespace)

    async def _reap(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            self.evict_idle()

    def evict_idle(self) -> None:
        """Stops following unwatched namespaces that are empty, or that nobody has asked for in a while."""
        for namespace, space in list(self._spaces.items()):
            idle = self._clock() - space.used_at > IDLE_SECONDS
            if (idle or not space.tail.head.number) and self._is_evictable(namespace, space):
                self._evict(namespace)

    def _hub_of(self, namespace: str) -> Hub | None:
        space = self._spaces.get(namespace)
        return space.hub if space else None


def _watcher_status(watcher: Watcher) -> WatcherStatus:
    return WatcherStatus(
        client_id=watcher.client_id,
        client_name=watcher.client_name,
        peer=watcher.peer,
        started_ms=watcher.started_ms,
        subscriptions=len(watcher.follows),
        sent_revision=watcher.sent_revision,
        applied_revision=watcher.applied_revision,
        queued=watcher.queued,
        resyncs=watcher.resyncs,
    )
