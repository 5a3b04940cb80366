"""The service as a process: assembled, announced, drained and stopped."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from promptwire.domain import limits
from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire.v1 import prompt_service_pb2 as prompt_pb
from promptwire_service import logs
from promptwire_service.commands.context import Registry
from promptwire_service.commands.get_status import service_version
from promptwire_service.config import Settings, SettingsError, load, split_address
from promptwire_service.rpc.admin_service import AdminService
from promptwire_service.rpc.binding import bind
from promptwire_service.rpc.health import NAME as HEALTH
from promptwire_service.rpc.health import HealthService
from promptwire_service.rpc.listening import ListenError, check_free, join_address, listen
from promptwire_service.rpc.prompt_service import PromptService
from promptwire_service.rpc.watch_service import WatchService
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.opening import open_connections
from promptwire_service.storage.redis.connection import Replicas
from promptwire_service.storage.redis.problems import StoreStartError
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.watch.coherence import CACHE_MAX_BYTES, Coherence

PROMPTS: Final = prompt_pb.DESCRIPTOR.services_by_name["PromptService"]
ADMIN: Final = admin_pb.DESCRIPTOR.services_by_name["AdminService"]

CLOSE_SECONDS: Final = 3.0
"""How long closing may take after the drain. Past it, two more steps of a second each leave things open behind them."""
_HURRY_SECONDS: Final = 1.0

_OPTIONS: Final = (
    # A second process on the port is to be an error, not to get every other connection.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", limits.MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", limits.MESSAGE_MAX_BYTES),
    # An agent that vanished without a word must not keep its Watch stream for ever.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # What clients may ping; without these, gRPC hangs up on one that pings more often than every 5 minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 10),
)

_log = structlog.get_logger(__name__)


class Service:
    """All that stands between a store and a listening port. The store stays its owner's to close."""

    def __init__(self, store: Store, cache_max_bytes: int = CACHE_MAX_BYTES) -> None:
        self._store = store
        self._coherence = Coherence(store, cache_max_bytes)
        self._health = HealthService((PROMPTS.full_name, ADMIN.full_name))
        self._server: grpc.aio.Server
        self.store_info: StoreInfo

    async def start(self, address: str) -> str:
        """Listens on `host:port` and serves; returns the address with its real port. Raises ListenError."""
        host, port = split_address(address)
        self.store_info = await self._store.info()
        registry = Registry(
            store=self._coherence.store,
            store_info=self.store_info,
            reader=self._coherence,
            observer=self._coherence,
            started_ms=time.time_ns() // 1_000_000,
        )
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers(
            (
                bind(PROMPTS, PromptService(registry), WatchService(self._coherence)),
                bind(ADMIN, AdminService(registry)),
            )
        )
        self._health.add_to(self._server)
        services = (PROMPTS.full_name, ADMIN.full_name, HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        port = listen(self._server, host, port)
        await self._coherence.start()
        await self._server.start()
        return join_address(host, port)

    async def stop(self, grace_seconds: float) -> None:
        """Says that it no longer serves, asks agents to go elsewhere, and gives calls under way time to end."""
        self._health.drain()
        self._coherence.drain()
        try:
            await self._server.stop(grace_seconds)
        finally:
            await self._coherence.close()

    async def cut_short(self) -> None:
        """Ends the grace of a `stop` under way."""
        await self._server.stop(None)


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[RedisStore]:
    """The store that the settings name, checked. Raises StoreStartError."""
    replicas = Replicas(settings.replicas, settings.replica_timeout_seconds)
    opened = await open_connections(settings.store, settings.data_dir, settings.durability, replicas)
    try:
        for warning in opened.facts.warnings:
            _log.warning(warning)
        store = RedisStore(opened.connections, StoreInfo(opened.location, opened.facts.text, opened.durability.value))
        try:
            yield store
        finally:
            await store.close()
    finally:
        await opened.aclose()


async def serve(settings: Settings, *, ready: Callable[[str], None] | None = None) -> int:
    """Serves until SIGINT or SIGTERM; returns the process's exit code.

    `ready` gets the address once calls are answered; without it, a line on stdout tells. A first signal drains: exit
    code 0, within `drain_seconds` and 5 s. A second one ends the wait: 128 and its number. What prevents a start is
    said in one line on stderr: exit code 1, or 3 where the store was out of reach.
    """
    process = _Process(settings, ready)
    running = asyncio.create_task(process.run(), name="promptwire-serve")
    try:
        with process.signals():
            await _either(running, process.stop)
            await process.end(running)
    except asyncio.CancelledError:
        running.cancel()
        await process.end(running)
        raise
    try:
        if running.done() and not running.cancelled():
            running.result()
    except (ListenError, StoreStartError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return process.exit_code


def run(**given: Any) -> int:
    """`promptwire serve`: what was given as flags (None is "not given"), then the environment, then `serve`."""
    try:
        settings = load(**given)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    logs.set_up(settings.log_format, settings.log_level)
    return asyncio.run(_serve_to_the_end(settings))


async def _serve_to_the_end(settings: Settings) -> int:
    code = await serve(settings)
    # Python still waits for tasks that heed no cancellation and for threads that look up a host name: not for long.
    leave = threading.Timer(_HURRY_SECONDS, os._exit, (code,))
    leave.daemon = True
    leave.start()
    return code


class _Process:
    """One `serve`: what signals ask of it, and how far it has come."""

    def __init__(self, settings: Settings, ready: Callable[[str], None] | None) -> None:
        self.stop = asyncio.Event()
        self.exit_code = 0
        self._settings = settings
        self._ready = ready
        self._hurry = asyncio.Event()
        self._service: Service | None = None

    async def run(self) -> None:
        check_free(*split_address(self._settings.listen))
        async with opened_store(self._settings) as store:
            service = Service(store, self._settings.cache_max_bytes)
            address = await service.start(self._settings.listen)
            self._service = service
            try:
                self._announce(address, service.store_info)
                await self.stop.wait()
            finally:
                await service.stop(self._settings.drain_seconds)

    async def end(self, running: asyncio.Task[None]) -> None:
        """Sees to it that `running` ends, in time."""
        if self._service is None:
            # Still starting: there is nobody to wait for.
            running.cancel()
        await _either(running, self._hurry, timeout=self._settings.drain_seconds + CLOSE_SECONDS)
        if running.done():
            return
        _log.warning("not everything could end in order")
        if self._service:
            await asyncio.wait((running, asyncio.create_task(self._service.cut_short())), timeout=_HURRY_SECONDS)
        running.cancel()
        await asyncio.wait((running,), timeout=_HURRY_SECONDS)

    @contextmanager
    def signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        heard = []
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread can hear signals; elsewhere `serve` ends by being cancelled.
            with suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self._signalled, number)
                heard.append(number)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    def _signalled(self, number: int) -> None:
        if self.stop.is_set():
            self.exit_code = 128 + number
            self._hurry.set()
        else:
            _log.info("shutting down", drain_seconds=self._settings.drain_seconds)
            self.stop.set()

    def _announce(self, address: str, store: StoreInfo) -> None:
        if self._ready:
            self._ready(address)
            return
        line = f"promptwire {service_version()} serving on {address}"
        print(f"{line} (store {store.location}, durability {store.durability})", flush=True)


async def _either(task: asyncio.Task[None], event: asyncio.Event, timeout: float | None = None) -> None:
    """Returns when the task is over, the event set, or the seconds gone."""
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, waiting), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
