"""The primary that Sentinels name: found anew for each connection, and left as soon as they name another.

Connections of the driver's own Sentinel pool stay with a primary that was replaced until it breaks them; one that was
cut off or paused does not, and would go on answering from a history that is over.
"""

import asyncio
import time
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from promptwire_service.storage.redis.connection import Replicas, Server, clients
from promptwire_service.storage.redis.problems import CONNECT_SECONDS
from promptwire_service.storage.redis.target import Address, StoreTarget, join
from promptwire_service.storage.tasks import end, heed_cancellation

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""How often the Sentinels are asked whether the primary is still the one that connections go to."""
_KNOWN_SECONDS = 0.2
"""For how long an answer of theirs serves new connections."""


class Locator:
    """Asks the Sentinels who the primary is."""

    def __init__(self, target: StoreTarget) -> None:
        options: dict[str, Any] = {
            "username": target.sentinel_username,
            "password": target.sentinel_password,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": True,
            "protocol": 2,
        }
        if target.scheme == "rediss":
            options |= {"ssl": True, **dict(target.tls_files)}
        self._sentinel = Sentinel(target.hosts, **options)  # type: ignore[no-untyped-call]
        self._name = target.service_name
        self._asking = asyncio.Lock()
        self.primary: Address | None = None
        """As they said last."""
        self._said_at = -float("inf")
        self._fail_overs = 0
        """The Sentinels' own number of the newest of them that was heard of."""

    async def locate(self, known_seconds: float = 0.0) -> Address:
        """The primary; as was said up to so many seconds ago. Raises RedisError."""
        async with self._asking:
            if self.primary is None or time.monotonic() - self._said_at > known_seconds:
                self.primary, self._said_at = await self._ask(), time.monotonic()
            return self.primary

    async def _ask(self) -> Address:
        """Asks all of them: one that was away may name a primary that was replaced, and each fail-over has a number."""
        asked = (client.sentinel_master(self._name, return_responses=True) for client in self._sentinel.sentinels)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        states = [answer for answer in answers if isinstance(answer, dict)]
        if not states:
            errors = [error for error in answers if isinstance(error, Exception)]
            known = [error for error in errors if "No such master" not in str(error)]
            raise known[0] if len(known) == len(answers) else _nobody(self._name)
        state = max(states, key=lambda state: int(state["config-epoch"]))
        fail_overs = int(state["config-epoch"])
        if fail_overs < self._fail_overs or state["is_sdown"] or state["is_odown"]:
            raise _nobody(self._name)
        self._fail_overs = fail_overs
        return str(state["ip"]), int(state["port"])

    async def aclose(self) -> None:
        for client in self._sentinel.sentinels:
            await client.aclose()


class _PrimaryConnection(Connection):
    """Finds out where to go whenever it connects."""

    def __init__(self, *, locator: Locator, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._locator = locator

    async def _connect(self) -> None:
        self.host, self.port = await self._locator.locate(_KNOWN_SECONDS)
        await super()._connect()  # type: ignore[no-untyped-call]


class _SecurePrimaryConnection(_PrimaryConnection, SSLConnection):
    """The same over TLS; the certificate is checked for the address that the Sentinels name."""


class PrimaryServer(Server):
    """A Server whose address may change at any time."""

    def __init__(self, locator: Locator, reads: Redis, writes: Redis, replicas: Replicas | None) -> None:
        super().__init__(reads, writes, replicas)
        self._locator = locator
        self._task: asyncio.Task[None] | None = None

    async def primaries(self) -> list[Redis]:
        """From here on, an eye is kept on who the primary is."""
        if self._task is None:
            await self._locator.locate()
            self._task = asyncio.create_task(self._watch(), name="promptwire-sentinel")
        return await super().primaries()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before = self._locator.primary
            try:
                primary = await self._locator.locate()
                heed_cancellation()
            except (RedisError, OSError) as error:
                _log.debug("the Sentinels name no primary", error=str(error))
                continue
            if primary != before:
                _log.warning("another primary", primary=join(*primary), before=join(*before) if before else "")
                await self.drop()

    async def aclose(self) -> None:
        if self._task:
            await end(self._task)
        await super().aclose()
        await self._locator.aclose()


def primary_server(target: StoreTarget, replicas: Replicas | None) -> PrimaryServer:
    locator = Locator(target)
    connection_class = _SecurePrimaryConnection if target.scheme == "rediss" else _PrimaryConnection
    address = {"host": target.host, "port": target.port, "locator": locator}
    return PrimaryServer(locator, *clients(target, connection_class, **address), replicas)


def _nobody(name: str) -> MasterNotFoundError:
    return MasterNotFoundError(f"No master found for {name!r}")
