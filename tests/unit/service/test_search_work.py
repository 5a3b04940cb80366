"""Searches with much to do: in steps between which others are served, within a bound, sorted once for all pages."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from promptwire.domain.content import Content
from promptwire_service.commands import searching
from promptwire_service.commands.context import Registry
from promptwire_service.commands.search_prompts import search_prompts
from promptwire_service.commands.search_versions import FoundVersionsPage, search_versions
from promptwire_service.commands.sorted_lists import SortedList, SortedLists
from promptwire_service.commands.work import STEP_UNITS, Turns, Work, in_steps
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import DeletePrompt, Operation, Register, SetTags, Write
from promptwire_service.domain.records import Revision
from promptwire_service.storage.memory import MemoryStore

NAMESPACE = "default"


class Space:
    """A store in memory, and searches of it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        unused = cast(Any, None)
        self.registry = Registry(store=self.store, store_info=unused, reader=unused, observer=unused, started_ms=0)

    async def write(self, *operations: Operation) -> None:
        await self.store.write(NAMESPACE, Write(operations=operations, request_id=uuid.uuid4().hex, actor="ana"))

    async def register(self, name: str, text: str = "Help", **tags: str) -> None:
        content = Content(text)
        operation = Register(name=name, content=content, digest=content.digest, commit_message="", tags=tags)
        await self.write(operation)

    async def page(self, filter: str = "", *order_by: str, token: str = "", size: int = 2) -> FoundVersionsPage:
        return await search_versions(
            self.registry, namespace=NAMESPACE, filter=filter, order_by=order_by, page_size=size, page_token=token
        )

    async def pages(self, filter: str = "", *order_by: str, size: int = 2) -> AsyncIterator[list[str]]:
        token = ""
        while True:
            page = await self.page(filter, *order_by, token=token, size=size)
            yield [row.version.name for row in page.rows]
            token = page.next_page_token
            if not token:
                return

    async def names(self, filter: str = "", *order_by: str, size: int = 2) -> list[str]:
        return [name async for names in self.pages(filter, *order_by, size=size) for name in names]

    @property
    def sorts(self) -> int:
        return self.registry.sorted_lists.sorts


@pytest.fixture
async def costs() -> Space:
    """a-g, by cost g-a."""
    space = Space()
    for number, name in enumerate("abcdefg"):
        await space.register(name, cost=str(100 - number))
    return space


async def test_all_pages_of_a_sorted_search_take_one_sort(costs: Space) -> None:
    assert await costs.names("", "tags.cost") == list("gfedcba")
    assert costs.sorts == 1
    assert await costs.names("", "tags.cost") == list("gfedcba")
    assert costs.sorts == 1, "nothing was written"
    assert await costs.names("", "tags.cost DESC") == list("abcdefg")
    assert await costs.names("name < 'd'", "tags.cost") == list("cba")
    assert costs.sorts == 3


async def test_a_first_page_has_all_that_is_written(costs: Space) -> None:
    await costs.page("", "tags.cost")
    await costs.register("h", cost="1")
    assert (await costs.page("", "tags.cost")).rows[0].version.name == "h"
    assert costs.sorts == 2


async def test_pages_go_on_in_their_order_while_others_write(costs: Space) -> None:
    pages = costs.pages("", "tags.cost", size=3)
    assert await anext(pages) == list("gfe")
    # Sorted again, d would come before what the first page ended with, and be lost; e would come once more.
    await costs.write(
        SetTags(name="d", version=1, tags={"cost": "1"}),
        SetTags(name="e", version=1, tags={"cost": "1000"}),
    )
    await costs.write(DeletePrompt(name="b"))
    assert [name async for names in pages for name in names] == list("dca")
    assert costs.sorts == 1


async def test_what_matches_no_more_is_left_out(costs: Space) -> None:
    pages = costs.pages("tags.cost > 50", "tags.cost", size=3)
    await anext(pages)
    await costs.write(SetTags(name="c", version=1, tags={"cost": "5"}))
    assert [name async for names in pages for name in names] == list("dba")


async def test_another_worker_goes_on_with_a_page_s_token(costs: Space) -> None:
    first = await costs.page("", "tags.cost", size=3)
    costs.registry.sorted_lists.__init__()  # type: ignore[misc]
    second = await costs.page("", "tags.cost", size=3, token=first.next_page_token)
    assert [row.version.name for row in second.rows] == list("dcb")


async def test_prompts_are_sorted_once_as_well(costs: Space) -> None:
    await costs.write(*(SetTags(name=name, version=None, tags={"rank": name}) for name in "abc"))
    found, token = [], ""
    while not found or token:
        page = await search_prompts(
            costs.registry,
            namespace=NAMESPACE,
            filter="tags.rank IS NOT NULL",
            order_by=["tags.rank DESC"],
            page_size=2,
            page_token=token,
        )
        found += [prompt.name for prompt in page.prompts]
        token = page.next_page_token
        await costs.write(DeletePrompt(name="a")) if token else None
    assert found == list("cb")
    assert costs.sorts == 1


async def test_calls_for_the_same_order_wait_for_one_sort(costs: Space) -> None:
    found = await asyncio.gather(*(costs.page("", "tags.cost", size=7) for _ in range(5)))
    assert costs.sorts == 1
    assert all([row.version.name for row in page.rows] == list("gfedcba") for page in found)


async def test_a_list_that_is_larger_than_what_may_be_kept_is_answered_and_not_kept() -> None:
    lists = SortedLists(max_bytes=1_000)
    made = SortedList(("x" * 2_000,), Revision("epoch", 1))

    async def sort() -> SortedList:
        return made

    assert await lists.get(("default", "digest"), lambda _: True, sort) is made
    assert await lists.get(("default", "digest"), lambda _: True, sort) is made
    assert lists.sorts == 2


@pytest.fixture
async def texts() -> Space:
    """Five texts in which a pattern takes several steps each."""
    space = Space()
    for number in range(5):
        await space.register(f"t{number}", "a" * 200_000 + ("c" if number == 4 else ""))
    return space


EXPENSIVE = "template LIKE '%" + "a_" * 100 + "c%'"


async def test_others_are_served_between_the_steps_of_a_search(texts: Space) -> None:
    search = asyncio.create_task(texts.names(EXPENSIVE))
    turns = 0
    while not search.done():
        await asyncio.sleep(0)
        turns += 1
    assert search.result() == ["t4"]
    assert turns >= texts.registry.turns.taken > 20


async def test_a_caller_who_is_gone_is_not_worked_for(texts: Space) -> None:
    search = asyncio.create_task(texts.names(EXPENSIVE))
    for _ in range(1_000):
        await asyncio.sleep(0)
        if texts.registry.turns.taken == 3:
            break
    search.cancel()
    with pytest.raises(asyncio.CancelledError):
        await search
    assert texts.registry.turns.taken == 3


async def test_a_page_ends_after_a_bound_of_work_and_the_next_one_goes_on(
    texts: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "PAGE_UNITS_MAX", 1)
    pages = [names async for names in texts.pages(EXPENSIVE)]
    assert pages == [[], [], [], [], ["t4"], []]


async def test_what_takes_too_long_to_be_found_is_not_sorted(texts: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SORT_UNITS_MAX", 1)
    monkeypatch.setattr(searching, "_BATCH_MAX", 2)
    with pytest.raises(RegistryError, match="takes too long: 2 candidates") as caught:
        await texts.names(EXPENSIVE, "tags.cost")
    assert caught.value.reason == "TOO_MANY_TO_SORT"


async def test_of_several_searches_one_does_a_step_in_a_turn_of_the_loop() -> None:
    turns = Turns()
    steps: list[int] = []

    async def working(name: int) -> None:
        work = Work(turns, 1_000_000)
        for _ in range(5):
            await work.add(STEP_UNITS)
            steps.append(name)

    tasks = [asyncio.create_task(working(name)) for name in range(3)]
    done = 0
    while not all(task.done() for task in tasks):
        before = len(steps)
        await asyncio.sleep(0)
        assert len(steps) - before <= 1
        done += 1
    assert len(steps) == 15
    assert {*steps[:3]} == {0, 1, 2}, "they take turns"


async def test_what_is_worked_through_in_steps_lets_others_in_after_each_that_is_large() -> None:
    turns = Turns()
    sizes = [1, 1, 2 * STEP_UNITS, 1, STEP_UNITS]
    seen = [(size, turns.taken) async for size in in_steps(turns, sizes, lambda size: size)]
    assert seen == [(1, 0), (1, 0), (2 * STEP_UNITS, 0), (1, 1), (STEP_UNITS, 1)]
    assert turns.taken == 2
