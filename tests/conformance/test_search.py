"""What every store must find: the same as a look at everything there is, in pages that lose and repeat nothing."""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptwire_service.commands import searching
from promptwire_service.commands.context import Registry
from promptwire_service.commands.search_prompts import search_prompts
from promptwire_service.commands.search_versions import search_versions
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteTags,
    DeleteVersion,
    Operation,
    Purge,
    SetAlias,
    SetTags,
    UndeletePrompt,
    Write,
)
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget
from tests.conformance.test_store import refused, registration
from tests.support.topologies import Topology


class Found:
    """A namespace that is written and searched."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.namespace = f"ns-{uuid.uuid4().hex[:12]}"
        unused = cast(Any, None)
        self.registry = Registry(store=store, store_info=unused, reader=unused, observer=unused, started_ms=0)

    async def write(self, *operations: Operation) -> None:
        write = Write(operations=operations, request_id=uuid.uuid4().hex, actor="ana@laptop")
        await self.store.write(self.namespace, write)

    async def register(self, name: str, text: str = "Help", **tags: str) -> None:
        await self.write(registration(name, text, tags=tags))

    async def page(
        self, filter: str = "", order_by: Sequence[str] = (), size: int = 0, token: str = ""
    ) -> tuple[list[str], str]:
        page = await search_versions(
            self.registry,
            namespace=self.namespace,
            filter=filter,
            order_by=order_by,
            page_size=size,
            page_token=token,
        )
        return [f"{row.version.name}/{row.version.version}" for row in page.rows], page.next_page_token

    async def versions(self, filter: str = "", order_by: Sequence[str] = (), size: int = 0) -> list[str]:
        found, token = await self.page(filter, order_by, size)
        while token:
            more, token = await self.page(filter, order_by, size, token)
            found += more
        return found

    async def prompts(self, filter: str = "", order_by: Sequence[str] = (), size: int = 0) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await search_prompts(
                self.registry,
                namespace=self.namespace,
                filter=filter,
                order_by=order_by,
                page_size=size,
                page_token=token,
            )
            found += [prompt.name for prompt in page.prompts]
            token = page.next_page_token
            if not token:
                return found


@pytest.fixture
async def tour(store: Store) -> Found:
    """Three prompts of one team and one more."""
    found = Found(store)
    await found.register("telco_support_technical", "You help", use_case="technical_support", token_count="250")
    await found.register("telco_support_technical", "You help with 5G", use_case="technical_support", token_count="90")
    await found.register("telco_support_billing", "Bills", use_case="billing", token_count="1000")
    await found.register("other", "Nothing", use_case="technical_support")
    await found.write(
        SetAlias(name="telco_support_technical", alias="production", target=1),
        SetAlias(name="telco_support_billing", alias="production", target=1),
        SetTags(name="telco_support_billing", version=None, tags={"owner": "ana"}),
    )
    return found


async def test_versions_are_found_newest_first_within_a_name(tour: Found) -> None:
    technical = ["telco_support_technical/2", "telco_support_technical/1"]
    assert await tour.versions("tags.use_case = 'technical_support'") == ["other/1", *technical]
    assert await tour.versions("name = 'telco_support_technical'") == technical
    assert await tour.versions("name LIKE 'telco%'") == ["telco_support_billing/1", *technical]
    assert await tour.versions() == ["other/1", "telco_support_billing/1", *technical]
    assert await tour.versions("alias = 'production'") == ["telco_support_billing/1", "telco_support_technical/1"]
    assert await tour.versions("latest = true and name like 'telco_support_t%'") == technical[:1]
    assert await tour.versions("tags.token_count > 100", ["tags.token_count"]) == [
        "telco_support_technical/1",
        "telco_support_billing/1",
    ]
    assert await tour.versions("template like '%5G%' or prompt_tags.owner = 'ana'") == [
        "telco_support_billing/1",
        "telco_support_technical/2",
    ]
    assert await tour.prompts("tags.owner is not null") == ["telco_support_billing"]
    assert await tour.prompts("alias = 'production'", ["name desc"]) == [
        "telco_support_technical",
        "telco_support_billing",
    ]


async def test_what_changes_is_found_as_it_is_now(tour: Found) -> None:
    await tour.write(
        SetAlias(name="telco_support_technical", alias="production", target=2),
        SetTags(name="telco_support_billing", version=1, tags={"use_case": "invoices"}),
        DeleteTags(name="other", version=1, keys=("use_case",)),
    )
    assert await tour.versions("alias = 'production' and name like '%technical'") == ["telco_support_technical/2"]
    assert await tour.versions("tags.use_case in ('billing', 'invoices')") == ["telco_support_billing/1"]
    assert await tour.versions("tags.use_case = 'billing'") == []
    assert await tour.versions("tags.use_case is null") == ["other/1"]


async def test_what_is_deleted_is_not_found(tour: Found) -> None:
    await tour.write(DeleteVersion(name="telco_support_technical", version=2))
    await tour.write(DeletePrompt(name="other"))
    assert await tour.versions() == ["telco_support_billing/1", "telco_support_technical/1"]
    assert await tour.versions("tags.use_case = 'technical_support'") == ["telco_support_technical/1"]
    assert await tour.prompts() == ["telco_support_billing", "telco_support_technical"]
    await tour.write(UndeletePrompt(name="other"))
    assert await tour.prompts("name = 'other'") == ["other"]
    await tour.write(DeletePrompt(name="other"))
    await tour.write(Purge(before_ms=10**15, limit=9))
    assert await tour.versions("tags.use_case = 'technical_support'") == ["telco_support_technical/1"]


async def test_pages_lose_and_repeat_nothing_while_others_write(store: Store) -> None:
    found = Found(store)
    for number in range(30):
        await found.register(f"p{number:02}", team="a")
        await found.register(f"p{number:02}", team="a")
    expected = [f"p{number:02}/{version}" for number in range(30) for version in (2, 1)]
    for order in ((), ("created_at desc",)):
        seen, token = await found.page("tags.team = 'a'", order, 7)
        while token:
            await found.register(f"p{len(seen) % 30:02}-new", team="a")
            await found.write(SetTags(name="p00", version=1, tags={"other": str(len(seen))}))
            more, token = await found.page("tags.team = 'a'", order, 7, token)
            seen += more
        assert len(seen) == len(set(seen))
        assert sorted(one for one in seen if "new" not in one) == sorted(expected)
    assert await found.versions("tags.team = 'a' and tags.other is null and name like 'p0_'", size=3) == [
        one for one in expected if one.startswith("p0") and one != "p00/1"
    ]


async def test_an_index_is_looked_into_and_not_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(store)
    for number in range(60):
        await found.register(f"p{number:02}", team="a" if number % 20 == 0 else "b")
    await found.write(SetAlias(name="p07", alias="production", target=1))
    looked_at = 0
    find = store.find_versions

    async def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal looked_at
        read = await find(*arguments, **options)
        looked_at += read.value.looked_at
        return read

    monkeypatch.setattr(store, "find_versions", counting)
    for filter, most in (
        ("tags.team = 'a'", 3),
        ("name = 'p33'", 1),
        ("name like 'p1%'", 10),
        ("name in ('p01', 'p02', 'nobody')", 2),
        ("alias = 'production'", 1),
        ("tags.team = 'b' and name like 'p5%'", 10),
        ("tags.team = 'b' and alias = 'production'", 1),
        ("tags.team = 'a' or alias = 'production'", 4),
        ("author = 'nobody'", 0),
    ):
        looked_at = 0
        await found.versions(filter)
        assert looked_at <= (60 if isinstance(store, MemoryStore) else most), filter


async def test_what_would_take_too_long_to_sort_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(store)
    for number in range(6):
        await found.register(f"p{number}", cost=str(number))
    monkeypatch.setattr(searching, "SORTED_MAX", 5)
    await refused(found.versions("", ["tags.cost"]), "TOO_MANY_TO_SORT")
    assert len(await found.versions("", ["created_at desc"])) == 6
    if not isinstance(store, MemoryStore):  # which looks at everything
        assert await found.versions("name < 'p3'", ["tags.cost desc"]) == ["p2/1", "p1/1", "p0/1"]


async def test_a_page_ends_after_a_bound_of_work_and_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(store)
    for number in range(25):
        await found.register(f"p{number:02}", "needle" if number == 24 else "hay")
    monkeypatch.setattr(searching, "LOOKS_MAX", 10)
    monkeypatch.setattr(searching, "_BATCH_MAX", 5)
    first, token = await found.page("template = 'needle'", size=4)
    assert (first, bool(token)) == ([], True)
    assert await found.versions("template = 'needle'", size=4) == ["p24/1"]


async def test_a_token_is_of_its_own_search(tour: Found) -> None:
    _, token = await tour.page("name like 'telco%'", size=1)
    await refused(tour.page("name like 'x%'", size=1, token=token), "INVALID_ARGUMENT")
    await refused(tour.page("name like 'telco%'", ["author"], size=1, token=token), "INVALID_ARGUMENT")
    await refused(tour.page("name like 'telco%'", size=1, token=token[:-3]), "INVALID_ARGUMENT")
    again, _ = await tour.page("name   LIKE 'telco%'", size=1, token=token)
    assert again == ["telco_support_technical/2"]


names = st.sampled_from(["a", "ab", "b", "b/c"])
aliases = st.sampled_from(["x", "y"])
values = st.sampled_from(["1", "2", "10", "ä", ""])
tag_keys = st.sampled_from(["k", "k 2"])
tags = st.fixed_dictionaries({}, optional={"k": values, "k 2": values})
versions = st.integers(1, 3)
steps = st.one_of(
    st.builds(lambda name, tags: registration(name, tags=tags), names, tags),
    st.builds(lambda name, tags: registration(name, tags=tags), names, tags),
    st.builds(SetAlias, name=names, alias=aliases, target=versions),
    st.builds(DeleteAlias, name=names, alias=aliases, allow_missing=st.just(True)),
    st.builds(SetTags, name=names, version=st.none() | versions, tags=tags.filter(bool)),
    st.builds(DeleteTags, name=names, version=st.none() | versions, keys=st.tuples(tag_keys)),
    st.builds(DeleteVersion, name=names, version=versions, drop_aliases=st.booleans()),
    st.builds(DeletePrompt, name=names),
    st.builds(UndeletePrompt, name=names),
)
conditions = st.one_of(
    st.builds("name {} '{}'".format, st.sampled_from(["=", "!=", "<", ">=", "LIKE", "NOT LIKE"]), names),
    st.sampled_from(["name LIKE 'a%'", "name LIKE '%c'", "name IN ('a', 'b/c', 'zzz')"]),
    st.sampled_from(["latest = true", "version > 1"]),
    st.builds("alias {} '{}'".format, st.sampled_from(["=", "!="]), aliases),
    st.builds("tags.`{}` {} '{}'".format, tag_keys, st.sampled_from(["=", "!=", "<"]), values),
    st.builds("tags.`{}` {} {}".format, tag_keys, st.sampled_from(["=", ">"]), st.integers(0, 11)),
    st.builds("tags.`{}` IS {}NULL".format, tag_keys, st.sampled_from(["", "NOT "])),
    st.sampled_from(["author = 'ana@laptop'", "author = 'nobody'"]),
)
filters = st.recursive(
    conditions,
    lambda parts: (
        st.builds("({} {} {})".format, parts, st.sampled_from(["AND", "OR"]), parts) | st.builds("NOT {}".format, parts)
    ),
    max_leaves=4,
)
orders = st.sampled_from([(), ("name desc",), ("tags.k", "version desc"), ("tags.k desc",), ("author", "name")])
_numbers = itertools.count(1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    written=st.lists(steps, max_size=25),
    searches=st.lists(st.tuples(filters, orders, st.integers(0, 3)), max_size=6),
)
def test_the_real_store_finds_what_a_look_at_everything_does(
    start_topology: Callable[[str], Topology],
    written: list[Operation],
    searches: list[tuple[str, tuple[str, ...], int]],
) -> None:
    asyncio.run(_compare(start_topology("valkey").url, written, searches))


async def _compare(url: str, written: list[Operation], searches: list[tuple[str, tuple[str, ...], int]]) -> None:
    real = RedisStore(connect(StoreTarget.parse(url)), StoreInfo(url, "valkey", "none"))
    try:
        found, model = Found(real), Found(MemoryStore())
        for operation in written:
            outcomes = await asyncio.gather(found.write(operation), model.write(operation), return_exceptions=True)
            assert type(outcomes[0]) is type(outcomes[1])
        for filter, order, size in searches:
            assert await found.versions(filter, order, size) == await model.versions(filter, order, size)
            assert await model.versions(filter, order, size) == await model.versions(filter, order)
            if not any(word in filter for word in ("latest", "version")):
                by = tuple(key for key in order if "version" not in key)
                assert await found.prompts(filter, by, size) == await model.prompts(filter, by)
    finally:
        await real.close()
