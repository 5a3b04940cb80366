"""One worker process, as its supervisor sees it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from typing import Self

from promptwire_service.workers.messages import MAX_BYTES, Begin, Failed, HandOver, Message, Serving, decode, encode


class WorkerError(Exception):
    """A worker did not come to serve. The message is one line."""

    def __init__(self, problem: str, exit_code: int = 1) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


class Child:
    """`ended` is done when the process is over."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self.words = 0
        """How often it has said that it is alive."""
        self._hearing: asyncio.Task[None] | None = None
        self.ended = asyncio.create_task(self._wait())

    @classmethod
    async def start(cls, begin: Begin) -> Self:
        """A process on its way to serve. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    # A new interpreter, since gRPC does not survive a fork, with the code that is on the disk by now.
                    *(sys.executable, "-P", "-m", "promptwire_service.workers.worker", str(theirs.fileno())),
                    stdin=DEVNULL,
                    # The line on stdout is the supervisor's.
                    stdout=sys.stderr.fileno(),
                    pass_fds=(theirs.fileno(),),
                    # Ctrl-C in a terminal is for the supervisor, which then drains the workers.
                    start_new_session=True,
                )
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_BYTES)
        except BaseException:
            ours.close()
            raise
        child = cls(process, reader, writer)
        child._tell(begin)
        return child

    async def serving(self, seconds: float | None = None) -> Serving:
        """Returns once it serves. Raises WorkerError when it ends before, or `seconds` are over."""
        try:
            async with asyncio.timeout(seconds):
                match await self._said():
                    case Serving() as serving:
                        self._hearing = asyncio.create_task(self._hear())
                        return serving
                    case Failed(problem, exit_code):
                        raise WorkerError(problem, exit_code)
                await self.ended
        except TimeoutError:
            raise WorkerError(f"a worker did not come to serve within {seconds:g} s") from None
        raise WorkerError(f"a worker ended before it served ({self.end})")

    @property
    def end(self) -> str:
        """How the process ended, once it has."""
        code = self._process.returncode or 0
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    def hand_over(self) -> None:
        """Another serves in its place: it ends when its clients have gone there."""
        self._tell(HandOver())

    def terminate(self) -> None:
        """It drains and ends; at once when asked again."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _tell(self, message: Message) -> None:
        # Never waited for: what is said is little, and one that does not listen is ended in other ways.
        self._writer.write(encode(message))

    async def _said(self) -> Message | None:
        try:
            line = await self._reader.readline()
            return decode(line) if line else None
        except (ConnectionError, ValueError, TypeError):
            return None

    async def _hear(self) -> None:
        while await self._said():
            self.words += 1

    async def _wait(self) -> None:
        await self._process.wait()
        if self._hearing:
            self._hearing.cancel()
        self._writer.close()
