"""One worker: `python -m promptwire_service.workers.worker DESCRIPTOR`, as a supervisor starts it."""

import asyncio
import os
import socket
import sys
from contextlib import suppress

import structlog

from promptwire_service import logs
from promptwire_service.config import Settings, SettingsError, load
from promptwire_service.descriptors import most_connections, raise_limit
from promptwire_service.ports import ListenError
from promptwire_service.process import Process, run_to_the_end
from promptwire_service.server import Service, opened_store
from promptwire_service.storage.redis.problems import StoreStartError
from promptwire_service.workers.messages import (
    MAX_BYTES,
    Alive,
    Begin,
    Failed,
    HandOver,
    Message,
    Serving,
    decode,
    encode,
)

_log = structlog.get_logger(__name__)

_ALIVE_SECONDS = 2.0


class _Worker:
    """The service as the work of one process among several."""

    def __init__(self, settings: Settings, location: str, supervisor: "_Supervisor") -> None:
        self.started = False
        self.handing_over = False
        self._settings = settings
        self._location = location
        self._supervisor = supervisor
        self._service: Service

    async def run(self, stop: asyncio.Event) -> None:
        async with opened_store(self._settings, self._location) as store:
            self._service = service = Service(
                store,
                self._settings.cache_max_bytes,
                connection_age_seconds=self._settings.connection_age_seconds,
                retention_seconds=self._settings.retention_seconds,
                most_connections=most_connections(self._settings.max_connections, raise_limit()),
                shared=True,
            )
            address = await service.start(self._settings.listen)
            self.started = True
            grace_seconds = self._settings.drain_seconds
            try:
                info = service.store_info
                await self._supervisor.tell(Serving(address, info.location, info.durability))
                while not await _set_within(stop, _ALIVE_SECONDS):
                    await self._supervisor.tell(Alive())
                if self.handing_over:
                    grace_seconds = await self._hand_over(service)
            finally:
                await service.stop(grace_seconds)

    async def _hand_over(self, service: Service) -> float:
        """How much of the drain is left."""
        _log.info("another worker has taken this one's place, its clients are asked to go there")
        try:
            await service.hand_over(self._settings.drain_seconds)
        except OSError as error:
            # What the kernel, or a sandbox around it, does not let us do for clients: some calls will be refused.
            _log.warning("clients can't be sent away in order", problem=str(error))
            return self._settings.drain_seconds
        return 0.0

    async def cut_short(self) -> None:
        await self._service.cut_short()

    def reload(self) -> None:
        _log.warning("SIGHUP is ignored by a worker: send it to the supervisor", supervisor=os.getppid())


class _Supervisor:
    """The other end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def next(self) -> Message | None:
        """None when it has ended, or says what only a newer version understands."""
        try:
            line = await self._reader.readline()
            return decode(line) if line else None
        except (ConnectionError, ValueError, TypeError):
            return None

    async def tell(self, message: Message) -> None:
        with suppress(ConnectionError):  # it has ended, which `next` tells
            self._writer.write(encode(message))
            await self._writer.drain()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _work(descriptor: int) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor), limit=MAX_BYTES)
    supervisor = _Supervisor(reader, writer)
    begin = await supervisor.next()
    if not isinstance(begin, Begin):
        return 0
    try:
        settings = load(**begin.settings)
        logs.set_up(settings.log_format, settings.log_level, worker=begin.number, pid=os.getpid())
        work = _Worker(settings, begin.location, supervisor)
        process = Process(work, settings.drain_seconds)
        obeying = asyncio.create_task(_obey(supervisor, work, process))
        try:
            return await process.run()
        finally:
            obeying.cancel()
    except (SettingsError, ListenError, StoreStartError) as error:
        await supervisor.tell(Failed(str(error), error.exit_code))
        return error.exit_code


async def _obey(supervisor: _Supervisor, work: _Worker, process: Process) -> None:
    """Ends the work when the supervisor says so, and when there is none any more, however it ended."""
    order = await supervisor.next()
    work.handing_over = isinstance(order, HandOver)
    if order is None:
        _log.warning("the supervisor has ended, so does this worker")
    process.stop.set()


if __name__ == "__main__":
    sys.exit(run_to_the_end(_work(int(sys.argv[1]))))
