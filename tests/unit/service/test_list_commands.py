"""Lists and their pages: every row once, tokens that fit one list only, pages that stay small."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain import limits
from promptwire.domain.violations import Violation
from promptwire_service.commands.list_prompt_versions import VersionsPage, list_prompt_versions
from promptwire_service.commands.list_prompts import PromptsPage, list_prompts
from promptwire_service.commands.paging import Listing
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.records import Read, Revision
from tests.unit.service.fakes import NOW, Below, a_prompt, a_version, fields


async def prompts_page(
    below: Below, token: str = "", size: int = 0, prefix: str = "", namespace: str = "default"
) -> PromptsPage:
    return await list_prompts(below.registry, namespace=namespace, name_prefix=prefix, page_size=size, page_token=token)


async def versions_page(below: Below, token: str = "", size: int = 0, name: str = "a") -> VersionsPage:
    return await list_prompt_versions(below.registry, namespace="default", name=name, page_size=size, page_token=token)


async def test_pages_tell_every_prompt_once_in_order(below: Below) -> None:
    names = sorted(f"team/p{number}x" for number in range(7))
    for name in [*names, "other"]:
        below.store.add(a_prompt(name))
    seen, token = [], ""
    while True:
        page = await prompts_page(below, token, size=3, prefix="team/")
        assert page.revision == NOW
        seen += [prompt.name for prompt in page.prompts]
        token = page.next_page_token
        if not token:
            break
    assert seen == names


async def test_a_page_that_is_just_full_is_the_last_one(below: Below) -> None:
    for name in ("a", "b"):
        below.store.add(a_prompt(name))
    assert not (await prompts_page(below, size=2)).next_page_token
    assert (await prompts_page(below, size=1)).next_page_token


async def test_an_empty_registry_has_one_empty_page(below: Below) -> None:
    page = await prompts_page(below)
    assert (page.prompts, page.next_page_token) == ((), "")


async def test_without_a_size_a_page_has_the_default(below: Below) -> None:
    for number in range(limits.PAGE_DEFAULT + 1):
        below.store.add(a_prompt(f"p{number:03}x"))
    assert len((await prompts_page(below)).prompts) == limits.PAGE_DEFAULT


async def test_heavy_prompts_make_short_pages(below: Below) -> None:
    for name in ("a", "b", "c"):
        below.store.add(replace(a_prompt(name), tags={str(key): "x" * 90_000 for key in range(8)}))
    page = await prompts_page(below)
    assert [prompt.name for prompt in page.prompts] == ["a", "b"]
    assert [prompt.name for prompt in (await prompts_page(below, page.next_page_token)).prompts] == ["c"]


@pytest.mark.parametrize("size", [-1, limits.PAGE_MAX + 1])
async def test_a_page_size_out_of_bounds_is_refused(below: Below, size: int) -> None:
    below.store.add(a_prompt("a"))
    for page in (prompts_page, versions_page):
        with pytest.raises(RegistryError) as caught:
            await page(below, size=size)
        assert fields(caught.value) == ["page_size"]


async def test_a_prefix_that_begins_no_name_is_refused(below: Below) -> None:
    for prefix in ("a b", "é", "x" * 257):
        with pytest.raises(RegistryError) as caught:
            await prompts_page(below, prefix=prefix)
        assert fields(caught.value) == ["name_prefix"]


async def test_a_token_is_good_for_its_own_list_only(below: Below) -> None:
    for name in ("a", "aa", "ab"):
        below.store.add(a_prompt(name), a_version(1, name), a_version(2, name), a_version(3, name))
    prompts_token = (await prompts_page(below, size=1, prefix="a")).next_page_token
    versions_token = (await versions_page(below, size=1)).next_page_token
    assert prompts_token
    assert versions_token
    for call in (
        prompts_page(below, prompts_token, prefix="aa"),
        prompts_page(below, prompts_token, prefix="a", namespace="other"),
        prompts_page(below, versions_token, prefix="a"),
        versions_page(below, prompts_token),
        versions_page(below, versions_token, name="aa"),
        versions_page(below, versions_token[:-2]),
        versions_page(below, "no token"),
        versions_page(below, "x" * 10_000),
    ):
        with pytest.raises(RegistryError) as caught:
            await call
        assert fields(caught.value) == ["page_token"]


async def test_versions_come_newest_first_with_their_prompt(below: Below) -> None:
    below.store.add(a_prompt("a", production=2), *(a_version(number, "a") for number in (1, 2, 3)))
    first = await versions_page(below, size=2)
    assert [version.version for version in first.versions] == [3, 2]
    assert first.prompt.aliases_of(2) == ["production"]
    last = await versions_page(below, first.next_page_token, size=2)
    assert ([version.version for version in last.versions], last.next_page_token) == ([1], "")


async def test_a_page_cut_by_its_bytes_is_not_taken_for_the_last(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    below.store.add(a_prompt("a"), *(a_version(number, "a") for number in (1, 2, 3)))

    async def cut(*_: object, **__: object) -> Read[list[object]]:
        return Read([a_version(3, "a")], NOW)

    monkeypatch.setattr(below.store, "list_versions", cut)
    assert (await versions_page(below, size=100)).next_page_token


async def test_versions_of_no_prompt_are_not_found(below: Below) -> None:
    with pytest.raises(RegistryError) as caught:
        await versions_page(below, name="nobody")
    assert caught.value.reason == "PROMPT_NOT_FOUND"


async def test_a_change_between_versions_and_their_prompt_makes_both_read_again(
    below: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    below.store.add(a_prompt("a", etag=17), a_version(3, "a"))
    read = below.store.read_prompts
    reads = 0

    async def changing(namespace: str, names: list[str]) -> object:
        nonlocal reads
        reads += 1
        if reads == 1:
            below.store.prompts["a"] = a_prompt("a", etag=41, production=3)
            below.store.revision = Revision("epoch", 41)
        return await read(namespace, names)

    monkeypatch.setattr(below.store, "read_prompts", changing)
    page = await versions_page(below)
    assert (reads, page.revision.number, page.prompt.etag) == (2, 41, 41)


NAMES = st.from_regex(r"[a-z0-9_.\-]{0,20}x", fullmatch=True)


@given(namespace=NAMES, filter=st.text(max_size=300), cursor=NAMES)
def test_a_token_leads_back_to_its_cursor(namespace: str, filter: str, cursor: str) -> None:
    listing = Listing("prompts", namespace, "name_prefix", filter, "", lambda _: True)
    token = listing.token(cursor)
    assert listing.check(token) is None
    assert listing.cursor(token) == cursor
    assert listing.cursor("") == ""


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_no_garbage_is_taken_for_a_token(token: str) -> None:
    listing = Listing("versions", "default", "name", "a", 9, lambda _: True)
    assert not token or isinstance(listing.check(token), Violation)


@pytest.mark.parametrize("cursor", [True, 1.0, "1", None, [1], 0, -1, 10**30, float("nan")])
def test_a_cursor_of_another_kind_is_no_token(cursor: object) -> None:
    listing = Listing("versions", "default", "name", "a", 9, lambda version: version >= 1 and version < 1 << 63)
    forged = base64.urlsafe_b64encode(json.dumps(["versions", "default", "a", cursor]).encode()).decode()
    assert isinstance(listing.check(forged.rstrip("=")), Violation)
