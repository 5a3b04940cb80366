"""The supervisor's own failures."""

import asyncio

import pytest

from promptwire_service.workers.supervisor import _until

SECONDS = 10.0


async def test_a_supervisor_that_cannot_look_after_its_workers_ends() -> None:
    """And does not go on without doing it."""

    async def looks_after() -> None:
        raise ZeroDivisionError

    async with asyncio.timeout(SECONDS):
        with pytest.raises(ZeroDivisionError):
            await _until(asyncio.Event(), asyncio.create_task(looks_after()))


async def test_it_goes_on_until_it_is_told_to_stop() -> None:
    stop, forever = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(forever.wait())
    going_on = asyncio.create_task(_until(stop, working))
    await asyncio.sleep(0)
    assert not going_on.done()
    stop.set()
    async with asyncio.timeout(SECONDS):
        await going_on
    forever.set()
    assert await working
