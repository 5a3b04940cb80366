"""Requests with as much to do as may be: while the service works on one, a second client is served, call after call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

import promptwire
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess

SECONDS = 60.0
SERVED_MIN = 5
"""Calls of the second client that end while the heavy one is under way. One that held the loop would let one through,
which was sent before it.
"""

ALTERNATING = "a_" * 2_400
LIKE = f"template LIKE '%{ALTERNATING}b%'"
SEARCHES = {
    "a pattern over whole texts": pb.SearchVersionsRequest(filter=LIKE),
    "any case": pb.SearchVersionsRequest(filter=f"template ILIKE '%{ALTERNATING}b%'"),
    "sorted": pb.SearchVersionsRequest(filter=f"{LIKE} OR version = 1", order_by=["tags.cost DESC", "created_at"]),
}


@pytest.fixture(scope="module")
def heavy(service: ServiceProcess) -> str:
    """A namespace of the largest texts."""
    namespace = "heavy"
    with promptwire.Client(service.target, namespace=namespace, timeout_seconds=SECONDS) as client:
        for number in range(3):
            client.register_prompt(f"text-{number}", "a" * (1 << 20), tags={"cost": str(number)})
        for letter in "ab":
            tags = {f"tag-{number}": f"{letter}\n" * 1_000 for number in range(100)}
            client.register_prompt("lines", f"{letter}\n" * (1 << 19), tags=tags)
        client.register_prompt("small", "Hello {{name}}")
    return namespace


@pytest.fixture
async def attacker(service: ServiceProcess) -> AsyncIterator[Any]:
    async with _stub(service) as stub:
        yield stub


@pytest.fixture
async def other(service: ServiceProcess) -> AsyncIterator[Any]:
    async with _stub(service) as stub:
        yield stub


class _stub:
    """On a connection of its own."""

    def __init__(self, service: ServiceProcess) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
        self._channel = grpc.aio.insecure_channel(service.target, options=options)

    async def __aenter__(self) -> Any:
        return pb_grpc.PromptServiceStub(self._channel)

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def served_during(attack: "asyncio.Future[Any]", other: Any, namespace: str) -> int:
    """How many calls of the second client end before the heavy one does."""
    served = 0
    while not attack.done():
        await other.Resolve(pb.ResolveRequest(namespace=namespace, reference="small"), timeout=SECONDS)
        served += 1
    return served


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
async def test_others_are_served_during_a_search(attacker: Any, other: Any, heavy: str, search: Any) -> None:
    async def pages() -> int:
        found, request = 0, pb.SearchVersionsRequest(namespace=heavy)
        request.MergeFrom(search)
        while True:
            page = await attacker.SearchVersions(request, timeout=SECONDS)
            found += len(page.versions)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    attack = asyncio.create_task(pages())
    assert await served_during(attack, other, heavy) >= SERVED_MIN
    assert attack.result() == (5 if search.order_by else 0)


async def test_others_are_served_during_a_diff(attacker: Any, other: Any, heavy: str) -> None:
    request = pb.DiffVersionsRequest(namespace=heavy, name="lines", before="1", after="2")
    attack = asyncio.ensure_future(attacker.DiffVersions(request, timeout=SECONDS))
    assert await served_during(attack, other, heavy) >= SERVED_MIN
    parts = attack.result().parts
    assert len(parts) == 101
    assert sum(len(hunk.lines) for part in parts for hunk in part.hunks) <= 20_000
    assert parts[-1].cut


async def test_a_call_that_nobody_waits_for_does_not_go_on(attacker: Any, other: Any, heavy: str) -> None:
    request = pb.SearchVersionsRequest(namespace=heavy, filter=LIKE)
    calls = [asyncio.ensure_future(attacker.SearchVersions(request, timeout=SECONDS)) for _ in range(20)]
    await other.Resolve(pb.ResolveRequest(namespace=heavy, reference="small"), timeout=SECONDS)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    # Were the twenty still worked on, taking turns, this one would end after them.
    attack = asyncio.ensure_future(attacker.SearchVersions(request, timeout=SECONDS))
    assert await served_during(attack, other, heavy) >= SERVED_MIN
    assert not attack.result().versions
