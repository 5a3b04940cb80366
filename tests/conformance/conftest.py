"""The stores that the suite runs on: the one in memory, the Valkey that the service embeds, Debian's Redis 7.0."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import StoreTarget, connect
from promptwire_service.storage.redis.store import RedisStore
from tests.support.servers import REDIS_SERVER, RunningServer, running_server, valkey_server


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[[str], RunningServer]]:
    """Starts the server of a kind, once for the whole session."""
    with contextlib.ExitStack() as stack:
        running: dict[str, RunningServer] = {}

        def start(kind: str) -> RunningServer:
            if kind not in running:
                binary = valkey_server() if kind == "valkey" else REDIS_SERVER
                assert binary is not None
                running[kind] = stack.enter_context(running_server(binary))
            return running[kind]

        yield start


@pytest.fixture(
    params=[
        "memory",
        "valkey",
        pytest.param(
            "redis",
            marks=[
                pytest.mark.redis,
                pytest.mark.skipif(REDIS_SERVER is None, reason="needs Debian's redis-server package"),
            ],
        ),
    ]
)
async def store(request: pytest.FixtureRequest, start_server: Callable[[str], RunningServer]) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        server = start_server(request.param)
        made = RedisStore(connect(StoreTarget.parse(server.url)), StoreInfo(server.url, request.param, "none"))
    yield made
    await made.close()
