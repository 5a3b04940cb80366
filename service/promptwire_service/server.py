"""The service as a process: assembled, announced, drained and stopped."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import grpc
import structlog

from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire.v1 import metrics_service_pb2 as metrics_pb
from promptwire.v1 import prompt_service_pb2 as prompt_pb
from promptwire_service.announcement import announce
from promptwire_service.commands.context import Registry
from promptwire_service.commands.purge import purge_all
from promptwire_service.config import Settings, split_address
from promptwire_service.descriptors import CONNECTIONS_MAX, most_connections, raise_limit, warn_when_full
from promptwire_service.domain.errors import RegistryError
from promptwire_service.ports import ListenError, check_free, join_address
from promptwire_service.process import Process
from promptwire_service.rpc.admin_service import AdminService
from promptwire_service.rpc.admission import Admission
from promptwire_service.rpc.binding import bind
from promptwire_service.rpc.connection_age import ConnectionAge
from promptwire_service.rpc.diffs import DiffService
from promptwire_service.rpc.handover import all_left, close_listeners, send_away
from promptwire_service.rpc.health import HEALTH, HealthService
from promptwire_service.rpc.listening import listen
from promptwire_service.rpc.metrics_service import MetricsService
from promptwire_service.rpc.prompt_service import PromptService
from promptwire_service.rpc.reflection import REFLECTION, ReflectionService
from promptwire_service.rpc.release_service import ReleaseService
from promptwire_service.rpc.search_service import SearchService
from promptwire_service.rpc.transport import options
from promptwire_service.rpc.watch_service import WatchService
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.opening import open_connections
from promptwire_service.storage.redis.connection import Replicas
from promptwire_service.storage.redis.problems import StoreStartError
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.tasks import end
from promptwire_service.watch.coherence import CACHE_MAX_BYTES, Coherence

PROMPTS: Final = prompt_pb.DESCRIPTOR.services_by_name["PromptService"]
ADMIN: Final = admin_pb.DESCRIPTOR.services_by_name["AdminService"]
METRICS: Final = metrics_pb.DESCRIPTOR.services_by_name["MetricsService"]

SERVICES: Final = (PROMPTS, ADMIN, METRICS, HEALTH, REFLECTION)

RELOAD_HINT: Final = (
    "SIGHUP is ignored: settings and code are read at the start; restart, or serve with --workers 2 or more, where "
    "SIGHUP replaces one worker at a time"
)

RETENTION_SECONDS: Final = 30 * 86_400.0
"""How long what is deleted can be undeleted, if nobody says otherwise."""
PURGE_SECONDS: Final = 3_600.0
"""Between looks for what is to be purged, which go past all keys of the store."""
FIRST_PURGE_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class Service:
    """All that stands between a store and a listening port. The store stays its owner's to close.

    `shared`: other processes serve on the port too, and it is held for all of them.
    """

    def __init__(
        self,
        store: Store,
        cache_max_bytes: int = CACHE_MAX_BYTES,
        *,
        connection_age_seconds: float = 0.0,
        retention_seconds: float = RETENTION_SECONDS,
        most_connections: int = CONNECTIONS_MAX,
        shared: bool = False,
    ) -> None:
        self._store = store
        self._retention_seconds = retention_seconds
        self._most_connections = most_connections
        self._tasks: list[asyncio.Task[None]] = []
        self._coherence = Coherence(store, cache_max_bytes)
        self._health = HealthService((PROMPTS.full_name, ADMIN.full_name, METRICS.full_name))
        self._age = ConnectionAge(connection_age_seconds)
        self._shared = shared
        self._port = 0
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
        # A second process on the port is to be an error, not to get every other connection, unless it is meant to.
        sharing = ("grpc.so_reuseport", int(self._shared))
        most = self._most_connections
        self._server = server = grpc.aio.server(options=(*options(most), sharing, *self._age.options()))
        admission = Admission(most)
        bind(
            server,
            admission,
            PROMPTS,
            PromptService(registry),
            ReleaseService(registry, self._retention_seconds),
            DiffService(registry),
            SearchService(registry),
            WatchService(self._coherence, self._age),
        )
        bind(server, admission, ADMIN, AdminService(registry))
        bind(server, admission, METRICS, MetricsService(registry))
        bind(server, admission, HEALTH, self._health)
        bind(server, admission, REFLECTION, ReflectionService([one.full_name for one in SERVICES]))
        self._port = listen(self._server, host, port, shared=self._shared)
        await self._coherence.start()
        self._tasks = [
            asyncio.create_task(self._purge(), name="promptwire-purge"),
            asyncio.create_task(warn_when_full(self._most_connections), name="promptwire-descriptors"),
        ]
        await self._server.start()
        return join_address(host, self._port)

    async def hand_over(self, grace_seconds: float) -> None:
        """Lets every client go to the other processes on a shared port, as far as they do within the grace."""
        self._health.drain()
        await close_listeners(self._port)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await send_away(self._port)
                # Only now: a stream that is opened again takes another connection.
                await self._coherence.drain()
                await all_left(self._port)

    async def stop(self, grace_seconds: float) -> None:
        """Says that it no longer serves, asks agents to go elsewhere, and gives calls under way time to end."""
        self._health.drain()
        await self._coherence.drain()
        for task in self._tasks:
            await end(task)
        try:
            await self._server.stop(grace_seconds)
        finally:
            await self._coherence.close()

    async def _purge(self) -> None:
        """What was deleted longer ago than it is to be kept, now and then."""
        delay = FIRST_PURGE_SECONDS
        while True:
            await asyncio.sleep(delay)
            delay = PURGE_SECONDS
            try:
                await purge_all(self._coherence.store, self._retention_seconds)
            except RegistryError as error:
                _log.warning("cannot look for what is to be purged", problem=error.message)

    async def cut_short(self) -> None:
        """Ends the grace of a `stop` under way."""
        await self._server.stop(None)


@asynccontextmanager
async def opened_store(settings: Settings, location: str = "") -> AsyncIterator[RedisStore]:
    """The store that the settings name, checked. Raises StoreStartError. `location` is what to call it instead."""
    replicas = Replicas(settings.replicas, settings.replica_timeout_seconds)
    opened = await open_connections(settings.store, settings.data_dir, settings.durability, replicas)
    try:
        for warning in opened.facts.warnings:
            _log.warning(warning)
        store = RedisStore(
            opened.connections, StoreInfo(location or opened.location, opened.facts.text, opened.durability.value)
        )
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
    try:
        return await Process(_Serving(settings, ready), settings.drain_seconds).run()
    except (ListenError, StoreStartError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


class _Serving:
    """The service as the work of one process."""

    def __init__(self, settings: Settings, ready: Callable[[str], None] | None) -> None:
        self.started = False
        self._settings = settings
        self._ready = ready
        self._service: Service

    async def run(self, stop: asyncio.Event) -> None:
        check_free(*split_address(self._settings.listen))
        async with opened_store(self._settings) as store:
            self._service = service = Service(
                store,
                self._settings.cache_max_bytes,
                connection_age_seconds=self._settings.connection_age_seconds,
                retention_seconds=self._settings.retention_seconds,
                most_connections=most_connections(self._settings.max_connections, raise_limit()),
            )
            address = await service.start(self._settings.listen)
            self.started = True
            try:
                if self._ready:
                    self._ready(address)
                else:
                    announce(address, service.store_info.location, service.store_info.durability)
                await stop.wait()
            finally:
                await service.stop(self._settings.drain_seconds)

    async def cut_short(self) -> None:
        await self._service.cut_short()

    def reload(self) -> None:
        _log.warning(RELOAD_HINT)
