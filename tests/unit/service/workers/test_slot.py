"""A worker's place: filled again when its worker ends, handed over when another serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import structlog

from promptwire_service.workers import slot as slot_module
from promptwire_service.workers.child import Child, WorkerError
from promptwire_service.workers.messages import Serving
from promptwire_service.workers.slot import Slot
from tests.support.servers import until

SECONDS = 10.0


class Pretended:
    """A child whose life the test leads."""

    end = "killed by signal 9"

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.words = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.comes_up: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
        self.asked_to_leave = asyncio.Event()

    async def serving(self, seconds: float | None = None) -> Serving:
        return await self.comes_up

    def serve(self) -> None:
        self.comes_up.set_result(Serving("127.0.0.1:1", "here", "fsync"))

    def fail(self) -> None:
        self.comes_up.set_exception(WorkerError("the store can't be reached", 3))

    def hand_over(self) -> None:
        self.asked_to_leave.set()

    def die(self) -> None:
        self.ended.set_result(None)

    def kill(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Starts:
    """The children that were started, in order."""

    def __init__(self) -> None:
        self.children: asyncio.Queue[Pretended] = asyncio.Queue()
        self._pid = 0

    async def __call__(self, number: int) -> Child:
        self._pid += 1
        child = Pretended(self._pid)
        self.children.put_nowait(child)
        return cast(Child, child)

    async def next(self) -> Pretended:
        async with asyncio.timeout(SECONDS):
            return await self.children.get()


@asynccontextmanager
async def kept() -> AsyncIterator[tuple[Slot, Starts, Pretended]]:
    """A slot whose first worker serves."""
    starts = Starts()
    slot = Slot(1, starts, end_seconds=0.05)
    filling = asyncio.create_task(slot.fill())
    first = await starts.next()
    first.serve()
    await filling
    keeping = asyncio.create_task(slot.keep())
    try:
        yield slot, starts, first
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def pauses(logged: list[Any]) -> list[float]:
    return [entry["pause_seconds"] for entry in logged if "pause_seconds" in entry]


async def test_a_worker_that_ends_is_followed_by_others_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(slot_module, "LAST_PAUSE_SECONDS", 0.003)
    with structlog.testing.capture_logs() as logged:
        async with kept() as (slot, starts, first):
            first.die()
            for serves in (True, False, True):
                child = await starts.next()
                if serves:
                    child.serve()
                    child.die()
                else:
                    child.fail()
            child = await starts.next()
            assert slot.children[-1] is cast(Child, child)
    assert pauses(logged) == [0.001, 0.002, 0.003, 0.003]
    assert "the store can't be reached" in [entry.get("problem") for entry in logged]


async def test_a_worker_that_hangs_is_killed_and_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(slot_module, "LOOK_SECONDS", 0.02)
    async with kept() as (_, starts, first):
        for _ in range(20):  # longer than a silent one would be left alone
            first.words += 1
            await asyncio.sleep(0.01)
        assert not first.ended.done()
        second = await starts.next()
        assert first.ended.done()
        second.serve()


async def test_pauses_begin_anew_after_a_worker_that_was_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(slot_module, "STEADY_SECONDS", 0.0)
    with structlog.testing.capture_logs() as logged:
        async with kept() as (_, starts, first):
            first.die()
            for _ in range(3):
                child = await starts.next()
                child.serve()
                child.die()
            await starts.next()
    assert set(pauses(logged)) == {0.001}


async def test_a_worker_is_asked_to_leave_only_when_another_serves() -> None:
    async with kept() as (slot, starts, first):
        replacing = asyncio.create_task(slot.replace())
        second = await starts.next()
        assert not first.asked_to_leave.is_set()
        second.serve()
        async with asyncio.timeout(SECONDS):
            await first.asked_to_leave.wait()
            assert slot.child is cast(Child, second)
            assert slot.children == [second, first]
            first.die()
            assert await replacing
    assert starts.children.empty()


async def test_a_worker_that_does_not_leave_is_killed() -> None:
    async with kept() as (slot, starts, first):
        replacing = asyncio.create_task(slot.replace())
        (await starts.next()).serve()
        async with asyncio.timeout(SECONDS):
            assert await replacing
        assert first.ended.done()


async def test_without_a_replacement_the_worker_stays() -> None:
    async with kept() as (slot, starts, first):
        replacing = asyncio.create_task(slot.replace())
        failing = await starts.next()
        failing.fail()
        async with asyncio.timeout(SECONDS):
            assert not await replacing
        assert failing.ended.done()
        assert not first.asked_to_leave.is_set()
        assert slot.children == [first]


async def test_a_worker_that_dies_while_its_replacement_starts_is_replaced_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slot_module, "FIRST_PAUSE_SECONDS", 0.001)
    with structlog.testing.capture_logs() as logged:
        async with kept() as (slot, starts, first):
            replacing = asyncio.create_task(slot.replace())
            second = await starts.next()
            first.die()
            async with asyncio.timeout(SECONDS):
                await until(lambda: pauses(logged))
                second.serve()
                assert await replacing
            assert slot.children == [second]
            # The place is looked after as before.
            second.die()
            (await starts.next()).serve()
    assert starts.children.empty()


async def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    async with kept() as (slot, starts, _):
        replacing = asyncio.create_task(slot.replace())
        second = await starts.next()
        replacing.cancel()
        await asyncio.wait({replacing})
        assert second.ended.done()
