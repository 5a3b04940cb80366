"""What every store must do with writes of several operations, roll-backs, releases and deletions."""

import asyncio
import uuid
from typing import Any

import pytest

from promptwire.domain.content import Include
from promptwire.domain.splits import Split
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    PromptDeleted,
    PromptPurged,
    PromptUndeleted,
    VersionDeleted,
    VersionPurged,
    VersionRegistered,
    VersionUndeleted,
    apply,
)
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteVersion,
    Operation,
    Purge,
    RollbackAlias,
    SetAlias,
    SetTags,
    UndeletePrompt,
    UndeleteVersion,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord
from promptwire_service.storage.base import Store
from tests.conformance.test_store import Namespace, refused, registration

NEVER_MS = 10**15
HALVES = Split("salt", ((5_000, 1), (10_000, 2)))


class Space(Namespace):
    async def all(self, *operations: Operation, **options: Any) -> Written:
        write = Write(operations=operations, request_id=uuid.uuid4().hex, actor="ana@laptop", **options)
        return await self.store.write(self.namespace, write)

    async def move(self, alias: str, version: int) -> None:
        await self.write(SetAlias(name="greeting", alias=alias, target=version))

    async def rollback(self, alias: str = "production", **options: Any) -> int:
        written = await self.write(RollbackAlias(name="greeting", alias=alias, **options))
        assert isinstance(written.results[0].target, int)
        return written.results[0].target

    async def dependents(self, name: str, version: int | None = None, limit: int = 99) -> list[tuple[int, str, int]]:
        found: list[tuple[int, str, int]] = []
        after: str | None = None
        while after != "":
            read = await self.store.read_dependents(
                self.namespace, name, version=version, after=after or "", limit=limit
            )
            found += [(one.version, one.by_name, one.by_version) for one in read.value.found]
            after = read.value.next_position
        return found

    async def there(self, name: str = "greeting") -> PromptRecord:
        prompt = await self.prompt(name)
        assert prompt is not None
        return prompt


@pytest.fixture
async def space(store: Store) -> Space:
    """With three versions of `greeting` and two of `billing`."""
    space = Space(store, f"ns-{uuid.uuid4().hex[:12]}")
    for name in ("greeting", "billing", "greeting", "billing", "greeting"):
        await space.register(name)
    return space


async def test_a_write_of_many_operations_is_one_revision(space: Space) -> None:
    written = await space.all(
        registration("new"),
        SetAlias(name="new", alias="production", target=None),
        SetAlias(name="greeting", alias="production", target=3),
        SetTags(name="greeting", version=None, tags={"a": "b"}),
    )
    assert written.revision.number == 6
    assert [(one.version, one.target, one.previous) for one in written.results] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 3, 0),
        (0, 0, 0),
    ]
    new, greeting = await space.there("new"), await space.there()
    assert (new.aliases, greeting.aliases, greeting.tags) == ({"production": 1}, {"production": 3}, {"a": "b"})
    assert (new.etag, greeting.etag) == (6, 6)
    (entry,) = (await space.log(after=5)).entries
    assert entry.changes[:3] == (
        VersionRegistered("new", 1),
        AliasSet("new", "production", 1, 0),
        AliasSet("greeting", "production", 3, 0),
    )


async def test_one_refusal_refuses_all_operations(space: Space) -> None:
    await refused(
        space.all(
            registration("new"),
            SetAlias(name="greeting", alias="production", target=3),
            SetAlias(name="billing", alias="production", target=3),
        ),
        "VERSION_NOT_FOUND",
    )
    assert await space.prompt("new") is None
    assert (await space.there()).aliases == {}
    assert (await space.log()).head.number == 5


async def test_an_operation_sees_what_those_before_it_did(space: Space) -> None:
    await space.all(
        SetAlias(name="greeting", alias="production", target=1),
        SetAlias(name="greeting", alias="production", target=2, expected=1),
        DeleteAlias(name="greeting", alias="production", expected=2),
        SetAlias(name="greeting", alias="staging", target=3),
    )
    assert (await space.there()).aliases == {"staging": 3}


async def test_a_dry_run_tells_all_and_writes_nothing(space: Space) -> None:
    written = await space.all(
        SetAlias(name="greeting", alias="production", target=3),
        SetAlias(name="billing", alias="production", target=3),
        dry_run=True,
    )
    assert written.results[0].target == 3
    problem = written.results[1].problem
    assert problem is not None
    assert problem.reason == "VERSION_NOT_FOUND"
    assert (written.revision.number, (await space.there()).aliases) == (5, {})


async def test_only_one_of_two_releases_that_expect_the_same_happens(space: Space) -> None:
    await space.all(
        SetAlias(name="greeting", alias="a", target=1),
        SetAlias(name="billing", alias="a", target=1),
    )

    async def release(version: int) -> Written:
        return await space.all(
            SetAlias(name="greeting", alias="a", target=version, expected=1),
            SetAlias(name="billing", alias="a", target=2, expected=1),
            release=f"to {version}",
        )

    outcomes = await asyncio.gather(*(release(2 + index % 2) for index in range(8)), return_exceptions=True)
    assert sum(isinstance(outcome, Written) for outcome in outcomes) == 1
    assert len((await space.store.read_releases(space.namespace, before=NEVER_MS, limit=9)).value) == 1


async def test_a_registration_may_expect_the_newest_version(space: Space) -> None:
    await refused(space.write(registration("greeting", expected_latest=2)), "LATEST_CONFLICT")
    await refused(space.write(registration("other", expected_latest=2)), "LATEST_CONFLICT")
    assert (await space.write(registration("greeting", expected_latest=3))).results[0].version == 4
    assert (await space.write(registration("other", expected_latest=0))).results[0].version == 1


async def test_an_alias_may_be_split(space: Space) -> None:
    await space.move("production", 1)
    await space.write(SetAlias(name="greeting", alias="production", target=HALVES, expected=1))
    greeting = await space.there()
    assert (greeting.aliases, greeting.splits) == ({}, {"production": HALVES})
    assert (greeting.versions_of("production"), greeting.aliases_of(2)) == ((1, 2), ["production"])
    await refused(space.write(SetAlias(name="greeting", alias="production", target=1, expected=1)), "ALIAS_CONFLICT")
    written = await space.write(SetAlias(name="greeting", alias="production", target=3, expected=HALVES))
    assert written.results[0].previous == HALVES
    assert (await space.there()).splits == {}
    missing = Split("salt", ((5_000, 1), (10_000, 9)))
    await refused(space.write(SetAlias(name="greeting", alias="b", target=missing)), "VERSION_NOT_FOUND")


async def test_roll_backs_go_further_back_each_time(space: Space) -> None:
    for version in (1, 2, 3):
        await space.move("production", version)
    assert [await space.rollback(), await space.rollback()] == [2, 1]
    await refused(space.rollback(), "NOTHING_TO_ROLL_BACK")
    await space.move("production", 3)
    assert await space.rollback() == 1
    assert (await space.there()).aliases == {"production": 1}


async def test_a_roll_back_brings_a_deleted_alias_back(space: Space) -> None:
    await space.move("production", 2)
    await space.write(DeleteAlias(name="greeting", alias="production"))
    assert await space.rollback() == 2
    await space.write(SetAlias(name="greeting", alias="production", target=HALVES))
    assert await space.rollback() == 2


async def test_a_roll_back_is_repeated_as_one(space: Space) -> None:
    for version in (1, 2, 3):
        await space.move("production", version)
    operation = RollbackAlias(name="greeting", alias="production", expected=3)
    first = await space.write(operation, request_id="once")
    assert await space.write(operation, request_id="once") == first
    assert (await space.there()).aliases == {"production": 2}
    await refused(space.write(operation), "ALIAS_CONFLICT")


async def test_a_roll_back_to_a_time(space: Space) -> None:
    await space.move("production", 1)
    await space.move("production", 2)
    read = await space.store.read_history(
        space.namespace, "greeting", "production", before=NEVER_MS, at_ms=None, limit=9
    )
    newest, oldest = read.value
    assert (newest.target, newest.previous, oldest.target, oldest.previous) == (2, 1, 1, 0)
    await refused(space.rollback(at_ms=oldest.time_ms - 1), "NOTHING_TO_ROLL_BACK")
    at_newest = await space.rollback(at_ms=newest.time_ms)
    assert (at_newest, (await space.log()).head.number) == (2, 7)


async def test_a_roll_back_to_a_deleted_version_is_refused(space: Space) -> None:
    await space.move("production", 1)
    await space.move("production", 2)
    await space.write(DeleteVersion(name="greeting", version=1))
    await refused(space.rollback(), "VERSION_DELETED")


async def test_history_is_told_newest_first_and_in_parts(space: Space) -> None:
    for version in (1, 2, 3, 1):
        await space.move("production", version)

    async def part(before: int) -> list[int]:
        read = await space.store.read_history(
            space.namespace, "greeting", "production", before=before, at_ms=None, limit=3
        )
        return [one.number for one in read.value]

    assert (await part(NEVER_MS), await part(7)) == ([9, 8, 7], [6])


async def test_a_deleted_version_is_hidden_and_comes_back(space: Space) -> None:
    await space.write(DeleteVersion(name="greeting", version=3))
    greeting = await space.there()
    assert (greeting.latest_version, greeting.last_version, greeting.version_of(3)) == (2, 3, None)
    page = await space.store.list_versions(space.namespace, "greeting", before=NEVER_MS, limit=9, max_bytes=1 << 20)
    assert [one.version for one in page.value] == [2, 1]
    await refused(space.write(DeleteVersion(name="greeting", version=3)), "VERSION_DELETED")
    await refused(space.write(SetAlias(name="greeting", alias="a", target=3)), "VERSION_DELETED")
    await refused(space.write(SetTags(name="greeting", version=3, tags={"a": "b"})), "VERSION_DELETED")
    assert (await space.register()).results[0].version == 4
    await space.write(UndeleteVersion(name="greeting", version=3))
    await refused(space.write(UndeleteVersion(name="greeting", version=3)), "NOT_DELETED")
    assert (await space.there()).deleted_versions == {}
    changes = [entry.changes[0] for entry in (await space.log(after=5)).entries]
    assert (changes[0], changes[2]) == (VersionDeleted("greeting", 3), VersionUndeleted("greeting", 3))


async def test_aliases_of_a_deleted_version_refuse_it_or_go_with_it(space: Space) -> None:
    await space.move("a", 1)
    await space.write(SetAlias(name="greeting", alias="b", target=HALVES))
    error = await refused(space.write(DeleteVersion(name="greeting", version=1)), "VERSION_ALIASED")
    assert "a, b" in error.message
    await space.write(DeleteVersion(name="greeting", version=1, drop_aliases=True))
    greeting = await space.there()
    assert (greeting.aliases, greeting.splits) == ({}, {})
    (entry,) = (await space.log(after=7)).entries
    assert entry.changes == (
        AliasDeleted("greeting", "a", 1),
        AliasDeleted("greeting", "b", HALVES),
        VersionDeleted("greeting", 1),
    )


async def test_a_prompt_without_a_version_has_no_newest(space: Space) -> None:
    for version in (1, 2):
        await space.write(DeleteVersion(name="billing", version=version))
    billing = await space.there("billing")
    assert (billing.latest_version, billing.version_of("latest")) == (0, None)
    await refused(space.write(SetAlias(name="billing", alias="a", target=None)), "VERSION_DELETED")


async def test_a_deleted_prompt_takes_no_writes_and_comes_back_as_it_was(space: Space) -> None:
    await space.move("production", 2)
    before = await space.there()
    await space.write(DeletePrompt(name="greeting"))
    deleted = await space.there()
    assert (bool(deleted.deleted_ms), deleted.version_of("production")) == (True, None)
    listed = await space.store.list_prompts(space.namespace, after="", prefix="", limit=9)
    assert [prompt.name for prompt in listed.value] == ["billing"]
    for operation in (
        registration(),
        SetAlias(name="greeting", alias="a", target=1),
        DeleteVersion(name="greeting", version=1),
        DeletePrompt(name="greeting"),
    ):
        await refused(space.write(operation), "PROMPT_DELETED")
    await space.write(UndeletePrompt(name="greeting"))
    after = await space.there()
    assert (after.aliases, after.last_version, after.deleted_ms) == (before.aliases, 3, 0)
    await refused(space.write(UndeletePrompt(name="greeting")), "NOT_DELETED")
    changes = [entry.changes for entry in (await space.log(after=6)).entries]
    assert changes == [(PromptDeleted("greeting"),), (PromptUndeleted("greeting"),)]


async def test_what_was_deleted_long_ago_is_purged(space: Space) -> None:
    await space.move("production", 2)
    await space.write(DeleteVersion(name="billing", version=1))
    await space.write(DeletePrompt(name="greeting"))
    await space.write(DeleteVersion(name="billing", version=2))

    async def waiting() -> list[tuple[str, int]]:
        read = await space.store.list_deleted(space.namespace, skip=0, limit=9)
        return [(one.name, one.version) for one in read.value]

    assert sorted(await waiting()) == [("billing", 1), ("billing", 2), ("greeting", 0)]
    head = (await space.log()).head.number
    assert (await space.write(Purge(before_ms=1, limit=9))).results[0].purged == 0
    assert (await space.log()).head.number == head
    assert (await space.write(Purge(before_ms=NEVER_MS, limit=9))).results[0].purged == 3
    assert await waiting() == []
    assert (await space.prompt(), await space.version(1), await space.version(1, "billing")) == (None, None, None)
    (entry,) = (await space.log(after=head)).entries
    assert {PromptPurged("greeting"), VersionPurged("billing", 1)} <= set(entry.changes)
    await refused(space.write(UndeletePrompt(name="greeting")), "PROMPT_NOT_FOUND")
    await refused(space.write(UndeleteVersion(name="billing", version=1)), "VERSION_NOT_FOUND")
    # Numbers are never used again.
    assert (await space.register()).results[0].version == 4
    assert (await space.register("billing")).results[0].version == 3


async def test_a_prompt_has_none_of_the_versions_of_a_purged_one_of_its_name(space: Space) -> None:
    await space.write(DeletePrompt(name="greeting"))
    await space.write(Purge(before_ms=NEVER_MS, limit=9))
    await space.register()
    greeting = await space.there()
    assert (greeting.last_version, greeting.before_version, greeting.version_of(3)) == (4, 3, None)
    await space.write(DeleteVersion(name="greeting", version=4))
    greeting = await space.there()
    assert (greeting.latest_version, greeting.version_of("latest")) == (0, None)
    await refused(space.write(SetAlias(name="greeting", alias="a", target=None)), "VERSION_DELETED")
    await space.register()
    assert (await space.there()).latest_version == 5


async def test_what_others_include_is_not_deleted(space: Space) -> None:
    of = await space.version(1)
    assert of is not None
    include = Include("greeting", 1, of.digest)
    await space.write(registration("letter", includes=(include,)))
    error = await refused(space.write(DeleteVersion(name="greeting", version=1)), "INCLUDED")
    assert "letter/1" in error.message
    await refused(space.write(DeletePrompt(name="greeting")), "INCLUDED")
    assert (await space.dependents("greeting"), await space.dependents("greeting", 2)) == ([(1, "letter", 1)], [])
    await space.write(DeletePrompt(name="letter"))
    await space.write(DeleteVersion(name="greeting", version=1))
    await refused(space.write(registration("other", includes=(include,))), "VERSION_DELETED")
    wrong = Include("greeting", 2, "sha256:other")
    await refused(space.write(registration("other", includes=(wrong,))), "VERSION_NOT_FOUND")
    missing = Include("nobody", 1, of.digest)
    await refused(space.write(registration("other", includes=(missing,))), "VERSION_NOT_FOUND")
    assert await space.prompt("other") is None


async def test_every_write_is_kept_whatever_the_log_forgets(space: Space) -> None:
    await space.all(SetAlias(name="greeting", alias="a", target=1), release="Friday", reason="ticket 7")
    await space.write(SetTags(name="greeting", version=None, tags={"long": "x" * 300, "short": "y"}))
    audit = (await space.store.read_audit(space.namespace, after=0, limit=99)).value
    assert [one.entry.number for one in audit] == list(range(1, 8))
    assert (audit[5].release, audit[5].entry.reason, audit[4].release) == ("Friday", "ticket 7", None)
    assert audit[6].entry.changes[0].tags == {"long": "<300 bytes>", "short": "y"}  # type: ignore[union-attr]
    rest = (await space.store.read_audit(space.namespace, after=5, limit=1)).value
    assert [one.entry.number for one in rest] == [6]


async def test_a_release_is_undone_once(space: Space) -> None:
    released = await space.all(SetAlias(name="greeting", alias="a", target=1), release="Friday")
    number = released.revision.number
    undo = DeleteAlias(name="greeting", alias="a", expected=1)
    await refused(space.all(undo, release="Undo", undoes=number - 1), "RELEASE_NOT_FOUND")
    undone = await space.all(undo, release="Undo", undoes=number)
    await refused(space.all(undo, release="Undo", undoes=number), "RELEASE_UNDONE")
    releases = (await space.store.read_releases(space.namespace, before=NEVER_MS, limit=9)).value
    assert [(one.release, one.undoes, one.undone_by) for one in releases] == [
        ("Undo", number, 0),
        ("Friday", 0, undone.revision.number),
    ]


async def test_the_log_leads_to_what_the_store_holds(space: Space) -> None:
    await space.move("a", 1)
    await space.write(SetAlias(name="greeting", alias="b", target=HALVES))
    await space.write(DeleteVersion(name="greeting", version=1, drop_aliases=True))
    await space.write(DeletePrompt(name="billing"))
    folded: dict[str, PromptRecord | None] = {}
    for entry in (await space.log()).entries:
        for change in entry.changes:
            folded[change.name] = apply(folded.get(change.name), entry, change)
    assert folded == {name: await space.prompt(name) for name in ("greeting", "billing")}
