"""Following one namespace's log: the one place that decides what is known and up to where."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from promptwire_service.domain.changes import LogEntry, LogPage
from promptwire_service.domain.errors import RegistryError, store_behind
from promptwire_service.domain.records import Revision
from promptwire_service.storage.base import Store
from promptwire_service.storage.tasks import end

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.1
_PAGE_ENTRIES = 256
_EPOCHS_KEPT = 16


class Follower(Protocol):
    """Who is told what the log says, in order."""

    def invalidate(self, entries: Sequence[LogEntry]) -> None:
        """These changes are known from now on; called before anyone may see the cursor behind them."""
        ...

    async def dispatch(self, entries: Sequence[LogEntry], head: Revision) -> int:
        """The same entries again, or none, to be told to others; `head` is where the feed stands after them.

        Returns a revision number up to which the feed has to read on before that can be told, 0 for none. When it
        raises, it is called again soon, without these entries: it keeps what it has not told yet.
        """
        ...

    async def restart(self, head: Revision, reason: str) -> int:
        """What was known no longer counts; the feed goes on after `head`. Returns and raises as `dispatch`."""
        ...


class Feed:
    """Reads the log from its own cursor: when the bell rings, every second, and when asked to.

    The bell only says "look"; what is read is the log. `head` is the cursor, `checked_at` the time (of `clock`,
    seconds) at which the last look that found everything began: up to then, nothing is missing.
    """

    def __init__(
        self,
        namespace: str,
        store: Store,
        follower: Follower,
        *,
        clock: Callable[[], float] = time.monotonic,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.head = Revision("", 0)
        self.checked_at = -float("inf")
        self._namespace = namespace
        self._store = store
        self._follower = follower
        self._clock = clock
        self._look_seconds = look_seconds
        self._head_request_id = ""
        """Of the entry at `head`; empty if it is not known."""
        self._left: deque[str] = deque(maxlen=_EPOCHS_KEPT)
        """Epochs that the store has had before."""
        self._wake = asyncio.Event()
        self._next_look: asyncio.Future[None] | None = None
        self._moved = asyncio.Event()
        self._failing = False
        self._stop_bell = store.on_bell(namespace, self._ring)
        self._task = asyncio.create_task(self._run(), name=f"promptwire-feed-{namespace}")

    @property
    def checked(self) -> bool:
        """Whether a look has found everything yet: before that there is a cursor at most, and no telling how old."""
        return self.checked_at > -float("inf")

    async def close(self) -> None:
        self._stop_bell()
        await end(self._task)
        if self._next_look:
            self._next_look.cancel()

    async def look(self) -> None:
        """Returns once a look that began after this call has found everything there was; raises the store's error.

        Calls that come while a look is under way share the next one.
        """
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().create_future()
        self._wake.set()
        await asyncio.shield(self._next_look)

    async def reach(self, revision: Revision) -> None:
        """Returns once the cursor is at or past the revision; at once when its epoch is not, or no longer, the
        store's.
        """
        for attempt in range(2):
            if revision.epoch == self.head.epoch and revision.number <= self.head.number:
                return
            if attempt == 0:
                await self.look()
        if revision.epoch == self.head.epoch:
            raise store_behind(revision.number, self.head.number)

    def _ring(self, number: int) -> None:
        """The number only saves a look that would find nothing; if it misleads, the clock's look is not far."""
        if not number or number > self.head.number:
            self._wake.set()

    async def wait_moved(self, known: Revision) -> None:
        """Returns once the cursor is not at `known` any more, or `release` was called."""
        if self.head == known:
            await self._moved.wait()

    def release(self) -> None:
        """Lets go of everyone in `wait_moved`."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._wake.wait()
            self._wake.clear()
            waiting, self._next_look = self._next_look, None
            try:
                await self._look()
            except Exception as error:
                self._failed(error, waiting)
                # Tried again at once, but a ringing bell must not turn an outage into a busy loop.
                self._wake.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._failing = False
                if waiting and not waiting.done():
                    waiting.set_result(None)
            finally:
                if waiting and not waiting.done():
                    waiting.cancel()

    def _failed(self, error: Exception, waiting: asyncio.Future[None] | None) -> None:
        if not self._failing:
            log = _log.warning if isinstance(error, RegistryError) else _log.exception
            log("cannot follow the log", namespace=self._namespace, error=str(error))
        self._failing = True
        if waiting and not waiting.done():
            waiting.set_exception(error)
            # Its waiters may all be gone: then nobody retrieves the exception, which is no news.
            waiting.exception()

    async def _look(self) -> None:
        began = self._clock()
        while True:
            cursor = self.head
            page = await self._store.read_log(self._namespace, after=cursor.number, limit=_PAGE_ENTRIES)
            if self._rewound(page):
                # An older copy of this history, restored without a restart. Who was ahead of it, and is away now, must
                # not take what comes next for what it knows.
                _log.warning("history was rewound, it gets another epoch", namespace=self._namespace)
                await self._store.renew_epoch(self._namespace, page.head.epoch)
                continue
            if reason := _why_restart(cursor, page.head, page.floor, page.entries):
                if cursor.epoch:
                    _log.warning("history starts over", namespace=self._namespace, reason=reason, head=page.head.number)
                needed = await self._follower.restart(page.head, reason)
                if cursor.epoch not in ("", page.head.epoch):
                    self._left.append(cursor.epoch)
                self._move(page.head, "")
            else:
                self._head_request_id = page.cursor_request_id
                if page.entries:
                    self._follower.invalidate(page.entries)
                    last = page.entries[-1]
                    self._move(Revision(cursor.epoch, last.number), last.request_id)
                needed = await self._follower.dispatch(page.entries, self.head)
            if self.head.number >= max(page.head.number, needed):
                self.checked_at = began
                return

    def _move(self, head: Revision, request_id: str) -> None:
        self.head, self._head_request_id = head, request_id
        self.release()

    def _rewound(self, page: LogPage) -> bool:
        """Whether the store went back to a state that it had had before, with all its identity."""
        if page.head.epoch != self.head.epoch:
            return page.head.epoch in self._left and page.head.number > 0
        known, found = self._head_request_id, page.cursor_request_id
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
