"""One worker's place: it is never empty for long."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from promptwire_service.workers.child import Child, WorkerError
from promptwire_service.workers.messages import Serving

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 10.0
"""Between a worker's end and the next one's start; doubled each time, from the first to the last."""
STEADY_SECONDS = 10.0
"""A worker that served for so long is taken to be well: the pauses begin anew."""
START_SECONDS = 60.0
"""How long a worker that takes another's place may need until it serves."""

LOOK_SECONDS = 5.0
SILENT_LOOKS = 6
"""A worker of which nothing was heard between so many looks hangs: connections that it is given wait in vain."""

_log = structlog.get_logger(__name__)


class Slot:
    """Keeps a worker running, and replaces it by another that serves before the first one ends."""

    def __init__(self, number: int, start: Callable[[int], Awaitable[Child]], end_seconds: float) -> None:
        """`end_seconds` is how long a worker may take to end once it has been told to."""
        self.number = number
        self.child: Child | None = None
        self._start = start
        self._end_seconds = end_seconds
        self._starting: Child | None = None
        self._leaving: set[Child] = set()
        self._placing = asyncio.Lock()
        self._replaced = asyncio.Event()

    @property
    def children(self) -> list[Child]:
        """All that are running, or were a moment ago."""
        return [child for child in (self.child, self._starting, *self._leaving) if child]

    async def fill(self, seconds: float | None = None) -> Serving:
        """Starts a worker and returns once it serves and has the place. Raises WorkerError."""
        try:
            self._starting = child = await self._start(self.number)
        except OSError as error:
            raise WorkerError(f"it can't be started: {error.strerror}") from error
        try:
            serving = await child.serving(seconds)
        except BaseException:
            child.kill()
            raise
        finally:
            self._starting = None
        self.child = child
        self._replaced.set()
        self._replaced = asyncio.Event()
        _log.info("worker serves", worker=self.number, worker_pid=child.pid)
        return serving

    async def keep(self) -> None:
        """Starts another worker whenever this one has ended by itself."""
        pause = FIRST_PAUSE_SECONDS
        began = time.monotonic()
        while True:
            child, replaced = self.child, asyncio.create_task(self._replaced.wait())
            assert child
            silent = 0
            while True:
                words = child.words
                over = {child.ended, replaced}
                done, _ = await asyncio.wait(over, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
                # Looks are counted, and no time is taken: we may have been paused ourselves, with words still unread.
                silent = silent + 1 if child.words == words else 0
                if silent == SILENT_LOOKS:
                    _log.error("worker hangs, and is killed", worker=self.number, worker_pid=child.pid)
                    child.kill()
            replaced.cancel()
            if self.child is not child:
                began = time.monotonic()
                continue
            if time.monotonic() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            _log.error("worker ended, another starts", worker=self.number, reason=child.end, pause_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)
            began = time.monotonic()
            async with self._placing:
                if self.child is child:
                    await self._refill()

    async def _refill(self) -> None:
        try:
            await self.fill(START_SECONDS)
        except WorkerError as error:
            _log.error("worker does not start", worker=self.number, problem=str(error))

    async def replace(self) -> bool:
        """Whether another worker serves in this place now. Returns once the one before has ended, if so."""
        async with self._placing:
            before = self.child
            try:
                await self.fill(START_SECONDS)
            except WorkerError as error:
                _log.error("no replacement came up, the worker goes on", worker=self.number, problem=str(error))
                return False
        if before:
            self._leaving.add(before)
            before.hand_over()
            if not await ends(before, self._end_seconds):
                _log.warning("worker does not end, and is killed", worker=self.number, worker_pid=before.pid)
                before.kill()
                await before.ended
            self._leaving.discard(before)
        return True


async def ends(child: Child, seconds: float) -> bool:
    """Waits for its end, but no longer than that; whether it came."""
    await asyncio.wait({child.ended}, timeout=seconds)
    return child.ended.done()
