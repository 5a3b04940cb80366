"""Reads asked for together go to the store together."""

import asyncio
from collections.abc import Sequence

import pytest

from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.domain.records import Read, Revision
from promptwire_service.storage.batched import CALLS_MAX, BatchedReads


class Below:
    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def read_many(self, namespace: str, keys: Sequence[str]) -> Read[list[str]]:
        self.calls.append((namespace, list(keys)))
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return Read([f"{namespace}/{key}" for key in keys], Revision("e", len(self.calls)))


async def test_what_is_asked_for_in_one_turn_is_one_call_for_each_namespace_and_so_many_keys() -> None:
    below = Below()
    reads = BatchedReads(below.read_many, most=3)
    asked = [reads.read("a", str(number)) for number in range(4)] + [reads.read("b", "0")]
    answers = await asyncio.gather(*asked)
    assert [answer.value for answer in answers] == ["a/0", "a/1", "a/2", "a/3", "b/0"]
    assert below.calls == [("a", ["0", "1", "2"]), ("a", ["3"]), ("b", ["0"])]
    assert (await reads.read("a", "9")).value == "a/9"
    assert len(below.calls) == 4


async def test_a_failure_goes_to_all_who_asked_and_to_nobody_later() -> None:
    below = Below()
    reads = BatchedReads(below.read_many, most=9)
    below.failure = store_unavailable("it sleeps")
    outcomes = await asyncio.gather(reads.read("a", "0"), reads.read("a", "1"), return_exceptions=True)
    assert all(isinstance(outcome, RegistryError) for outcome in outcomes)
    below.failure = None
    assert (await reads.read("a", "0")).value == "a/0"


async def test_who_is_cancelled_takes_nothing_from_the_others() -> None:
    below = Below()
    below.gate.clear()
    reads = BatchedReads(below.read_many, most=9)
    one, two = (asyncio.ensure_future(reads.read("a", key)) for key in "01")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.cancel()
    below.gate.set()
    assert (await two).value == "a/1"
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_a_read_that_all_have_left_is_ended() -> None:
    below = Below()
    below.gate.clear()
    ended = asyncio.Event()
    read_many = below.read_many

    async def watched(namespace: str, keys: Sequence[str]) -> Read[list[str]]:
        try:
            return await read_many(namespace, keys)
        finally:
            ended.set()

    reads = BatchedReads(watched, most=9)
    one, two = (asyncio.ensure_future(reads.read("a", key)) for key in "01")
    while not below.calls:  # noqa: ASYNC110 - a turn of the loop, not a time
        await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not ended.is_set()
    two.cancel()
    async with asyncio.timeout(10):
        await ended.wait()


async def test_who_has_left_before_the_turn_is_over_is_not_read_for() -> None:
    below = Below()
    reads = BatchedReads(below.read_many, most=9)
    gone = asyncio.ensure_future(reads.read("a", "0"))
    stays = asyncio.ensure_future(reads.read("a", "1"))
    gone_too = asyncio.ensure_future(reads.read("b", "0"))
    asyncio.get_running_loop().call_soon(gone.cancel)
    asyncio.get_running_loop().call_soon(gone_too.cancel)
    assert (await stays).value == "a/1"
    assert [namespace for namespace, _ in below.calls] in (["a"], ["a", "b"])


async def test_one_namespace_that_wants_very_much_leaves_room_for_others() -> None:
    below = Below()
    below.gate.clear()
    reads = BatchedReads(below.read_many, most=2)
    much = [asyncio.ensure_future(reads.read("a", str(number))) for number in range(100)]
    other = asyncio.ensure_future(reads.read("b", "0"))
    while not any(namespace == "b" for namespace, _ in below.calls):  # noqa: ASYNC110 - a turn of the loop
        await asyncio.sleep(0)
    assert [namespace for namespace, _ in below.calls].count("a") == CALLS_MAX
    below.gate.set()
    assert [read.value for read in await asyncio.gather(*much)] == [f"a/{number}" for number in range(100)]
    await other
    assert len(below.calls) == 50 + 1
    assert not reads._queued
    assert not reads._calls
