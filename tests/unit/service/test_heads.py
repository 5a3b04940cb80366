"""Reads of heads share round trips, and fail, stall and are cancelled apart from each other."""

import asyncio
from collections.abc import Hashable, Sequence
from contextlib import suppress

import pytest

from promptwire_service.domain.changes import LogHead
from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch.heads import BATCH_MAX, HeadReader


class Store(MemoryStore):
    """Counts its round trips; those of a partition wait at its gate."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.gates: dict[Hashable, asyncio.Event] = {}
        self.down = False

    def partition(self, namespace: str) -> Hashable:
        return namespace.partition("/")[0]

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        self.calls.append(list(namespaces))
        if gate := self.gates.get(self.partition(namespaces[0])):
            await gate.wait()
        if self.down:
            raise store_unavailable("switched off by the test")
        heads = await super().read_heads(namespaces)
        broken = store_unavailable("this one")
        return [broken if name.endswith("broken") else head for name, head in zip(namespaces, heads, strict=True)]


async def called(store: Store, times: int) -> None:
    while len(store.calls) < times:  # noqa: ASYNC110 - a turn of the loop, not a time
        await asyncio.sleep(0)


async def test_those_who_ask_in_the_same_turn_share_a_round_trip() -> None:
    store = Store()
    reader = HeadReader(store)
    names = [f"a/{number}" for number in range(200)]
    reads = await asyncio.gather(*(reader.read(name) for name in names * 2))
    assert store.calls == [names]
    assert [read.head.revision for read in reads[:200]] == [read.head.revision for read in reads[200:]]


async def test_a_round_trip_is_of_a_bounded_number() -> None:
    store = Store()
    names = [f"a/{number}" for number in range(2 * BATCH_MAX + 1)]
    await asyncio.gather(*map(HeadReader(store).read, names))
    assert [len(call) for call in store.calls] == [BATCH_MAX, BATCH_MAX, 1]


async def test_an_answer_is_never_of_a_round_trip_that_was_under_way() -> None:
    store = Store()
    now = 1.0
    reader = HeadReader(store, lambda: now)
    gate = store.gates["a"] = asyncio.Event()
    first = asyncio.create_task(reader.read("a/x"))
    await called(store, 1)
    now = 2.0
    second = asyncio.create_task(reader.read("a/x"))
    await called(store, 2)
    gate.set()
    assert ((await first).began_at, (await second).began_at) == (1.0, 2.0)


async def test_one_that_cannot_be_read_fails_alone() -> None:
    reader = HeadReader(Store())
    broken, fine = await asyncio.gather(reader.read("a/broken"), reader.read("a/fine"), return_exceptions=True)
    assert isinstance(broken, RegistryError)
    assert not isinstance(fine, BaseException)
    assert fine.head.revision.number == 0


async def test_a_failed_round_trip_is_told_to_all_and_the_next_one_is_new() -> None:
    store = Store()
    reader = HeadReader(store)
    store.down = True
    outcomes = await asyncio.gather(reader.read("a/x"), reader.read("a/y"), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {RegistryError}
    store.down = False
    await reader.read("a/x")


async def test_a_partition_that_hangs_holds_up_nobody_else() -> None:
    store = Store()
    reader = HeadReader(store)
    gate = store.gates["hangs"] = asyncio.Event()
    stuck = [asyncio.create_task(reader.read(f"hangs/{number}")) for number in range(10)]
    await called(store, 1)
    await reader.read("fine/x")
    assert not any(task.done() for task in stuck)
    gate.set()
    await asyncio.gather(*stuck)


async def test_patience_waits_for_company_and_impatience_waits_for_nobody() -> None:
    store = Store()
    reader = HeadReader(store)
    patient = [asyncio.create_task(reader.read(f"a/{number}", 3_600.0)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not store.calls
    await reader.read("a/now")
    await asyncio.gather(*patient)
    assert store.calls == [["a/0", "a/1", "a/2", "a/now"]]


async def test_impatience_behind_full_round_trips_goes_with_the_next_whatever_patience_came_since() -> None:
    store = Store()
    reader = HeadReader(store)
    gate = store.gates["a"] = asyncio.Event()
    under_way = []
    for number in range(2):
        under_way.append(asyncio.create_task(reader.read(f"a/{number}")))
        await called(store, number + 1)
    urgent = asyncio.create_task(reader.read("a/urgent"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    patient = asyncio.create_task(reader.read("a/patient", 3_600.0))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*under_way, urgent, patient)
    assert len(store.calls) == 3


async def test_who_is_cancelled_does_not_take_the_answer_from_others() -> None:
    store = Store()
    reader = HeadReader(store)
    gate = store.gates["a"] = asyncio.Event()
    first, second = asyncio.create_task(reader.read("a/x")), asyncio.create_task(reader.read("a/x"))
    await called(store, 1)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    gate.set()
    assert (await second).head.revision.number == 0


async def test_closing_ends_what_waits() -> None:
    store = Store()
    reader = HeadReader(store)
    store.gates["a"] = asyncio.Event()
    under_way = asyncio.create_task(reader.read("a/x"))
    await called(store, 1)
    patient = asyncio.create_task(reader.read("a/y", 3_600.0))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await reader.close()
        for task in (under_way, patient):
            with pytest.raises(asyncio.CancelledError):
                await task
