"""The connections to the store, whatever it runs on: one server, a primary that Sentinels name, or a Cluster.

Reads and writes have connections of their own. A read may be repeated by the driver; a write is sent once,
whatever happens: whether to repeat it is for the client to say, with the same request id.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from promptwire_service.storage.durability import NotReplicatedError
from promptwire_service.storage.redis.notifications import Notifications, notify_channel
from promptwire_service.storage.redis.problems import ANSWER_SECONDS, CONNECT_SECONDS
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.target import StoreTarget

MAX_CONNECTIONS = 64
"""Of each of the two clients, opened as needed. Many help writes: those that wait together share an fsync."""
POOL_WAIT_SECONDS = 5.0
"""How long a call waits for a free connection when all are taken."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas have to have a write before it is acknowledged, and how long that may take."""

    count: int
    timeout_seconds: float

    async def confirm(self, redis: Redis) -> None:
        """For what this client, which has one connection, wrote last. Raises NotReplicatedError."""
        have = int(await redis.wait(self.count, int(self.timeout_seconds * 1000)))
        if have < self.count:
            raise NotReplicatedError(have, self.count)


class Connections(ABC):
    """What a store needs of the servers that it is on. A key's server is the primary that has its slot."""

    notifications: Notifications
    """The channel that write scripts and services publish on, and this process's subscription to it."""
    left_for_good = True
    """Whether a server that was left for another one is never the right one again."""

    @abstractmethod
    async def run(self, script: Script, key: str, *arguments: str | int, writes: bool = False) -> Any:
        """Runs a script on its key's server, a writing one once, and as durable as promised when this returns."""

    @abstractmethod
    async def run_for_keys(self, script: Script, keys: Sequence[str]) -> list[tuple[Sequence[int], Any]]:
        """Runs a script that only reads, and declares no keys, once on each server that has some of these.

        Returns for each server the positions of its keys, and what the script returned, or the error it failed with.
        """

    @abstractmethod
    def partition(self, key: str) -> Hashable:
        """The server that has a key, as far as that is known."""

    @abstractmethod
    async def publish(self, text: str) -> int:
        """Publishes to all subscriptions on the store; returns their number."""

    @abstractmethod
    async def primaries(self) -> list[Redis]:
        """A client of each server that keeps a part of the data, as of now."""

    @abstractmethod
    async def drop(self) -> None:
        """Ends all connections, to make them anew: the server at their other end is not the right one any more."""

    @abstractmethod
    async def aclose(self) -> None: ...


class Server(Connections):
    """One server, or whichever is the primary when a connection is made."""

    def __init__(self, reads: Redis, writes: Redis, replicas: Replicas | None = None) -> None:
        self.reads = reads
        """Repeats a command once when the connection breaks. For what may happen twice, and for pub/sub."""
        self.writes = writes
        """Sends a command once and never again."""
        self._replicas = replicas
        db = reads.connection_pool.connection_kwargs.get("db", 0)
        self.notifications = Notifications(notify_channel(db), self._reads)

    async def run(self, script: Script, key: str, *arguments: str | int, writes: bool = False) -> Any:
        if not writes:
            return await script.run(self.reads, key, *arguments)
        if self._replicas is None:
            return await script.run(self.writes, key, *arguments)
        async with self.writes.client() as one:  # WAIT is about what its own connection wrote
            answer = await script.run(one, key, *arguments)
            await self._replicas.confirm(one)
            return answer

    async def run_for_keys(self, script: Script, keys: Sequence[str]) -> list[tuple[Sequence[int], Any]]:
        return [(range(len(keys)), await script.run(self.reads, None, *keys))]

    def partition(self, key: str) -> Hashable:
        return None

    async def publish(self, text: str) -> int:
        return int(await self.reads.publish(self.notifications.channel, text))

    async def _reads(self) -> Redis:
        return self.reads

    async def primaries(self) -> list[Redis]:
        return [self.reads]

    async def drop(self) -> None:
        for redis in (self.reads, self.writes):
            await redis.connection_pool.disconnect(inuse_connections=True)

    async def aclose(self) -> None:
        await self.notifications.close()
        try:
            await self.reads.aclose()
        finally:
            await self.writes.aclose()


def connect(target: StoreTarget, replicas: Replicas | None = None) -> Connections:
    """Connections to a store that runs. Nothing is sent until the first command."""
    from promptwire_service.storage.redis.cluster import Cluster
    from promptwire_service.storage.redis.sentinel import primary_server

    if target.scheme == "embedded":
        raise ValueError("an embedded store is started first and then reached by its socket")
    match target.kind:
        case "cluster":
            return Cluster(target, replicas)
        case "sentinel":
            return primary_server(target, replicas)
        case "server":
            return server(target, replicas)


def server(target: StoreTarget, replicas: Replicas | None = None) -> Server:
    """The one server at a target's host and port, or socket."""
    if target.scheme == "unix":
        return Server(*clients(target, UnixDomainSocketConnection, path=target.path), replicas)
    connection_class = SSLConnection if target.scheme == "rediss" else Connection
    return Server(*clients(target, connection_class, host=target.host, port=target.port), replicas)


def clients(target: StoreTarget, connection_class: type[AbstractConnection], **address: Any) -> tuple[Redis, Redis]:
    """For reads and for writes, with a pool each, whose connections go to an address that their class understands."""
    address |= dict(target.tls_files)
    # Connection errors only: after a time-out the caller has waited long enough.
    once_more = Retry(NoBackoff(), 1, (RedisConnectionError,))
    return (
        _client(target, "promptwire-read", once_more, connection_class, address),
        _client(target, "promptwire-write", Retry(NoBackoff(), 0), connection_class, address),
    )


def _client(
    target: StoreTarget,
    name: str,
    retry: Retry,
    connection_class: type[AbstractConnection],
    address: dict[str, Any],
) -> Redis:
    pool = BlockingConnectionPool(
        connection_class=connection_class,
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_SECONDS,
        db=target.db,
        username=target.username,
        password=target.password,
        retry=retry,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=0,
        decode_responses=True,
        # RESP2 needs no HELLO: one round trip less per connection, and no right to HELLO in an ACL.
        protocol=2,
        redis_connect_func=_introduce(name),
        **address,
    )
    return Redis.from_pool(pool)


def _introduce(name: str) -> Any:
    """Names each new connection, for CLIENT LIST. redis-py's `client_name` fails where an ACL forbids it."""

    async def introduce(connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("CLIENT", "SETNAME", name, check_health=False)
        with suppress(NoPermissionError):
            await connection.read_response()

    return introduce
