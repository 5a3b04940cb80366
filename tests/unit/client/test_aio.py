"""The asyncio face: the same core, awaited."""

import asyncio
import gc
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

import promptwire
from promptwire import AsyncClient, Client, Revision
from tests.unit.client.fakes import FakeService, Registry, eventually, rpc_status


@pytest.fixture
async def client(target: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(target, actor="ana@laptop") as client:
        yield client


async def soon(condition: Any) -> None:
    await asyncio.to_thread(eventually, condition)


def test_it_has_what_the_client_has_with_the_same_parameters() -> None:
    def public(kind: type) -> dict[str, inspect.Signature]:
        members = inspect.getmembers(kind, inspect.isfunction)
        return {name: inspect.signature(member) for name, member in members if not name.startswith("_")}

    def parameters(kind: type) -> dict[str, list[inspect.Parameter]]:
        return {name: list(signature.parameters.values()) for name, signature in public(kind).items()}

    assert parameters(AsyncClient) == parameters(Client)


async def test_a_hit_does_not_give_up_the_loop(client: AsyncClient, service: FakeService) -> None:
    first = await client.load_prompt("prompts:/a@production")
    load = client.load_prompt("prompts:/a@production")
    with pytest.raises(StopIteration) as returned:
        load.send(None)
    assert returned.value.value is first
    assert len(service.asked("Resolve")) == 1


async def test_a_flip_arrives_without_asking(client: AsyncClient, service: FakeService, registry: Registry) -> None:
    handle = await client.handle("a@production")
    await client.wait_for_ready(["a@production"])
    registry.alias("a", "production", 2)
    await soon(lambda: handle.current.version == 2)
    assert (await client.load_prompt("a@production")).version == 2
    assert len(service.asked("Resolve")) == 1


async def test_the_loop_goes_on_while_the_service_takes_its_time(client: AsyncClient, service: FakeService) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    load = asyncio.create_task(client.load_prompt("a@production"))
    await soon(lambda: service.asked("Resolve"))
    assert not load.done(), "and yet this runs"
    service.gates["Resolve"].release()
    assert (await load).version == 1


async def test_many_tasks_that_miss_the_same_reference_ask_once(client: AsyncClient, service: FakeService) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    loads = [asyncio.create_task(client.load_prompt("a@production")) for _ in range(50)]
    await soon(lambda: service.asked("Resolve"))
    service.gates["Resolve"].release(100)
    assert len({id(prompt) for prompt in await asyncio.gather(*loads)}) == 1
    assert len(service.asked("Resolve")) == 1


async def test_who_asked_may_be_cancelled_and_the_others_get_their_answer(
    client: AsyncClient, service: FakeService
) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    first = asyncio.create_task(client.load_prompt("a@production"))
    await soon(lambda: service.asked("Resolve"))
    second = asyncio.create_task(client.load_prompt("a@production"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    service.gates["Resolve"].release(100)
    assert (await second).version == 1
    assert not client._core.live._flights


async def test_who_waits_may_be_cancelled_and_the_one_who_asked_gets_the_answer(
    client: AsyncClient, service: FakeService
) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    first = asyncio.create_task(client.load_prompt("a@production"))
    await soon(lambda: service.asked("Resolve"))
    second = asyncio.create_task(client.load_prompt("a@production"))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    service.gates["Resolve"].release(100)
    assert (await first).version == 1


async def test_a_time_limit_of_the_caller_ends_the_call(client: AsyncClient, service: FakeService) -> None:
    service.gates["Resolve"] = threading.Semaphore(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.load_prompt("a@production")
    service.gates["Resolve"].release(100)
    assert (await client.load_prompt("a@production")).version == 1


async def test_it_reads_what_it_wrote_and_writes_once(
    client: AsyncClient, service: FakeService, registry: Registry
) -> None:
    await client.wait_for_ready(["a@production"])
    service.pushes = False
    service.failures["SetAlias"] = deque([rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")] * 2)
    change = await client.set_prompt_alias("a", "production", 2)
    assert len({request.write.request_id for request in service.asked("SetAlias")}) == 1
    assert (await client.load_prompt("a@production")).version == 2
    assert (await client.load_prompt("b@production", min_revision=change.revision)).version == 1
    assert (await client.load_prompt("a@production", consistency="strong")).version == 2
    made = await client.register_prompt("c", "hello {{who}}")
    assert made.format(who="Ana") == "hello Ana"
    assert registry.prompts["c"].latest_version == 1


async def test_errors_are_the_clients(client: AsyncClient) -> None:
    with pytest.raises(promptwire.PromptNotFoundError):
        await client.load_prompt("nope")
    with pytest.raises(promptwire.InvalidArgumentError, match="reference: must be text"):
        await client.load_prompt(None)  # type: ignore[arg-type]
    with pytest.raises(promptwire.InvalidArgumentError, match="references"):
        await client.load_prompts([5])  # type: ignore[list-item]


async def test_pages_and_the_feed_are_iterated(client: AsyncClient, service: FakeService, registry: Registry) -> None:
    registry.register("c")
    assert [prompt.name async for prompt in client.list_prompts()] == ["a", "b", "c"]
    told = [changes async for changes in client.changes(after=Revision("one", 0), follow=False)]
    assert [changes.revision.number for changes in told] == list(range(registry.number + 1))


async def test_a_feed_that_waits_can_be_cancelled_and_goes_on_where_a_stream_broke(
    client: AsyncClient, service: FakeService, registry: Registry
) -> None:
    service.failures["StreamChanges"] = deque([rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")])
    feed = client.changes(after=Revision("one", 0))
    numbers = [(await anext(feed)).revision.number for _ in range(registry.number + 1)]
    assert numbers == list(range(registry.number + 1))
    assert len(service.asked("StreamChanges")) == 2
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await client.load_prompt("a")).version == 2


async def test_a_closed_client_refuses_and_lets_go_of_who_waits(client: AsyncClient, service: FakeService) -> None:
    await client.load_prompt("a")
    service.gates["Resolve"] = threading.Semaphore(0)
    service.bookmarks = False
    waiting = [
        asyncio.create_task(client.load_prompt("b")),
        asyncio.create_task(client.wait_for_ready(["a"])),
        asyncio.create_task(anext(aiter(client.changes()))),
    ]
    await soon(lambda: len(service.asked("Resolve")) == 2)
    await client.close()
    await client.close()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, promptwire.PromptwireError | promptwire.values.Changes)
    with pytest.raises(promptwire.PromptwireError, match="closed"):
        await client.load_prompt("a")


def test_several_loops_share_one_client(target: str, service: FakeService, registry: Registry) -> None:
    client = AsyncClient(target)

    async def follow(name: str) -> int:
        await client.wait_for_ready([f"{name}@production"])
        await client.set_prompt_alias(name, "production", 2)
        for _ in range(1000):
            await client.load_prompt(f"{name}@production")
        return (await client.load_prompt(f"{name}@production")).version

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda name: asyncio.run(follow(name)), ["a", "b"])) == [2, 2]
    assert asyncio.run(follow("a")) == 2, "and loops may come after one another"
    asyncio.run(client.close())


def test_a_loop_that_ends_in_the_middle_of_a_load_leaves_no_flight_behind(target: str, service: FakeService) -> None:
    client = AsyncClient(target)
    service.gates["Resolve"] = threading.Semaphore(0)

    async def leave(client: AsyncClient) -> None:
        task = asyncio.create_task(client.load_prompt("a"))
        await soon(lambda: service.asked("Resolve"))
        assert not task.done()

    asyncio.run(leave(client))
    assert not client._core.live._flights
    service.gates["Resolve"].release(100)
    assert asyncio.run(client.load_prompt("a")).version == 2
    core = client._core
    del client
    gc.collect()
    assert core.connection.closed
