"""The stores that the suite runs on: the one in memory, the Valkey that the service embeds, Debian's Redis 7.0, a
primary that Sentinels name, a Cluster.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget
from tests.support import topologies
from tests.support.servers import REDIS_SERVER
from tests.support.topologies import Topology

_TOPOLOGIES: dict[str, Callable[[], contextlib.AbstractContextManager[Topology]]] = {
    "valkey": topologies.standalone,
    "redis": lambda: topologies.standalone(binary=REDIS_SERVER),
    "sentinel": topologies.sentinel,
    "cluster": topologies.cluster,
}


@pytest.fixture(scope="session")
def start_topology() -> Iterator[Callable[[str], Topology]]:
    """Starts the servers of a kind, once for the whole session."""
    with contextlib.ExitStack() as stack:
        running: dict[str, Topology] = {}

        def start(kind: str) -> Topology:
            if kind not in running:
                running[kind] = stack.enter_context(_TOPOLOGIES[kind]())
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
        "sentinel",
        "cluster",
    ]
)
async def store(request: pytest.FixtureRequest, start_topology: Callable[[str], Topology]) -> AsyncIterator[Store]:
    if request.param == "memory":
        made: Store = MemoryStore()
    else:
        url = start_topology(request.param).url
        made = RedisStore(connect(StoreTarget.parse(url)), StoreInfo(url, request.param, "none"))
    yield made
    await made.close()
