"""Reads that know how fresh they are: the caches and feeds of all namespaces, behind one door."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from promptwire_service.domain.convergence import AliasPoint, Survey
from promptwire_service.domain.reads import Answer, Freshness
from promptwire_service.domain.records import PromptRecord, Read, VersionRecord
from promptwire_service.domain.status import NamespaceStatus, WatcherStatus
from promptwire_service.storage.base import Store
from promptwire_service.storage.cached import PROMPT_TTL_SECONDS, CachedStore
from promptwire_service.watch.feed import Feed
from promptwire_service.watch.hub import Hub
from promptwire_service.watch.survey import Surveyor
from promptwire_service.watch.watcher import Watcher

T = TypeVar("T")

CACHE_MAX_BYTES = 256 << 20
GOODBYE_RETRY_MS = 200
IDLE_SECONDS = 300.0


@dataclass(slots=True)
class Space:
    """One namespace that is followed: what is known of it, and when it was last asked for."""

    feed: Feed
    hub: Hub
    surveyor: Surveyor
    used_at: float


class Coherence:
    """Owns the cached store and one feed and hub for each namespace in use; see commands.context.Reader."""

    def __init__(
        self,
        store: Store,
        cache_max_bytes: int = CACHE_MAX_BYTES,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = CachedStore(store, cache_max_bytes)
        self.draining = False
        self._messages = store
        self._clock = clock
        self._spaces: dict[str, Space] = {}
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._reaper = asyncio.create_task(self._reap(), name="promptwire-reaper")

    async def close(self) -> None:
        """Stops following; does not close the store."""
        if self._reaper:
            self._reaper.cancel()
        for space in self._spaces.values():
            await space.surveyor.close()
            await space.feed.close()
        self._spaces.clear()

    def drain(self) -> None:
        """Asks every watcher to go elsewhere; from here on no stream is to begin or to go on waiting."""
        self.draining = True
        for space in self._spaces.values():
            space.feed.release()
            for watcher in space.hub.watchers:
                watcher.goodbye(GOODBYE_RETRY_MS)

    async def prompt(self, namespace: str, name: str, freshness: Freshness) -> Answer[PromptRecord | None]:
        space = await self._fresh(namespace, freshness)
        read = self.store.peek_prompt(namespace, name) or await self.store.prompt(namespace, name)
        return self._answer(space, read)

    async def version(
        self, namespace: str, name: str, version: int, freshness: Freshness
    ) -> Answer[VersionRecord | None]:
        space = await self._fresh(namespace, freshness)
        read = self.store.peek_version(namespace, name, version) or await self.store.version(namespace, name, version)
        return self._answer(space, read)

    def known(self, namespace: str) -> Answer[None] | None:
        space = self._spaces.get(namespace)
        if space is None or not space.feed.head.epoch:
            return None
        space.used_at = self._clock()
        age = space.used_at - space.feed.checked_at
        return Answer(None, space.feed.head, age) if age < PROMPT_TTL_SECONDS else None

    async def reach(self, namespace: str, freshness: Freshness) -> None:
        await self._fresh(namespace, freshness)

    async def space(self, namespace: str) -> Space:
        """The namespace, followed from now on. Raises the store's error if it cannot be for the first time."""
        space = self._spaces.get(namespace)
        if space is None:
            hub = Hub(namespace, self.store)
            hub.feed = Feed(namespace, self.store, hub, clock=self._clock)
            space = self._spaces[namespace] = Space(
                hub.feed, hub, Surveyor(namespace, self._messages, hub), self._clock()
            )
        space.used_at = self._clock()
        if not space.feed.checked:
            await space.feed.look()
        return space

    def namespaces(self) -> list[str]:
        """Those that are followed."""
        return list(self._spaces)

    async def status(self, namespace: str) -> NamespaceStatus:
        """Of a namespace as it is known here, without asking the store."""
        space = self._spaces.get(namespace)
        known = space is not None and space.feed.checked
        now, wall_ms = self._clock(), time.time_ns() // 1_000_000
        return NamespaceStatus(
            revision=space.feed.head if space and known else None,
            checked_ms=wall_ms - int((now - space.feed.checked_at) * 1000) if space and known else None,
            caches=self.store.status(),
            watchers=tuple(_watcher_status(watcher) for watcher in space.hub.watchers) if space else (),
            watcher_count=sum(len(space.hub.watchers) for space in self._spaces.values()),
        )

    async def survey(self, namespace: str, epoch: str, points: Sequence[AliasPoint], wait_seconds: float) -> Survey:
        space = await self.space(namespace)
        return await space.surveyor.ask(epoch, points, wait_seconds)

    async def _fresh(self, namespace: str, freshness: Freshness) -> Space:
        space = await self.space(namespace)
        if freshness.strong:
            # What is applied after a look that began after the request holds every write acknowledged before it.
            await space.feed.look()
        if freshness.min_revision:
            await space.feed.reach(freshness.min_revision)
        return space

    def _answer(self, space: Space, read: Read[T]) -> Answer[T]:
        """What a cache holds, or a fill has brought, has not changed since it was read, up to the cursor.

        A fill may have begun before who is answered asked: so only the cursor tells how old it is, and how new.
        """
        head = space.feed.head
        later = head.epoch == read.revision.epoch and head.number > read.revision.number
        return Answer(read.value, head if later else read.revision, self._clock() - space.feed.checked_at)

    async def _reap(self) -> None:
        """Stops following namespaces that nobody has asked for in a while: else a client could make us follow any
        number.
        """
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            await self.let_go_of_idle()

    async def let_go_of_idle(self) -> None:
        for namespace, space in list(self._spaces.items()):
            if not space.hub.watchers and self._clock() - space.used_at > IDLE_SECONDS:
                del self._spaces[namespace]
                self.store.reset(namespace)
                await space.surveyor.close()
                await space.feed.close()


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
