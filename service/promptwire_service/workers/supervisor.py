"""`promptwire serve --workers N`: holds the port and the embedded store, and sees to it that N workers serve."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import structlog

from promptwire_service.announcement import announce
from promptwire_service.config import Settings, split_address
from promptwire_service.ports import HeldPort, ListenError, join_address
from promptwire_service.process import CLOSE_SECONDS, HURRY_SECONDS, Process
from promptwire_service.storage.durability import Durability
from promptwire_service.storage.opening import embedded_server
from promptwire_service.storage.redis.problems import StoreStartError
from promptwire_service.workers.child import Child, WorkerError
from promptwire_service.workers.messages import Begin
from promptwire_service.workers.slot import Slot, ends

_WORKER_CLOSE_SECONDS: Final = CLOSE_SECONDS + 3 * HURRY_SECONDS
"""How long a worker may take after its drain before it is killed: longer than it gives itself."""

_log = structlog.get_logger(__name__)


async def supervise(settings: Settings) -> int:
    """As `server.serve`, with workers; the line on stdout comes once all of them answer calls."""
    work = Supervisor(settings)
    try:
        # The embedded store ends last, after the workers.
        return await Process(work, settings.drain_seconds, _WORKER_CLOSE_SECONDS + CLOSE_SECONDS).run()
    except (ListenError, StoreStartError, WorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


class Supervisor:
    """The work of the process that never starts gRPC."""

    def __init__(self, settings: Settings) -> None:
        self.started = False
        self._settings = settings
        self._roll_wanted = asyncio.Event()
        self._slots: list[Slot] = []

    async def run(self, stop: asyncio.Event) -> None:
        host, port = split_address(self._settings.listen)
        with HeldPort(host, port) as held:
            async with _shared_store(self._settings) as (store, location):
                given: dict[str, Any] = {"listen": join_address(host, held.port), **store}
                settings = self._settings.model_copy(update=given).model_dump(mode="json")

                async def start(number: int) -> Child:
                    return await Child.start(Begin(number, settings, location))

                seconds = self._settings.drain_seconds + _WORKER_CLOSE_SECONDS
                self._slots = [Slot(number, start, seconds) for number in range(1, self._settings.workers + 1)]
                await self._serve(stop)

    async def _serve(self, stop: asyncio.Event) -> None:
        starting = [asyncio.create_task(slot.fill()) for slot in self._slots]
        keeping: list[asyncio.Task[None]] = []
        try:
            serving, *_ = await asyncio.gather(*starting)
            self.started = True
            announce(serving.address, serving.location, serving.durability, f"{len(self._slots)} workers")
            keeping += [asyncio.create_task(slot.keep()) for slot in self._slots]
            keeping.append(asyncio.create_task(self._roll()))
            await _until(stop, *keeping)
            await _cancel(*keeping)
            await self._drain()
        finally:
            await _cancel(*starting, *keeping)
            await self._kill()

    async def cut_short(self) -> None:
        for child in self._children():
            child.terminate()

    def reload(self) -> None:
        _log.info("SIGHUP: each worker is to be replaced", workers=len(self._slots) or self._settings.workers)
        self._roll_wanted.set()

    async def _roll(self) -> None:
        """One worker at a time. What is asked for meanwhile is done once more afterwards: code may have changed."""
        while True:
            await self._roll_wanted.wait()
            self._roll_wanted.clear()
            for slot in self._slots:
                if not await slot.replace():
                    break
            else:
                _log.info("every worker has been replaced")

    async def _drain(self) -> None:
        for slot in self._slots:
            if slot.child:
                slot.child.terminate()
        # With them those whose place was taken, which are leaving already.
        seconds = self._settings.drain_seconds + _WORKER_CLOSE_SECONDS
        await asyncio.gather(*(ends(child, seconds) for child in self._children()))

    async def _kill(self) -> None:
        for child in (children := self._children()):
            child.kill()
        await asyncio.gather(*(child.ended for child in children))

    def _children(self) -> list[Child]:
        return [child for slot in self._slots for child in slot.children]


@asynccontextmanager
async def _shared_store(settings: Settings) -> AsyncIterator[tuple[dict[str, Any], str]]:
    """What differs in the workers' settings, and what they call the store. Raises StoreStartError."""
    embedded = embedded_server(settings.store, settings.data_dir, settings.durability)
    if embedded is None:
        yield {}, ""
        return
    async with embedded:
        store = {"store": f"unix://{quote(str(embedded.socket_path))}", "durability": Durability.FSYNC}
        yield store, f"embedded in {embedded.data_dir}"


async def _until(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Raises what ends a task: without it, the workers would not be looked after."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
