"""Caching as a wrapper: a Store that answers prompts and versions from memory, kept right by whoever follows the
log.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from typing import Any

from cachetools import Cache, LRUCache, TTLCache

from promptwire_service.domain.changes import (
    Change,
    LogEntry,
    LogHead,
    LogPage,
    TagsDeleted,
    TagsSet,
    VersionPurged,
    VersionRegistered,
)
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.kept import AliasMoved, Deleted, Dependents, KeptWrite
from promptwire_service.domain.metrics import Group, ObservedPart, Recorded, Wanted
from promptwire_service.domain.operations import DeleteTags, Register, SetTags, Write, Written
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow
from promptwire_service.domain.status import CacheStatus
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.batched import BatchedReads
from promptwire_service.storage.fenced import FencedCache

PromptKey = tuple[str, str]
VersionKey = tuple[str, str, int]

# A backstop for what should never happen, not the means of staying right: the log is.
PROMPT_TTL_SECONDS = 60.0
_NOTHING_BYTES = 500
_PROMPTS_AT_ONCE = 64
_VERSIONS_AT_ONCE = 16
"""Of up to 1 MiB of content each: one script must not keep the store from others for long."""


class CachedStore:
    """Wraps a Store. Keys begin with the namespace, so nothing crosses one.

    Prompts get a quarter of `max_bytes`, versions the rest. An answer is right up to the last change given to
    `apply`, and includes every write made through this wrapper.
    """

    def __init__(self, store: Store, max_bytes: int) -> None:
        self._store = store
        self._notify: list[Callable[[str, int], None]] = []
        prompts: TTLCache[PromptKey, tuple[int, Read[PromptRecord | None]]] = TTLCache(
            max_bytes // 4, PROMPT_TTL_SECONDS, getsizeof=_bytes
        )
        versions: LRUCache[VersionKey, tuple[int, Read[VersionRecord | None]]] = LRUCache(
            max_bytes - max_bytes // 4, getsizeof=_bytes
        )
        self._sizes: dict[str, Cache[Any, Any]] = {"prompts": prompts, "versions": versions}
        self._prompt_reads = BatchedReads[str, PromptRecord | None](self.read_prompts, _PROMPTS_AT_ONCE)
        self._version_reads = BatchedReads[tuple[str, int], VersionRecord | None](self.read_versions, _VERSIONS_AT_ONCE)
        self._prompts = FencedCache(prompts, lambda key: self._prompt_reads.read(*key), _namespace_of)
        self._versions = FencedCache(versions, lambda key: self._version_reads.read(key[0], key[1:]), _namespace_of)

    async def prompt(self, namespace: str, name: str) -> Read[PromptRecord | None]:
        return await self._prompts.get((namespace, name))

    async def version(self, namespace: str, name: str, version: int) -> Read[VersionRecord | None]:
        return await self._versions.get((namespace, name, version))

    def peek_prompt(self, namespace: str, name: str) -> Read[PromptRecord | None] | None:
        """The cached answer, if there is one: right up to the last change applied."""
        return self._prompts.peek((namespace, name))

    def peek_version(self, namespace: str, name: str, version: int) -> Read[VersionRecord | None] | None:
        """The same for a version."""
        return self._versions.peek((namespace, name, version))

    def apply(self, namespace: str, entries: Iterable[LogEntry]) -> None:
        """Makes the caches right up to these entries."""
        for entry in entries:
            for change in entry.changes:
                self._prompts.invalidate((namespace, change.name), entry.number)
                version = _changed_version(change)
                if version is not None:
                    self._versions.invalidate((namespace, change.name, version), entry.number)

    def reset(self, namespace: str) -> None:
        """Drops all of a namespace: it is followed from now on, or its history is another one or has a gap."""
        self._prompts.restart(namespace)
        self._versions.restart(namespace)

    def evict(self, namespace: str) -> None:
        """Drops all of a namespace, and keeps nothing of it until `reset`: nobody follows it any more."""
        self._prompts.evict(namespace)
        self._versions.evict(namespace)

    def status(self) -> tuple[CacheStatus, ...]:
        counters = {"prompts": self._prompts.counters, "versions": self._versions.counters}
        return tuple(
            CacheStatus(
                name=name,
                entries=len(cache),
                bytes=int(cache.currsize),
                max_bytes=int(cache.maxsize),
                hits=counters[name].hits,
                misses=counters[name].misses,
                fenced=counters[name].fenced,
                invalidations=counters[name].invalidations,
            )
            for name, cache in self._sizes.items()
        )

    async def write(self, namespace: str, write: Write) -> Written:
        written = await self._store.write(namespace, write)
        if write.dry_run:
            return written
        number = written.revision.number
        for operation, result in zip(write.operations, written.results, strict=True):
            self._prompts.invalidate((namespace, operation.name), number)
            match operation:
                case Register():
                    self._versions.invalidate((namespace, operation.name, result.version), number)
                case SetTags(version=int(version)) | DeleteTags(version=int(version)):
                    self._versions.invalidate((namespace, operation.name, version), number)
        for notify in self._notify:
            notify(namespace, number)
        return written

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        return await self._store.read_prompts(namespace, names)

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        return await self._store.read_versions(namespace, keys)

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        return await self._store.list_prompts(namespace, after=after, prefix=prefix, limit=limit)

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        return await self._store.list_versions(namespace, name, before=before, limit=limit, max_bytes=max_bytes)

    async def find_versions(
        self, namespace: str, plan: Plan, *, after: str, limit: int, content: Contents
    ) -> Read[Candidates[VersionRow]]:
        return await self._store.find_versions(namespace, plan, after=after, limit=limit, content=content)

    async def find_prompts(
        self, namespace: str, plan: Plan, *, after: str, limit: int
    ) -> Read[Candidates[PromptRecord]]:
        return await self._store.find_prompts(namespace, plan, after=after, limit=limit)

    async def read_rows(
        self, namespace: str, keys: Sequence[tuple[str, int]], *, max_bytes: int
    ) -> Read[list[VersionRow | None]]:
        return await self._store.read_rows(namespace, keys, max_bytes=max_bytes)

    async def read_prompt_rows(
        self, namespace: str, names: Sequence[str], *, max_bytes: int
    ) -> Read[list[PromptRecord | None]]:
        return await self._store.read_prompt_rows(namespace, names, max_bytes=max_bytes)

    async def read_history(
        self, namespace: str, name: str, alias: str, *, before: int, at_ms: int | None, limit: int
    ) -> Read[list[AliasMoved]]:
        return await self._store.read_history(namespace, name, alias, before=before, at_ms=at_ms, limit=limit)

    async def read_audit(self, namespace: str, *, after: int, limit: int) -> Read[list[KeptWrite]]:
        return await self._store.read_audit(namespace, after=after, limit=limit)

    async def read_releases(self, namespace: str, *, before: int, limit: int) -> Read[list[KeptWrite]]:
        return await self._store.read_releases(namespace, before=before, limit=limit)

    async def list_deleted(self, namespace: str, *, skip: int, limit: int) -> Read[list[Deleted]]:
        return await self._store.list_deleted(namespace, skip=skip, limit=limit)

    def namespaces_with_deletions(self) -> AsyncIterator[str]:
        return self._store.namespaces_with_deletions()

    async def read_dependents(
        self, namespace: str, name: str, *, version: int | None, after: str, limit: int
    ) -> Read[Dependents]:
        return await self._store.read_dependents(namespace, name, version=version, after=after, limit=limit)

    async def record_metrics(
        self, namespace: str, groups: Sequence[Group], request_id: str, asked: str = ""
    ) -> Recorded:
        return await self._store.record_metrics(namespace, groups, request_id, asked)

    async def read_metrics(self, namespace: str, name: str, wanted: Wanted, *, after: str) -> Read[ObservedPart]:
        return await self._store.read_metrics(namespace, name, wanted, after=after)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        return await self._store.read_log(namespace, after=after, limit=limit)

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        return await self._store.renew_epoch(namespace, epoch)

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        return await self._store.read_heads(namespaces)

    def partition(self, namespace: str) -> Hashable:
        return self._store.partition(namespace)

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        """Calls `notify` as the store does, and at once for writes made through this wrapper."""
        stop = self._store.on_notify(notify)
        self._notify.append(notify)

        def stop_both() -> None:
            stop()
            self._notify.remove(notify)

        return stop_both

    def on_message(self, topic: str, receive: Callable[[str, str], None]) -> Callable[[], None]:
        return self._store.on_message(topic, receive)

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        return await self._store.publish(namespace, topic, text)

    async def info(self) -> StoreInfo:
        return await self._store.info()

    async def close(self) -> None:
        await self._store.close()


def _changed_version(change: Change) -> int | None:
    """The version whose record a change makes or alters."""
    return change.version if isinstance(change, VersionRegistered | TagsSet | TagsDeleted | VersionPurged) else None


def _namespace_of(key: PromptKey | VersionKey) -> str:
    return key[0]


def _bytes(entry: tuple[int, Read[PromptRecord | None] | Read[VersionRecord | None]]) -> int:
    read = entry[1]
    return read.value.size_bytes if read.value else _NOTHING_BYTES
