"""Opening the store that `--store` names: started if it is the embedded one, connected to, and checked."""

from dataclasses import dataclass, field
from pathlib import Path

from promptwire_service.storage.durability import Durability
from promptwire_service.storage.embedded.server import EmbeddedServer
from promptwire_service.storage.redis.checks import ServerFacts, check_store
from promptwire_service.storage.redis.connection import Connections, Replicas, connect
from promptwire_service.storage.redis.problems import StoreRefusedError
from promptwire_service.storage.redis.target import StoreTarget

DEFAULT_REPLICAS = Replicas(count=1, timeout_seconds=1.0)


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A server that was found fit, and how to reach it. Close it after everything that uses it."""

    connections: Connections
    facts: ServerFacts
    location: str
    """Where the data is, without credentials."""
    durability: Durability
    embedded: EmbeddedServer | None = field(default=None, repr=False)

    async def aclose(self) -> None:
        """Closes the connections, then ends the embedded server."""
        await _close(self.connections, self.embedded)


async def open_connections(
    store: str, data_dir: Path, durability: Durability | None, replicas: Replicas = DEFAULT_REPLICAS
) -> OpenedStore:
    """Opens `store`, as given to `--store`; `data_dir` is used by the embedded one only. The mode is fsync by default.

    Raises StoreRefusedError or StoreUnreachableError, and leaves nothing behind when it does.
    """
    target = StoreTarget.parse(store)
    mode = Durability.FSYNC if durability is None else durability
    location = target.location
    embedded = embedded_server(store, data_dir, durability)
    if embedded:
        await embedded.start()
        location = f"embedded in {embedded.data_dir}"
        target = StoreTarget("unix", path=str(embedded.socket_path))
    connections = connect(target, replicas if mode is Durability.REPLICATED else None)
    try:
        facts = await check_store(connections, target, mode, replicas.count)
    except BaseException:
        await _close(connections, embedded)
        raise
    return OpenedStore(connections, facts, location, mode, embedded)


def embedded_server(store: str, data_dir: Path, durability: Durability | None) -> EmbeddedServer | None:
    """The server to start, if `store` is the embedded one. Raises StoreRefusedError."""
    if StoreTarget.parse(store).scheme != "embedded":
        return None
    if durability not in (None, Durability.FSYNC):
        raise StoreRefusedError(
            f"--durability {durability} is for a store of your own (--store redis://...); the embedded one always "
            f"keeps what it acknowledged ({Durability.FSYNC})"
        )
    return EmbeddedServer(data_dir)


async def _close(connections: Connections, embedded: EmbeddedServer | None) -> None:
    try:
        await connections.aclose()
    finally:
        if embedded:
            await embedded.stop()
