"""How the client and the service say they are."""

from dataclasses import dataclass

from promptwire.values import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatus:
    """How a client's copy of its prompts is. It costs no call."""

    target: str
    namespace: str
    client_id: str
    """The watcher of this id in ServerStatus is this client."""
    connected: bool
    """Whether the watch stream is open and has answered."""
    fresh: bool
    """Whether the watch vouches for the table now."""
    age_seconds: float | None
    """Since when that was last confirmed; None before the first time."""
    fresh_until: float | None
    """When the lease runs out, as time.time() counts; None before the first confirmation."""
    revision: Revision | None
    """Where pushes have led; None before the first."""
    entries: int
    """References that load without asking."""
    prompts: int
    """Prompts followed."""
    reconnects: int
    metrics_waiting: int
    """Observations that the service has not taken yet."""
    metrics_dropped: int
    """Observations that were dropped since there was no room, or the service refused them."""
    last_error: str
    """Why the last stream ended; empty when none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The store behind the service."""

    location: str
    server: str
    durability: str
    """What an acknowledged write survives: `fsync`, `replicated` or `none`."""
    reachable: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """One cache of the service."""

    name: str
    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    fenced: int
    """Fills thrown away because a newer change came while they were under way."""
    invalidations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherStatus:
    """One agent's stream."""

    client_id: str
    client_name: str
    peer: str
    start_timestamp: int
    """Milliseconds since 1970."""
    subscriptions: int
    sent_revision: int
    applied_revision: int
    """The last that the agent said it has applied; 0 before the first."""
    queued: int
    resyncs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How the service is, with the watchers of the client's namespace."""

    version: str
    start_timestamp: int
    """Milliseconds since 1970."""
    store: StoreStatus
    revision: Revision
    checked_timestamp: int | None
    """Milliseconds since 1970 of the last check against the store; None before the first."""
    caches: tuple[CacheStatus, ...]
    watchers: tuple[WatcherStatus, ...]
    watcher_count: int
    """Streams of all namespaces."""
