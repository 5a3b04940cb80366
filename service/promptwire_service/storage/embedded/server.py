"""The embedded store: starts valkey-server, starts it again when it dies, stops it."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from promptwire_service.storage.embedded.binary import server_binary
from promptwire_service.storage.embedded.data_dir import DataDir
from promptwire_service.storage.embedded.valkey_log import ValkeyLog
from promptwire_service.storage.redis.problems import StoreRefusedError

_log = structlog.get_logger(__name__)

ANSWER_SECONDS = 30.0
"""How long the first start waits for an answer of any kind. While it loads its data, a server answers so."""
LOADING_SECONDS = 600.0
"""How long the first start waits for a large data set to load."""
_LOADING_LOG_SECONDS = 5.0
_PING_SECONDS = 2.0

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 2.0
"""Between the server's end and its next start; doubled each time, from the first to the last."""
STEADY_SECONDS = 10.0
"""A server that ran for so long is taken to be well: the pauses begin anew."""

STOP_SECONDS = 15.0
"""How long an orderly end may take. Longer than the guard waits for the server, so that it isn't killed before."""
_LOG_LOOK_SECONDS = 60.0
_LAUNCH = Path(__file__).with_name("launch.py")


class EmbeddedServer:
    """A valkey-server on a unix socket, owned by the process and the thread that call `start`: it ends when they do.

    After a successful start the server is restarted whenever it dies, until `stop`. Whoever uses it sees that as
    broken connections; everything it had acknowledged is there again. An instance is started once.
    """

    def __init__(self, data_dir: Path, *, guarded: bool = sys.platform != "linux") -> None:
        """`guarded` keeps a guard process beside the server, for where the kernel can't end it with its owner."""
        self._dir = DataDir(data_dir)
        self._guarded = guarded
        self._valkey_log = ValkeyLog(self._dir.log_path)
        self._lock: int | None = None
        self._process: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def data_dir(self) -> Path:
        return self._dir.path

    @property
    def socket_path(self) -> Path:
        """Where the server answers. Only our user may connect."""
        return self._dir.socket_path

    @property
    def pid(self) -> int | None:
        """Of the server or, when guarded, of its guard; None before the first start."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether there is a process now; it may still be loading its data."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Returns when the server answers and has its data. Raises StoreRefusedError, with the reason, when not."""
        binary = server_binary()
        self._dir.prepare()
        self._lock = await self._dir.lock()
        try:
            process, ended = await self._launch(binary)
            if not await self._answers(ended, patient=False):
                raise StoreRefusedError(
                    f"the embedded store did not start: {self._reason(process)} (log: {self._dir.log_path})"
                )
        except OSError as error:
            await self._end()
            raise StoreRefusedError(f"the embedded store can't be started: {error.strerror}") from error
        except BaseException:
            await self._end()
            raise
        self._supervisor = asyncio.create_task(
            self._supervise(binary, process, ended), name="promptwire-embedded-store"
        )

    async def stop(self) -> None:
        """Ends the server in order and frees the data directory. Wins over a restart that is under way."""
        self._stopping.set()
        if self._supervisor:
            await self._supervisor
        await self._end()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _supervise(self, binary: Path, process: Process, ended: asyncio.Task[int]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            while not await self._happens(ended, seconds=_LOG_LOOK_SECONDS):
                self._valkey_log.rotate()
            if self._stopping.is_set():
                return
            if time.monotonic() - started >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            _log.error("embedded store ended, starts again", reason=self._reason(process), pause_seconds=pause)
            if await self._happens(seconds=pause):
                return
            pause = min(2 * pause, LAST_PAUSE_SECONDS)
            try:
                process, ended = await self._launch(binary)
            except (OSError, StoreRefusedError) as error:
                # No process or descriptor to be had for now. The old process is found ended again, and so on.
                _log.error("embedded store can't be started", problem=str(error))
                continue
            if await self._answers(ended, patient=True):
                _log.info("embedded store is back", pid=process.pid)

    async def _launch(self, binary: Path) -> tuple[Process, asyncio.Task[int]]:
        """A process on its way to be the server, and a task that is done when it has ended."""
        assert self._lock is not None
        self._dir.prepare_socket()
        if self._guarded:
            await self._end_orphan()
        output = self._valkey_log.open_run()
        try:
            # The kernel ends the server with the *thread* that forked it. asyncio forks in the thread of the event
            # loop, so that is the one whose life counts; a pool's thread would take the store with it.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid())),
                *(["--guard"] if self._guarded else []),
                *("--", str(binary), *self._settings()),
                stdin=asyncio.subprocess.PIPE if self._guarded else asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock,),
                umask=0o077,
                # A session of its own: Ctrl-C in a terminal must not reach the store before the service drained.
                start_new_session=True,
            )
        finally:
            os.close(output)
        self._process = process
        return process, asyncio.create_task(process.wait())

    def _settings(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "daemonize": "no",
            "dir": str(self._dir.store_path),
            "logfile": str(self._dir.log_path),
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            # A crash may cut the last record in half: it was not acknowledged.
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    async def _answers(self, ended: asyncio.Task[int], *, patient: bool) -> bool:
        """Waits until the server answers and has its data. False when it ended before, or `stop` was called.

        If not patient, raises StoreRefusedError after ANSWER_SECONDS of silence or LOADING_SECONDS of loading.
        """
        begun = time.monotonic()
        deadline, next_log, pause = begun + ANSWER_SECONDS, begun + _LOADING_LOG_SECONDS, 0.005
        async with self._client(_PING_SECONDS) as client:
            while True:
                try:
                    await client.ping()
                    return True
                except BusyLoadingError:
                    deadline = begun + LOADING_SECONDS
                except (RedisError, OSError):
                    pass  # Not there yet, or gone; that is told by `ended`.
                seconds = time.monotonic() - begun
                if begun + seconds >= next_log:
                    _log.info("waiting for the embedded store to load its data", seconds=round(seconds))
                    next_log += _LOADING_LOG_SECONDS
                if begun + seconds >= deadline and not patient:
                    raise StoreRefusedError(
                        f"the embedded store is not ready after {seconds:.0f} s (log: {self._dir.log_path})"
                    )
                if await self._happens(ended, seconds=pause):
                    return False
                pause = min(2 * pause, 0.1)

    async def _happens(self, *events: asyncio.Task[Any], seconds: float) -> bool:
        """Waits for one of the events, or for `stop`, but no longer than `seconds`; whether any of them happened."""
        stop = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({stop, *events}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        return bool(done)

    def _reason(self, process: Process) -> str:
        code = process.returncode
        if code is None:
            return "it was stopped"
        ended = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        said = self._valkey_log.said()
        return f"{said} ({ended})" if said else ended

    async def _end(self) -> None:
        """Ends the process, waits for it, and only then lets go of the data directory."""
        try:
            if self._process:
                await _end_process(self._process)
                if self._guarded:
                    await self._end_orphan()
                self._dir.remove_socket_directory()
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _end_orphan(self) -> None:
        """Ends a server whose guard was killed: it would write to the files of the next one."""
        async with self._client(STOP_SECONDS) as client:
            try:
                await client.shutdown(nosave=True)
            except (RedisConnectionError, OSError):
                pass  # There is none, or it has ended: it closes connections last.
            except RedisError as error:
                raise StoreRefusedError(f"a store without a guard does not end in {self.data_dir}") from error

    def _client(self, answer_seconds: float) -> Redis:
        return Redis(
            unix_socket_path=str(self.socket_path),
            socket_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )


async def _end_process(process: Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        # Loses nothing that was acknowledged, for that is on disk.
        process.kill()
        await process.wait()
