"""A process that runs until it is told to end: what signals ask of it, and how it ends in time."""

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

import structlog

CLOSE_SECONDS: Final = 3.0
"""How long closing may take after the drain. Past it, two more steps of a second each leave things open behind them."""
HURRY_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Work(Protocol):
    """What the process is there for."""

    started: bool
    """Whether there is anybody to wait for at the end."""

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`, then drains and closes. When cancelled, ends at once."""
        ...

    async def cut_short(self) -> None:
        """Ends a drain that is under way."""
        ...

    def reload(self) -> None:
        """Somebody sent SIGHUP."""
        ...


class Process:
    """Hears the signals for one piece of work. `stop` may be set by others too."""

    def __init__(self, work: Work, drain_seconds: float, close_seconds: float | None = None) -> None:
        self.stop = asyncio.Event()
        self._work = work
        self._drain_seconds = drain_seconds
        self._close_seconds = CLOSE_SECONDS if close_seconds is None else close_seconds
        self._exit_code = 0
        self._hurry = asyncio.Event()
        self._terminal = _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    async def run(self) -> int:
        """Works until SIGINT or SIGTERM; returns the exit code, or raises what the work raised.

        A first signal drains: exit code 0, within `drain_seconds`, the time for closing and 2 s. A second one ends
        the wait: 128 and its number.
        """
        running = asyncio.create_task(self._work.run(self.stop), name="promptwire-serve")
        try:
            with self._signals():
                await _either(running, self.stop)
                await self._end(running)
        except asyncio.CancelledError:
            running.cancel()
            await self._end(running)
            raise
        if running.done() and not running.cancelled():
            running.result()
        return self._exit_code

    async def _end(self, running: asyncio.Task[None]) -> None:
        """Sees to it that `running` ends, in time."""
        if not self._work.started:
            running.cancel()
        await _either(running, self._hurry, timeout=self._drain_seconds + self._close_seconds)
        if running.done():
            return
        _log.warning("not everything could end in order")
        if self._work.started:
            await asyncio.wait((running, asyncio.create_task(self._work.cut_short())), timeout=HURRY_SECONDS)
        running.cancel()
        await asyncio.wait((running,), timeout=HURRY_SECONDS)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        heard = []
        for number, heed in (
            (signal.SIGINT, self._told_to_end),
            (signal.SIGTERM, self._told_to_end),
            (signal.SIGHUP, self._hung_up),
        ):
            # Only the main thread can hear signals; elsewhere the work ends by being cancelled.
            with suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, heed, number)
                heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    def _told_to_end(self, number: int) -> None:
        if self.stop.is_set():
            self._exit_code = 128 + number
            self._hurry.set()
        else:
            _log.info("shutting down", drain_seconds=self._drain_seconds)
            self.stop.set()

    def _hung_up(self, number: int) -> None:
        """A terminal that is closed sends SIGHUP too: what it ran in the foreground ends with it, as ever, if in order.
        Under nohup, or without a terminal, the signal is somebody's wish.
        """
        if self._terminal and not _has_terminal():
            self._told_to_end(number)
        elif not self.stop.is_set():
            self._work.reload()


def run_to_the_end(working: Coroutine[Any, Any, int]) -> int:
    """The exit code of a whole process."""
    return asyncio.run(_to_the_end(working))


async def _to_the_end(working: Coroutine[Any, Any, int]) -> int:
    code = await working
    # Python still waits for tasks that heed no cancellation and for threads that look up a host name: not for long.
    leave = threading.Timer(HURRY_SECONDS, os._exit, (code,))
    leave.daemon = True
    leave.start()
    return code


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


async def _either(task: asyncio.Task[None], event: asyncio.Event, timeout: float | None = None) -> None:
    """Returns when the task is over, the event set, or the seconds gone."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, waiting), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
