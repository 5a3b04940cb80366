"""The fence: no order of fills and changes leaves an old value behind."""

import asyncio

import pytest

from promptwire_service.domain.records import Read, Revision
from promptwire_service.storage.fenced import FencedCache


class Source:
    """A store of one integer at a time, whose reads wait until they are let through."""

    def __init__(self) -> None:
        self.value = 0
        self.revision = 0
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def change(self, value: int) -> int:
        self.value = value
        self.revision += 1
        return self.revision

    async def fill(self, key: str) -> Read[int]:
        self.reads += 1
        read = Read(self.value, Revision("e", self.revision))
        await self.gate.wait()
        return read


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def cache(source: Source) -> FencedCache[str, int]:
    cache: FencedCache[str, int] = FencedCache({}, source.fill, lambda key: "n")
    cache.restart("n")
    return cache


async def started(source: Source, reads: int) -> None:
    while source.reads < reads:  # noqa: ASYNC110 - a turn of the loop, not a time
        await asyncio.sleep(0)


async def landed(source: Source, cache: FencedCache[str, int]) -> "asyncio.Task[Read[int]]":
    """A fill that is there, and whose waiter has not had its turn yet."""
    source.gate.clear()
    waiting = asyncio.create_task(cache.get("k"))
    await started(source, 1)
    source.gate.set()
    while cache.peek("k") is None:  # noqa: ASYNC110 - a turn of the loop, not a time
        await asyncio.sleep(0)
    assert not waiting.done()
    return waiting


async def test_a_value_is_read_once_and_then_cached(source: Source, cache: FencedCache[str, int]) -> None:
    assert [(await cache.get("k")).value for _ in range(3)] == [0, 0, 0]
    assert (source.reads, cache.counters.hits, cache.counters.misses) == (1, 2, 1)


async def test_many_that_miss_at_once_share_one_read(source: Source, cache: FencedCache[str, int]) -> None:
    reads = await asyncio.gather(*(cache.get("k") for _ in range(50)))
    assert ({read.value for read in reads}, source.reads) == ({0}, 1)


async def test_a_change_during_a_fill_is_not_overwritten_by_it(source: Source, cache: FencedCache[str, int]) -> None:
    source.gate.clear()
    before = asyncio.create_task(cache.get("k"))
    await started(source, 1)
    cache.invalidate("k", source.change(7))
    after = asyncio.create_task(cache.get("k"))
    source.gate.set()
    assert (await after).value == 7, "who asked after the change must not share the read from before it"
    assert (await before).value == 7
    assert (await cache.get("k")).value == 7
    assert cache.counters.fenced == 1


async def test_a_change_between_the_landing_and_its_waiter_is_not_missed(
    source: Source, cache: FencedCache[str, int]
) -> None:
    """What the waiter is given counts as right from then on."""
    waiting = await landed(source, cache)
    cache.invalidate("k", source.change(7))
    assert (await waiting).value == 7
    assert not cache._landed


async def test_history_forgotten_between_the_landing_and_its_waiter_is_not_given(
    source: Source, cache: FencedCache[str, int]
) -> None:
    waiting = await landed(source, cache)
    source.value = 9
    cache.restart("n")
    assert (await waiting).value == 9
    assert not cache._landed


async def test_a_change_that_the_fill_has_seen_keeps_it(source: Source, cache: FencedCache[str, int]) -> None:
    revision = source.change(7)
    await cache.get("k")
    cache.invalidate("k", revision)
    assert cache.peek("k") is not None
    assert cache.counters.invalidations == 0


async def test_a_later_change_drops_the_value(source: Source, cache: FencedCache[str, int]) -> None:
    await cache.get("k")
    cache.invalidate("k", source.change(7))
    assert cache.peek("k") is None
    assert (await cache.get("k")).value == 7


async def test_forgetting_voids_a_fill_under_way(source: Source, cache: FencedCache[str, int]) -> None:
    source.change(1)
    source.gate.clear()
    waiting = asyncio.create_task(cache.get("k"))
    await started(source, 1)
    source.value, source.revision = 9, 0
    cache.restart("n")
    source.gate.set()
    assert (await waiting).value == 9
    assert (await cache.get("k")).value == 9


async def test_a_failed_fill_is_told_to_all_and_tried_anew(source: Source) -> None:
    failing = True

    async def fill(key: str) -> Read[int]:
        await source.fill(key)
        if failing:
            raise ConnectionError("down")
        return Read(1, Revision("e", 1))

    cache: FencedCache[str, int] = FencedCache({}, fill, lambda key: "n")
    outcomes = await asyncio.gather(*(cache.get("k") for _ in range(3)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectionError}
    failing = False
    assert (await cache.get("k")).value == 1


async def test_one_waiter_cancelled_does_not_take_the_answer_from_the_others(
    source: Source, cache: FencedCache[str, int]
) -> None:
    source.gate.clear()
    first, second = asyncio.create_task(cache.get("k")), asyncio.create_task(cache.get("k"))
    await started(source, 1)
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert (await second).value == 0
    assert source.reads == 1


async def test_asking_in_the_very_step_in_which_a_fenced_fill_ends_reads_anew(
    source: Source, cache: FencedCache[str, int]
) -> None:
    """The result is there, its waiters have not been woken yet: nobody may take it for a fill under way."""
    source.gate.clear()
    first = asyncio.create_task(cache.get("k"))
    await started(source, 1)
    cache.invalidate("k", source.change(7))
    flight = next(iter(cache._flights.values()))
    later: list[asyncio.Task[Read[int]]] = []
    flight.result.add_done_callback(lambda _: later.append(asyncio.create_task(cache.get("k"))))
    source.gate.set()
    assert (await first).value == 7
    assert (await later[0]).value == 7


async def test_a_fill_that_all_have_left_is_ended_and_who_asks_then_starts_another(
    source: Source, cache: FencedCache[str, int]
) -> None:
    source.gate.clear()
    waiting = [asyncio.create_task(cache.get("k")) for _ in range(2)]
    await started(source, 1)
    fill = cache._flights["k"].result
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert not cache._flights
    again = asyncio.create_task(cache.get("k"))
    await started(source, 2)
    assert fill.cancelled()
    source.gate.set()
    assert (await again).value == 0


async def test_a_fill_that_all_have_left_and_that_heeds_no_cancellation_is_not_kept(source: Source) -> None:
    """As redis-py's may be on Python 3.11: it comes through after a change of which nobody could tell it."""

    async def fill(key: str) -> Read[int]:
        while True:
            try:
                return await source.fill(key)
            except asyncio.CancelledError:
                source.gate.set()

    cache: FencedCache[str, int] = FencedCache({}, fill, lambda key: "n")
    cache.restart("n")
    source.gate.clear()
    waiting = asyncio.create_task(cache.get("k"))
    await started(source, 1)
    left = cache._flights["k"].result
    waiting.cancel()
    await asyncio.wait([waiting])
    cache.invalidate("k", 99)
    await asyncio.wait([left])
    assert cache.peek("k") is None
