"""Which watchers of one namespace have applied which changes of aliases, and how long it took."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from promptwire_service.domain.changes import AliasDeleted, AliasSet, LogEntry
from promptwire_service.domain.convergence import DELAY_BUCKETS, AliasPoint, Lag, Part
from promptwire_service.domain.records import Revision
from promptwire_service.watch.watcher import Watcher

CHANGES_KEPT = 100


@dataclass(slots=True)
class _Timed:
    """A change and the delays of those who were there for it. `published_at` is by the clock."""

    point: AliasPoint
    published_at: float | None = None
    delay_counts: list[int] = field(default_factory=lambda: [0] * DELAY_BUCKETS)
    slowest_ms: float = 0.0


class Convergence:
    """Told by the hub what is published, and by each stream what its agent has applied.

    An agent cannot have applied what is not published here yet: a service that is behind counts its agents as lagging.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changes: deque[_Timed] = deque(maxlen=CHANGES_KEPT)
        self._moved = asyncio.Event()

    def learn(self, entries: Sequence[LogEntry]) -> None:
        for entry in entries:
            for change in entry.changes:
                if isinstance(change, AliasSet | AliasDeleted):
                    self._changes.append(_Timed(AliasPoint(entry.number, change.name, change.alias)))

    def published(self, head: Revision) -> None:
        now = self._clock()
        for change in reversed(self._changes):
            if change.published_at is not None:
                break
            if change.point.number <= head.number:
                change.published_at = now
        self.moved()

    def restart(self) -> None:
        """Another history: its numbers mean nothing here."""
        self._changes.clear()

    def applied(self, watcher: Watcher, number: int, held_seconds: float) -> None:
        """A report, which may not be older than the one before."""
        before = watcher.applied_revision
        if number <= before:
            return
        watcher.applied_revision = number
        applied_at = self._clock() - held_seconds
        # What it found there when it came, it did not wait for.
        since = max(before, watcher.joined_revision)
        for change in reversed(self._changes):
            if change.point.number <= since:
                break
            if change.point.number <= number and change.published_at is not None and _follows(watcher, change.point):
                delay_ms = max(0.0, (applied_at - change.published_at) * 1_000)
                change.delay_counts[_bucket(delay_ms)] += 1
                change.slowest_ms = max(change.slowest_ms, delay_ms)
        self.moved()

    def moved(self) -> None:
        """Lets those who wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait_moved(self) -> None:
        await self._moved.wait()

    def part(self, point: AliasPoint, watchers: Iterable[Watcher], *, known: bool) -> Part:
        """What these watchers have of a change. `known`: its history is the one that is published."""
        part = Part()
        for watcher in watchers:
            if not _follows(watcher, point):
                continue
            if not watcher.reports:
                part.silent += 1
                continue
            part.agents += 1
            if known and watcher.applied_revision >= point.number:
                part.converged += 1
            else:
                part.add_lag(Lag(watcher.client_id, watcher.client_name, watcher.peer, watcher.applied_revision))
        timed = next((change for change in self._changes if change.point == point), None)
        if known and timed:
            part.delay_counts = list(timed.delay_counts)
            part.slowest_ms = timed.slowest_ms
        return part


def _follows(watcher: Watcher, point: AliasPoint) -> bool:
    return point.alias in watcher.follows.get(point.name, ())


def _bucket(delay_ms: float) -> int:
    """Of up to 1 ms, up to 2 ms, up to 4 ms, and so on; the last one takes the rest."""
    return min(DELAY_BUCKETS - 1, max(0, (int(-(-delay_ms // 1)) - 1).bit_length()))
