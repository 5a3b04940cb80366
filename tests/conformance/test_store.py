"""What every store must do. A backend that passes this can stand under the service."""

import asyncio
import dataclasses
import uuid
from typing import Any

import pytest

from promptwire.domain import limits
from promptwire.domain.content import Content, Include
from promptwire.domain.names import tags_size_bytes
from promptwire_service.domain.changes import LogHead, LogPage, apply, apply_to_version
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeleteTags,
    Operation,
    Register,
    SetAlias,
    SetTags,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord, VersionRecord
from promptwire_service.domain.search.expressions import EVERYTHING
from promptwire_service.domain.search.fields import VERSIONS
from promptwire_service.domain.search.planning import plan
from promptwire_service.storage.base import Store
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.store import RedisStore

HUGE_VERSION = limits.VERSION_MAX


class Namespace:
    """A store's namespace with short words for writes."""

    def __init__(self, store: Store, namespace: str) -> None:
        self.store = store
        self.namespace = namespace

    async def write(self, operation: Operation, request_id: str = "", **options: Any) -> Written:
        write = Write(
            operations=(operation,),
            request_id=request_id or uuid.uuid4().hex,
            actor=options.pop("actor", "ana@laptop"),
            **options,
        )
        return await self.store.write(self.namespace, write)

    async def register(self, name: str = "greeting", text: str = "Hello {{name}}", **options: Any) -> Written:
        return await self.write(registration(name, text, tags=options.pop("tags", {})), **options)

    async def alias(self, alias: str, version: int, *, name: str = "greeting", **options: Any) -> Written:
        expected = options.pop("expected_version", None)
        return await self.write(SetAlias(name=name, alias=alias, target=version, expected=expected), **options)

    async def prompt(self, name: str = "greeting") -> PromptRecord | None:
        return (await self.store.read_prompts(self.namespace, [name])).value[0]

    async def version(self, version: int, name: str = "greeting") -> VersionRecord | None:
        return (await self.store.read_versions(self.namespace, [(name, version)])).value[0]

    async def log(self, after: int = 0, limit: int = 1000) -> LogPage:
        return await self.store.read_log(self.namespace, after=after, limit=limit)


@pytest.fixture
def space(store: Store) -> Namespace:
    return Namespace(store, f"ns-{uuid.uuid4().hex[:12]}")


def registration(name: str = "greeting", text: str = "Hello {{name}}", **fields: Any) -> Register:
    parts = {field.name: fields.pop(field.name) for field in dataclasses.fields(Content) if field.name in fields}
    content = Content(text, **parts)
    return Register(
        name=name,
        content=content,
        digest=content.digest,
        commit_message=fields.pop("commit_message", ""),
        tags=fields.pop("tags", {}),
        **fields,
    )


async def refused(call: Any, reason: str) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await call
    assert caught.value.reason == reason
    return caught.value


async def test_an_empty_namespace_is_at_revision_zero(space: Namespace) -> None:
    page = await space.log()
    assert (page.entries, page.head.number, page.floor) == ((), 0, 0)
    assert page.head.epoch
    assert await space.prompt() is None
    assert await space.version(1) is None


async def test_a_version_keeps_the_variables_that_were_found_in_it(space: Namespace) -> None:
    found = ("b", "ü", "a")
    await space.write(registration(text="{{ a }}", syntax="jinja2", variables=found))
    await space.register()
    first, second = await space.version(1), await space.version(2)
    assert first
    assert second
    assert (first.content.variables, first.variables) == (found, found)
    assert second.variables == ("name",)


async def test_a_registered_version_reads_back_whole(space: Namespace) -> None:
    operation = registration(
        text='Grüße \U0001f600 {{name}}\n"quoted" \\ \x00 end',
        commit_message="première\tversion",
        response_format_json='{"type": "object"}',
        model_config_json='{"temperature":0.10}',
        tags={"use_case": "technical", "ключ \U0001f511": "", "1": "one"},
    )
    written = await space.write(operation)
    record = await space.version(1)
    assert record is not None
    assert (record.name, record.version, record.content) == ("greeting", 1, operation.content)
    assert record.digest == operation.content.digest
    assert record.commit_message == "première\tversion"
    assert record.tags == operation.tags
    assert (record.author, record.created_ms, record.etag) == ("ana@laptop", written.time_ms, 1)
    assert record.variables == ("name",)
    assert await space.prompt() == PromptRecord(
        "greeting", 1, {}, {}, "ana@laptop", written.time_ms, written.time_ms, 1
    )


async def test_versions_count_from_one_and_identical_content_makes_a_new_one(space: Namespace) -> None:
    assert [(await space.register()).results[0].version for _ in range(3)] == [1, 2, 3]
    assert [(await space.register("other")).results[0].version for _ in range(2)] == [1, 2]


async def test_the_largest_content_and_tags_fit(space: Namespace) -> None:
    tags = {f"k{index:03}" + "k" * 246: "é" * 1_000 for index in range(99)}
    tags["last"] = "x" * (limits.TAGS_MAX_BYTES - tags_size_bytes(tags) - len("last"))
    text = "x" * limits.CONTENT_MAX_BYTES
    await space.register(text=text, tags=tags)
    record = await space.version(1)
    assert record is not None
    assert record.content.text == text
    assert record.tags == tags


async def test_concurrent_registrations_each_get_their_own_number(space: Namespace) -> None:
    written = await asyncio.gather(*(space.register(text=f"text {index}") for index in range(50)))
    assert sorted(answer.results[0].version for answer in written) == list(range(1, 51))
    assert sorted(answer.revision.number for answer in written) == list(range(1, 51))
    for index, answer in enumerate(written):
        record = await space.version(answer.results[0].version)
        assert record is not None
        assert record.content.text == f"text {index}"


async def test_an_alias_is_made_moved_and_removed(space: Namespace) -> None:
    await space.register()
    await space.register()
    assert (await space.alias("production", 1)).results[0].previous == 0
    assert (await space.alias("production", 2)).results[0].previous == 1
    prompt = await space.prompt()
    assert prompt is not None
    assert prompt.aliases == {"production": 2}
    assert prompt.version_of("production") == prompt.version_of("latest") == 2
    assert (await space.write(DeleteAlias(name="greeting", alias="production"))).results[0].previous == 2
    prompt = await space.prompt()
    assert prompt is not None
    assert prompt.aliases == {}
    assert prompt.etag == 5


async def test_aliases_differ_by_case(space: Namespace) -> None:
    await space.register()
    await space.register()
    await space.alias("Prod", 1)
    await space.alias("prod", 2)
    prompt = await space.prompt()
    assert prompt is not None
    assert prompt.aliases == {"Prod": 1, "prod": 2}


@pytest.mark.parametrize("version", [2, 10**15 + 1, HUGE_VERSION])
async def test_an_alias_to_a_missing_version_is_refused(space: Namespace, version: int) -> None:
    await space.register()
    error = await refused(space.alias("production", version), "VERSION_NOT_FOUND")
    assert str(version) in error.message
    assert error.metadata["latest_version"] == "1"
    assert (await space.log()).head.number == 1


async def test_writes_to_a_missing_prompt_are_refused(space: Namespace) -> None:
    for operation in (
        SetAlias(name="nope", alias="production", target=1),
        DeleteAlias(name="nope", alias="production", allow_missing=True),
        SetTags(name="nope", version=None, tags={"a": "b"}),
        DeleteTags(name="nope", version=None, keys=("a",)),
    ):
        await refused(space.write(operation), "PROMPT_NOT_FOUND")
    assert (await space.log()).head.number == 0


async def test_deleting_a_missing_alias_is_refused_or_nothing(space: Namespace) -> None:
    await space.register()
    await space.alias("staging", 1)
    error = await refused(space.write(DeleteAlias(name="greeting", alias="production")), "ALIAS_NOT_FOUND")
    assert "staging" in error.message
    written = await space.write(DeleteAlias(name="greeting", alias="production", allow_missing=True))
    assert (written.results[0].previous, written.revision.number) == (0, 2)
    assert (await space.log()).head.number == 2


async def test_an_alias_moves_only_from_the_expected_version(space: Namespace) -> None:
    await space.register()
    await space.register()
    await space.alias("production", 1, expected_version=0)
    error = await refused(space.alias("production", 2, expected_version=0), "ALIAS_CONFLICT")
    assert error.metadata["actual_version"] == "1"
    await refused(space.alias("production", 2, expected_version=2), "ALIAS_CONFLICT")
    await refused(space.alias("staging", 2, expected_version=1), "ALIAS_CONFLICT")
    await space.alias("production", 2, expected_version=1)
    await refused(space.write(DeleteAlias(name="greeting", alias="production", expected=1)), "ALIAS_CONFLICT")
    await space.write(DeleteAlias(name="greeting", alias="production", expected=2))


async def test_of_many_compare_and_sets_one_wins(space: Namespace) -> None:
    for _ in range(10):
        await space.register()
    await space.alias("production", 1)
    outcomes = await asyncio.gather(
        *(space.alias("production", version, expected_version=1) for version in range(2, 11)),
        return_exceptions=True,
    )
    winners = [outcome for outcome in outcomes if isinstance(outcome, Written)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, RegistryError)]
    assert (len(winners), {error.reason for error in losers}) == (1, {"ALIAS_CONFLICT"})


async def test_an_etag_guards_every_write(space: Namespace) -> None:
    await space.register(expected_etag=0)
    error = await refused(space.register(expected_etag=0), "ETAG_CONFLICT")
    assert error.metadata["actual_etag"] == "1"
    await space.alias("production", 1, expected_etag=1)
    await refused(space.alias("production", 1, expected_etag=1), "ETAG_CONFLICT")
    await refused(space.register("other", expected_etag=7), "ETAG_CONFLICT")


async def test_tags_of_a_prompt_and_of_a_version_are_apart(space: Namespace) -> None:
    await space.register(tags={"a": "1"})
    await space.write(SetTags(name="greeting", version=None, tags={"team": "ai", "x": "y"}))
    await space.write(SetTags(name="greeting", version=1, tags={"a": "2", "b": "3"}))
    await space.write(DeleteTags(name="greeting", version=None, keys=("x", "never there")))
    prompt, record = await space.prompt(), await space.version(1)
    assert prompt is not None
    assert prompt.tags == {"team": "ai"}
    assert record is not None
    assert record.tags == {"a": "2", "b": "3"}
    assert record.etag == 3
    await space.write(DeleteTags(name="greeting", version=1, keys=("a", "b")))
    record = await space.version(1)
    assert record is not None
    assert record.tags == {}
    assert record.etag == 5


async def test_tags_of_a_missing_version_are_refused(space: Namespace) -> None:
    await space.register()
    await refused(space.write(SetTags(name="greeting", version=2, tags={"a": "b"})), "VERSION_NOT_FOUND")
    await refused(space.write(DeleteTags(name="greeting", version=2, keys=("a",))), "VERSION_NOT_FOUND")


async def test_the_hundred_and_first_tag_is_refused(space: Namespace) -> None:
    tags = {f"tag{index}": "x" for index in range(limits.TAGS_MAX)}
    await space.register(tags=tags)
    await space.write(SetTags(name="greeting", version=1, tags={"tag0": "again"}))
    error = await refused(space.write(SetTags(name="greeting", version=1, tags={"one more": "x"})), "INVALID_ARGUMENT")
    assert error.violations[0].field == "tags"
    record = await space.version(1)
    assert record is not None
    assert record.tags == {**tags, "tag0": "again"}


@pytest.mark.parametrize("version", [None, 1])
async def test_tags_are_bounded_together_after_the_write(space: Namespace, version: int | None) -> None:
    half = "é" * (limits.TAGS_MAX_BYTES // 4)
    await space.register()
    await space.write(SetTags(name="greeting", version=version, tags={"a": half[1:]}))
    await space.write(SetTags(name="greeting", version=version, tags={"b": half[1:]}))
    before = (await space.prompt(), await space.version(1))
    error = await refused(space.write(SetTags(name="greeting", version=version, tags={"c": "xx"})), "INVALID_ARGUMENT")
    assert error.violations[0].field == "tags"
    assert f"{limits.TAGS_MAX_BYTES:,} bytes" in error.violations[0].description
    assert (await space.prompt(), await space.version(1)) == before
    await space.write(SetTags(name="greeting", version=version, tags={"c": "x"}))
    await space.write(SetTags(name="greeting", version=version, tags={"a": "short now"}))
    await space.write(SetTags(name="greeting", version=version, tags={"d": half[100:]}))


async def test_the_thousand_and_first_alias_is_refused(space: Namespace) -> None:
    await space.register()
    for first in range(0, limits.ALIASES_MAX_PER_PROMPT, 20):  # more at once would wait for a connection of the pool
        await asyncio.gather(*(space.alias(f"a{index}x", 1) for index in range(first, first + 20)))
    error = await refused(space.alias("one-more", 1), "INVALID_ARGUMENT")
    assert error.violations[0].field == "alias"
    await space.alias("a0x", 1)


async def test_a_repeated_request_gets_the_first_answer(space: Namespace) -> None:
    first = await space.register(request_id="r1")
    await space.register(request_id="r2")
    assert await space.register(request_id="r1") == first
    moved = await space.alias("production", 1, request_id="r3")
    await space.alias("production", 2)
    assert await space.alias("production", 1, request_id="r3") == moved
    prompt = await space.prompt()
    assert prompt is not None
    assert (prompt.latest_version, prompt.aliases) == (2, {"production": 2})
    assert (await space.log()).head.number == 4


async def test_whether_a_request_was_answered_before_is_told_without_its_operations(space: Namespace) -> None:
    asked = Write(operations=(), request_id="r1", actor="ana@laptop", dry_run=True, asked="a release")
    assert (await space.store.write(space.namespace, asked)).results == ()
    made = dataclasses.replace(asked, operations=(registration("greeting"),), dry_run=False)
    answer = await space.store.write(space.namespace, made)
    assert (await space.store.write(space.namespace, asked)).results == answer.results


async def test_a_request_repeated_concurrently_happens_once(space: Namespace) -> None:
    answers = await asyncio.gather(*(space.register(request_id="same") for _ in range(20)))
    assert len({answer.results[0].version for answer in answers}) == 1
    assert (await space.log()).head.number == 1


async def test_a_request_id_for_another_write_is_refused(space: Namespace) -> None:
    await space.register(request_id="r1")
    await refused(space.register(text="something else", request_id="r1"), "REQUEST_ID_REUSED")
    await refused(space.register("other", request_id="r1"), "REQUEST_ID_REUSED")
    assert (await space.register(request_id="r1", actor="ben@desk")).actor == "ana@laptop"


async def test_a_refused_request_may_be_sent_again(space: Namespace) -> None:
    await space.register()
    await refused(space.alias("production", 2, request_id="r1"), "VERSION_NOT_FOUND")
    await space.register()
    assert (await space.alias("production", 2, request_id="r1")).revision.number == 3


async def test_namespaces_do_not_touch(space: Namespace) -> None:
    other = Namespace(space.store, space.namespace + "-other")
    await space.register(request_id="same")
    await other.register(text="theirs", request_id="same")
    await other.register(text="theirs", request_id="second")
    mine, theirs = await space.version(1), await other.version(1)
    assert mine is not None
    assert mine.content.text == "Hello {{name}}"
    assert theirs is not None
    assert theirs.content.text == "theirs"
    assert ((await space.log()).head.number, (await other.log()).head.number) == (1, 2)


async def test_the_log_has_every_write_in_order(space: Namespace) -> None:
    await space.register(reason="because", request_id="r1", actor="ben@desk")
    await space.register()
    await space.alias("production", 2)
    await space.write(SetTags(name="greeting", version=1, tags={"a": "b"}))
    await space.write(DeleteTags(name="greeting", version=None, keys=("a",)))
    await space.write(DeleteAlias(name="greeting", alias="production"))
    page = await space.log()
    assert [entry.number for entry in page.entries] == [1, 2, 3, 4, 5, 6]
    assert page.floor == 0
    first = page.entries[0]
    assert (first.actor, first.reason, first.request_id) == ("ben@desk", "because", "r1")
    assert [type(entry.changes[0]).__name__ for entry in page.entries] == [
        "VersionRegistered",
        "VersionRegistered",
        "AliasSet",
        "TagsSet",
        "TagsDeleted",
        "AliasDeleted",
    ]
    assert [entry.number for entry in (await space.log(after=4)).entries] == [5, 6]
    assert [entry.number for entry in (await space.log(after=1, limit=2)).entries] == [2, 3]
    assert (await space.log(after=6)).entries == ()


async def test_folding_the_log_gives_what_the_store_holds(space: Namespace) -> None:
    await space.register(tags={"seed": "1"})
    await space.register()
    for alias, version in (("a", 1), ("b", 2), ("a", 2)):
        await space.alias(alias, version)
    await space.write(SetTags(name="greeting", version=None, tags={"1": "one", "t": "2"}))
    await space.write(DeleteTags(name="greeting", version=None, keys=("t",)))
    first = await space.version(1)
    await space.write(SetTags(name="greeting", version=1, tags={"more": "x"}))
    await space.write(DeleteTags(name="greeting", version=1, keys=("seed",)))
    await space.write(DeleteAlias(name="greeting", alias="b"))
    prompt: PromptRecord | None = None
    record = first
    assert record is not None
    for entry in (await space.log()).entries:
        for change in entry.changes:
            prompt = apply(prompt, entry, change)
            if entry.number > record.etag:
                record = apply_to_version(record, entry, change)
    assert prompt == await space.prompt()
    assert record == await space.version(1)


async def test_prompts_are_listed_by_name_in_pages(space: Namespace) -> None:
    for name in ("telco_b", "a/b", "telco", "Telco", "telco_a", "z-1"):
        await space.register(name)

    async def names(after: str = "", prefix: str = "", limit: int = 100) -> list[str]:
        read = await space.store.list_prompts(space.namespace, after=after, prefix=prefix, limit=limit)
        return [prompt.name for prompt in read.value]

    assert await names() == ["Telco", "a/b", "telco", "telco_a", "telco_b", "z-1"]
    assert await names(prefix="telco") == ["telco", "telco_a", "telco_b"]
    assert await names(prefix="telco", after="telco", limit=1) == ["telco_a"]
    assert await names(after="telco_b") == ["z-1"]
    assert await names(prefix="telco", after="Telco", limit=1) == ["telco"]
    assert await names(prefix="none") == []
    assert await names(after="z-1") == []


async def test_versions_are_listed_newest_first_in_pages(space: Namespace) -> None:
    for index in range(5):
        await space.register(text="x" * 10_000, tags={"n": str(index)})

    async def numbers(before: int = HUGE_VERSION, limit: int = 100, max_bytes: int = 1 << 20) -> list[int]:
        read = await space.store.list_versions(
            space.namespace, "greeting", before=before, limit=limit, max_bytes=max_bytes
        )
        return [record.version for record in read.value]

    assert await numbers() == [5, 4, 3, 2, 1]
    assert await numbers(before=4, limit=2) == [3, 2]
    assert await numbers(max_bytes=1) == [5]
    assert len(await numbers(max_bytes=35_000)) in (2, 3)
    assert await numbers(before=1) == []
    read = await space.store.list_versions(space.namespace, "none", before=9, limit=9, max_bytes=9)
    assert read.value == []


async def test_the_log_tells_whose_entry_is_at_the_cursor(space: Namespace) -> None:
    await space.register()
    await space.register()
    first, second = (await space.log()).entries
    assert (await space.log()).cursor_request_id == ""
    assert (await space.log(after=1)).cursor_request_id == first.request_id
    assert (await space.log(after=2)).cursor_request_id == second.request_id
    assert (await space.log(after=3)).cursor_request_id == ""


async def test_an_epoch_is_renewed_once(space: Namespace) -> None:
    before = (await space.register()).revision
    renewed = await space.store.renew_epoch(space.namespace, before.epoch)
    assert (renewed.number, renewed.epoch == before.epoch) == (before.number, False)
    assert await space.store.renew_epoch(space.namespace, before.epoch) == renewed, "it is not this one any more"
    read = await space.store.read_prompts(space.namespace, ["greeting"])
    assert (read.revision, read.value[0] and read.value[0].latest_version) == (renewed, 1)
    assert (await space.register()).revision.epoch == renewed.epoch


async def test_every_namespace_s_writes_are_notified_of(space: Namespace) -> None:
    notified: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    stop = space.store.on_notify(lambda *notification: notified.put_nowait(notification))
    async with asyncio.timeout(5):
        if not isinstance(space.store, MemoryStore):
            assert await notified.get() == ("", 0), "once for having subscribed"
        for namespace in (space.namespace, f"{space.namespace}-other"):
            await space.store.write(namespace, Write(operations=(registration(),), request_id="r", actor="t"))
            found = await notified.get()
            while found[0] not in (namespace, ""):  # other tests' stores may be on the same server
                found = await notified.get()
            assert found == (namespace, 1)
    stop()


async def test_what_is_published_on_a_topic_reaches_its_receivers(space: Namespace) -> None:
    received: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    connected = asyncio.Event()
    stops = [
        space.store.on_notify(lambda namespace, number: connected.set()),
        space.store.on_message("test", lambda *message: received.put_nowait(message)),
    ]
    async with asyncio.timeout(5):
        if not isinstance(space.store, MemoryStore):
            await connected.wait()
        await space.store.publish(space.namespace, "other", "not for us")
        assert await space.store.publish(space.namespace, "test", "grüß dich wohl") == 1
        assert await received.get() == (space.namespace, "grüß dich wohl")
    for stop in stops:
        stop()


async def test_heads_tell_revision_and_newest_write_of_many_namespaces(space: Namespace) -> None:
    written = await space.register()
    await space.alias("a", 1)
    others = [f"{space.namespace}-{number}" for number in range(5)]
    heads = await space.store.read_heads([*others[:2], space.namespace, *others[2:]])
    found = heads.pop(2)
    assert isinstance(found, LogHead)
    assert (found.revision, found.revision.epoch) == ((await space.log()).head, written.revision.epoch)
    assert found.request_id == (await space.log()).entries[-1].request_id
    for name, head in zip(others, heads, strict=True):
        assert isinstance(head, LogHead)
        assert (head.revision.number, head.request_id) == (0, "")
        assert space.store.partition(name) == space.store.partition(name)


async def test_a_read_tells_the_revision_it_is_of(space: Namespace) -> None:
    written = await space.register()
    read = await space.store.read_prompts(space.namespace, ["greeting", "nope"])
    assert read.revision == written.revision
    assert [prompt and prompt.name for prompt in read.value] == ["greeting", None]


async def test_an_emptied_store_begins_another_history(space: Namespace) -> None:
    before = (await space.register()).revision
    if isinstance(space.store, MemoryStore):
        space.store.forget(space.namespace)
    elif isinstance(space.store, RedisStore):
        for primary in await space.store._connections.primaries():
            if keys := await primary.keys(f"pw:{{{space.namespace}}}:*"):
                await primary.delete(*keys)
    empty = (await space.log()).head
    assert (empty.number, empty.epoch == before.epoch) == (0, False)
    after = (await space.register()).revision
    assert after.number == before.number
    assert after.epoch != before.epoch
    assert (await space.register()).revision.epoch == after.epoch


async def test_a_content_is_read_back_whole_by_whatever_reads_versions(space: Namespace) -> None:
    """All fields, whichever kind of prompt they are of."""
    await space.write(registration("tone", "Be kind."))
    pin = Include("tone", 1, Content("Be kind.").digest)
    messages = '[{"role": "user", "content": "Be kind. {{é}}"}]'
    contents = [
        Content("Be kind. {{x}}", "{}", '{"a": 1}', syntax="jinja2", source="{{> tone }} {{x}}", includes=(pin,)),
        Content(messages_json=messages, source=messages.replace("Be kind.", "{{> tone }}"), includes=(pin, pin)),
    ]
    for content in contents:
        register = Register(name="greeting", content=content, digest=content.digest, commit_message="", tags={})
        await space.write(register)
    keys = [("greeting", 1), ("greeting", 2)]
    read = (await space.store.read_versions(space.namespace, keys)).value
    assert [one and one.content for one in read] == contents
    listed = await space.store.list_versions(space.namespace, "greeting", before=9, limit=9, max_bytes=1 << 20)
    assert [one.content for one in reversed(listed.value)] == contents
    rows = (await space.store.read_rows(space.namespace, keys, max_bytes=1 << 20)).value
    assert [row and row.version.content for row in rows] == contents
    dependents = await space.store.read_dependents(space.namespace, "tone", version=1, after="", limit=9)
    assert [(one.by_name, one.by_version) for one in dependents.value.found] == keys
    found = await space.store.find_versions(
        space.namespace, plan(EVERYTHING, VERSIONS), after="", limit=9, content="text"
    )
    assert {row.version.content.template for _, row in found.value.rows} == {
        "Be kind.", "Be kind. {{x}}", messages
    }  # fmt: skip
