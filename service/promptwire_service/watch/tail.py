"""Following one namespace's log: the one place that decides what is known of it, and up to where."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from promptwire_service.domain.changes import LogEntry, LogHead, LogPage
from promptwire_service.domain.errors import RegistryError, store_behind
from promptwire_service.domain.records import Revision
from promptwire_service.storage.base import Store
from promptwire_service.storage.tasks import end
from promptwire_service.watch.heads import HeadReader

_log = structlog.get_logger(__name__)

_PAGE_ENTRIES: Final = 256
_EPOCHS_KEPT: Final = 16


class Follower(Protocol):
    """Is told what the log says, in order."""

    def invalidate(self, entries: Sequence[LogEntry]) -> None:
        """Takes note of these changes; called before anyone may see the cursor behind them."""
        ...

    async def dispatch(self, entries: Sequence[LogEntry], head: Revision) -> int:
        """Publishes the same entries, or none, to others; `head` is where the tail stands after them.

        Returns a revision number up to which the tail has to read on before that can be published, 0 for none. When it
        raises, it is called again soon, without these entries: it keeps what it has not published yet.
        """
        ...

    async def restart(self, head: Revision, reason: str) -> int:
        """Drops what was known, which no longer counts; the tail goes on after `head`. Returns and raises as
        `dispatch`.
        """
        ...

    def is_published(self, head: Revision) -> bool:
        """Whether everything up to the cursor `head` is published: then `dispatch` without entries would do nothing."""
        ...


class Tail:
    """One namespace's cursor in its log.

    `head` is the cursor. `synced_at` is the time (of `clock`, in seconds) at which the last poll that found everything
    began: up to then, nothing is missing. Nothing runs here by itself: the LogTailer polls, and so does whoever wants a
    fresh answer.
    """

    __slots__ = (
        "_catching_up",
        "_clock",
        "_follower",
        "_heads",
        "_left",
        "_moved",
        "_next",
        "_request_id",
        "_store",
        "failing",
        "head",
        "namespace",
        "polled_at",
        "synced_at",
    )

    def __init__(
        self,
        namespace: str,
        store: Store,
        heads: HeadReader,
        follower: Follower,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.namespace = namespace
        self.head = Revision("", 0)
        self.synced_at = -float("inf")
        self.polled_at = -float("inf")
        """When the LogTailer polled it last, by the event loop's clock."""
        self.failing = False
        """Whether the last attempt to follow it failed, which the log has been told."""
        self._store = store
        self._heads = heads
        self._follower = follower
        self._clock = clock
        self._request_id = ""
        """Of the entry at `head`; empty if it is not known."""
        self._left: deque[str] | None = None
        """Epochs that the store has had before."""
        self._moved: asyncio.Event | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def is_synced(self) -> bool:
        """Whether a poll has found everything yet: before that there is a cursor at most, and no telling how old."""
        return self.synced_at > -float("inf")

    @property
    def is_catching_up(self) -> bool:
        return self._catching_up is not None or self._next is not None

    async def begin(self, head: LogHead, began_at: float) -> None:
        """Starts at a head that was just read, for a follower that knows nothing yet."""
        await self._follower.restart(head.revision, "EPOCH_CHANGED")
        self._move(head.revision, head.request_id)
        self.synced_at = began_at

    async def close(self) -> None:
        for task in (self._catching_up, self._next):
            if task:
                await end(task)

    async def poll(self, patience_seconds: float = 0.0) -> None:
        """Returns once everything is applied that was in the log when this was called. Raises the store's error.

        With patience, it may begin that much later, to share a round trip with others.
        """
        head, began_at = await self._heads.read(self.namespace, patience_seconds)
        if not self.reconcile(head, began_at):
            await self.catch_up()

    def reconcile(self, head: LogHead, began_at: float) -> bool:
        """Takes note of where the log stood at `began_at`, if the cursor is there; whether it is."""
        if (
            (head.revision is not self.head and head.revision != self.head)
            or (self._request_id and head.request_id != self._request_id and head.request_id)
            or not self._follower.is_published(self.head)
        ):
            return False
        # The very objects, which stores hand out again while nothing changes: then comparing costs nothing.
        self.head, self._request_id = head.revision, head.request_id or self._request_id
        self.synced_at = max(self.synced_at, began_at)
        self.failing = False
        return True

    async def catch_up(self) -> None:
        """Returns once a read of the log that began after this call has found everything; raises the store's error.

        Calls that come while one is under way share the next one.
        """
        await asyncio.shield(self.catch_up_soon())

    def catch_up_soon(self) -> asyncio.Task[None]:
        if self._next is None:
            self._next = asyncio.create_task(
                self._catch_up_after(self._catching_up), name=f"promptwire-tail-{self.namespace}"
            )
            # Nobody may wait for it: then nobody retrieves its exception, which is logged by `_catch_up_after`.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._next

    async def reach(self, revision: Revision) -> None:
        """Returns once the cursor is at or past the revision; at once when its epoch is not, or no longer, the
        store's.
        """
        for attempt in range(2):
            if revision.epoch == self.head.epoch and revision.number <= self.head.number:
                return
            if attempt == 0:
                await self.poll()
        if revision.epoch == self.head.epoch:
            raise store_behind(revision.number, self.head.number)

    async def wait_moved(self, known: Revision) -> None:
        """Returns once the cursor is not at `known` any more, or `release` was called."""
        if self.head == known:
            if self._moved is None:
                self._moved = asyncio.Event()
            await self._moved.wait()

    def release(self) -> None:
        """Lets everyone in `wait_moved` return."""
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def note_failure(self, error: Exception) -> None:
        if not self.failing:
            log = _log.warning if isinstance(error, RegistryError) else _log.exception
            log("cannot follow the log", namespace=self.namespace, error=str(error))
        self.failing = True

    async def _catch_up_after(self, running: "asyncio.Task[None] | None") -> None:
        if running is not None:
            await asyncio.wait([running])
        self._catching_up, self._next = self._next, None
        try:
            await self._read_log()
            self.failing = False
        except Exception as error:
            self.note_failure(error)
            raise
        finally:
            self._catching_up = None

    async def _read_log(self) -> None:
        began_at = self._clock()
        while True:
            cursor = self.head
            page = await self._store.read_log(self.namespace, after=cursor.number, limit=_PAGE_ENTRIES)
            if self._is_rewound(page):
                # An older copy of this history, restored without a restart. Who was ahead of it, and is away now, must
                # not take what comes next for what it knows.
                _log.warning("history was rewound, it gets another epoch", namespace=self.namespace)
                await self._store.renew_epoch(self.namespace, page.head.epoch)
                continue
            if reason := _why_restart(cursor, page.head, page.floor, page.entries):
                if cursor.epoch:
                    _log.warning("history starts over", namespace=self.namespace, reason=reason, head=page.head.number)
                needed = await self._follower.restart(page.head, reason)
                if cursor.epoch not in ("", page.head.epoch):
                    self._left = self._left or deque(maxlen=_EPOCHS_KEPT)
                    self._left.append(cursor.epoch)
                self._move(page.head, "")
            else:
                self._request_id = page.cursor_request_id
                if page.entries:
                    self._follower.invalidate(page.entries)
                    last = page.entries[-1]
                    self._move(Revision(cursor.epoch, last.number), last.request_id)
                needed = await self._follower.dispatch(page.entries, self.head)
            if self.head.number >= max(page.head.number, needed):
                self.synced_at = began_at
                return

    def _move(self, head: Revision, request_id: str) -> None:
        self.head, self._request_id = head, request_id
        self.release()

    def _is_rewound(self, page: LogPage) -> bool:
        """Whether the store went back to a state that it had had before, with all its identity."""
        if page.head.epoch != self.head.epoch:
            return self._left is not None and page.head.epoch in self._left and page.head.number > 0
        known, found = self._request_id, page.cursor_request_id
        return page.head.number < self.head.number or (known != found and bool(known and found))


def _why_restart(cursor: Revision, head: Revision, floor: int, entries: Sequence[LogEntry]) -> str | None:
    if cursor.epoch != head.epoch:
        return "EPOCH_CHANGED"
    if cursor.number < floor:
        return "COMPACTED"
    expected = range(cursor.number + 1, cursor.number + 1 + len(entries))
    if [entry.number for entry in entries] != list(expected):
        return "GAP"
    return None
