"""How a running service is: values that `GetStatus` gathers."""

from dataclasses import dataclass

from promptwire_service.domain.records import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """One cache, over all namespaces. `fenced` counts fills thrown away because a newer change came meanwhile."""

    name: str
    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    fenced: int
    invalidations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherStatus:
    """One Watch stream. `queued` counts updates that wait to be sent."""

    client_id: str
    client_name: str
    peer: str
    started_ms: int
    subscriptions: int
    sent_revision: int
    applied_revision: int
    queued: int
    resyncs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceStatus:
    """Where a namespace's history is as the service knows it, and who follows it.

    `checked_ms` is when that was last checked against the store; both are None before the first check. `caches` and
    `watcher_count` are over all namespaces, `watchers` are this one's.
    """

    revision: Revision | None
    checked_ms: int | None
    caches: tuple[CacheStatus, ...] = ()
    watchers: tuple[WatcherStatus, ...] = ()
    watcher_count: int = 0
