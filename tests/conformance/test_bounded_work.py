"""No script of the store does more work because there is more data: counted in the commands that each script calls."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from promptwire.domain import limits
from promptwire.domain.content import Include
from promptwire_service.commands.purge import purge, purge_all
from promptwire_service.domain.changes import PromptPurged
from promptwire_service.domain.operations import (
    DeletePrompt,
    DeleteVersion,
    Operation,
    Purge,
    SetAlias,
    SetTags,
    UndeletePrompt,
    UndeleteVersion,
    Write,
)
from promptwire_service.domain.records import Read
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.redis import store as redis_store
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.encoding import Looked
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.store import RedisStore, meta_key
from promptwire_service.storage.redis.target import StoreTarget
from tests.conformance.test_kept import NEVER_MS, Space
from tests.conformance.test_store import refused, registration
from tests.support import topologies
from tests.support.topologies import Node, Topology, wait_until

LARGE = 300
SMALL = 30


class CountingStore(RedisStore):
    """Counts the commands that each script calls. `before_script` may get in between."""

    def __init__(self, node: Node) -> None:
        super().__init__(connect(StoreTarget.parse(node.url)), StoreInfo(node.url, "valkey", "none"))
        self._node = node
        self.commands: list[int] = []
        self.before_script: Callable[[Script], Any] | None = None

    async def _run(self, script: Script, namespace: str, *arguments: str | int, writes: bool = False) -> Any:
        if self.before_script is not None:
            await self.before_script(script)
        before = self._calls()
        answer = await super()._run(script, namespace, *arguments, writes=writes)
        self.commands.append(self._calls() - before)
        return answer

    def _calls(self) -> int:
        with self._node.client() as client:
            stats = client.info("commandstats")
        # Without those that begin a connection or run a script.
        others = ("cmdstat_info", "cmdstat_eval", "cmdstat_client", "cmdstat_select", "cmdstat_hello")
        return sum(one["calls"] for name, one in stats.items() if not name.startswith(others))

    async def counted(self, call: Any) -> list[int]:
        """The commands of each script that a call runs."""
        self.commands.clear()
        await call
        return list(self.commands)


@pytest.fixture
async def counting(start_topology: Callable[[str], Topology]) -> Any:
    store = CountingStore(start_topology("valkey").nodes[0])
    yield store
    await store.close()


async def grown(store: Store, versions: int) -> Space:
    """A namespace with a prompt of so many versions, each with tags, and as many that include one of another prompt."""
    space = Space(store, f"ns-{uuid.uuid4().hex[:12]}")
    await space.register("header")
    header = await space.version(1, "header")
    assert header is not None
    include = Include("header", 1, header.digest)
    await in_parts(space, [registration(tags={"n": str(number)}) for number in range(versions)])
    await in_parts(space, [registration("letter", includes=(include,)) for _ in range(versions)])
    await space.move("production", 1)
    return space


async def in_parts(space: Space, operations: list[Any]) -> None:
    for first in range(0, len(operations), 200):
        await space.all(*operations[first : first + 200])


async def work(space: Space, operation: Operation) -> list[int]:
    store = space.store
    assert isinstance(store, CountingStore)
    return await store.counted(space.write(operation))


async def test_deleting_and_undeleting_cost_the_same_whatever_there_is(counting: CountingStore) -> None:
    found = []
    for versions in (SMALL, LARGE):
        space = await grown(counting, versions)
        deletion, undeletion = DeletePrompt(name="greeting"), UndeletePrompt(name="greeting")
        found.append((await work(space, deletion), await work(space, undeletion)))
    assert found[0] == found[1]


async def test_purging_takes_more_scripts_and_no_longer_ones(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_SWEPT_AT_ONCE", 20)
    found = []
    for versions in (SMALL, LARGE):
        space = await grown(counting, versions)
        await space.write(DeletePrompt(name="letter"))
        await space.write(DeletePrompt(name="greeting"))
        found.append(await work(space, Purge(before_ms=NEVER_MS, limit=20)))
    assert max(found[0]) == max(found[1])
    assert len(found[1]) > 5 * len(found[0])


async def test_looking_for_dependents_takes_more_scripts_and_no_longer_ones(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "DEPENDENTS_AT_ONCE", 10)
    found = []
    for versions in (SMALL, LARGE):
        space = await grown(counting, versions)
        await refused(space.write(DeletePrompt(name="header")), "INCLUDED")
        assert len(await space.dependents("header", 1, limit=7)) == versions
        await space.write(DeletePrompt(name="letter"))
        assert await space.dependents("header", 1, limit=7) == []
        found.append(await work(space, DeletePrompt(name="header")))
    assert max(found[0]) == max(found[1])


async def test_a_registration_and_a_list_cost_the_same_behind_many_tombstones(counting: CountingStore) -> None:
    found = []
    for versions in (SMALL, LARGE):
        space = await grown(counting, versions)
        for version in range(2, versions):
            await space.write(DeleteVersion(name="greeting", version=version))
        costs = await work(space, SetAlias(name="greeting", alias="newest", target=None))
        costs += await work(space, UndeleteVersion(name="greeting", version=5))
        costs += await work(space, registration())
        found.append(costs)
        page = counting.list_versions(space.namespace, "greeting", before=NEVER_MS, limit=9, max_bytes=1 << 20)
        # A hundred tombstones are one command.
        assert await counting.counted(page) < [9 * 2 + 2 + versions // 100 + 3]
    assert found[0] == found[1]


async def test_the_steps_of_a_release_cost_the_same_however_many_there_are(counting: CountingStore) -> None:
    space = await grown(counting, 1)

    async def per_step(count: int, aliases: str) -> float:
        moves = [SetAlias(name="greeting", alias=f"{aliases}-{number}", target=1) for number in range(count)]
        (commands,) = await counting.counted(space.all(*moves))
        return commands / count

    assert await per_step(300, "b") <= await per_step(30, "a") < 8


async def test_a_killed_store_goes_on_with_the_purge_that_it_was_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "_SWEPT_AT_ONCE", 10)
    with topologies.standalone(*topologies.FSYNC) as topology:
        (node,) = topology.nodes
        store = CountingStore(node)
        space = await grown(store, SMALL)
        await space.write(DeletePrompt(name="greeting"))
        sweeps = 0

        async def kill(script: Script) -> None:
            nonlocal sweeps
            sweeps += script is redis_store._SWEEP
            if sweeps == 3:
                node.kill()

        store.before_script = kill
        with pytest.raises(Exception, match=r".+"):
            await space.write(Purge(before_ms=NEVER_MS, limit=20))
        node.start()
        wait_until(node.answers, "the store answers again")
        store.before_script = None
        assert bool((await space.there()).deleted_ms)
        await refused(space.write(registration()), "PROMPT_DELETED")
        await refused(space.write(SetAlias(name="greeting", alias="a", target=1)), "PROMPT_DELETED")
        await refused(space.write(UndeletePrompt(name="greeting")), "PROMPT_NOT_FOUND")
        page = await store.list_versions(space.namespace, "greeting", before=NEVER_MS, limit=9, max_bytes=1 << 20)
        assert page.value == []
        assert await purge(store, space.namespace, retention_seconds=-3_600.0) == 1
        assert (await space.prompt(), await space.version(SMALL)) == (None, None)
        assert (await space.register()).results[0].version == SMALL + 1
        with node.client() as client:
            keys = set(client.scan_iter(f"{meta_key(space.namespace)[:-4]}v:greeting:*"))
        assert len(keys) == 1
        await store.close()


async def test_writes_in_the_middle_of_a_purge_find_a_deleted_prompt(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_SWEPT_AT_ONCE", 10)
    space = await grown(counting, SMALL)
    other = Space(RedisStore(connect(StoreTarget.parse(counting._node.url)), counting._info), space.namespace)
    await space.write(DeletePrompt(name="greeting"))
    refusals = []

    async def write(script: Script) -> None:
        if script is redis_store._SWEEP and counting.commands:
            refusals.append(await refused(other.write(registration()), "PROMPT_DELETED"))
            refusals.append(await refused(other.write(UndeletePrompt(name="greeting")), "PROMPT_NOT_FOUND"))
            refusals.append(await refused(other.write(UndeleteVersion(name="greeting", version=3)), "PROMPT_DELETED"))

    before = (await space.log()).head.number
    counting.commands.clear()
    counting.before_script = write
    assert (await space.write(Purge(before_ms=NEVER_MS, limit=20))).results[0].purged == 1
    assert len(refusals) >= 9
    (entry,) = (await space.log(after=before)).entries
    assert entry.changes[-1] == PromptPurged("greeting")
    assert (await other.register()).results[0].version == SMALL + 1
    await other.store.close()


async def test_what_was_undeleted_before_its_turn_is_not_purged(counting: CountingStore) -> None:
    space = await grown(counting, 3)
    await space.write(DeletePrompt(name="greeting"))
    await space.write(UndeletePrompt(name="greeting"))
    assert (await space.write(Purge(before_ms=NEVER_MS, limit=20))).results[0].purged == 0
    assert (await space.version(3)) is not None


async def test_an_include_between_the_look_and_the_deletion_refuses_it(
    counting: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = await grown(counting, 2)
    await space.write(DeletePrompt(name="letter"))
    header = await space.version(1, "header")
    assert header is not None
    include = Include("header", 1, header.digest)
    look = RedisStore._look_for_dependents
    meanwhile: list[Operation] = []

    async def look_and_be_overtaken(self: RedisStore, namespace: str, operation: Any) -> Looked:
        looked = await look(self, namespace, operation)
        if meanwhile:
            await space.write(meanwhile.pop())
        return looked

    monkeypatch.setattr(RedisStore, "_look_for_dependents", look_and_be_overtaken)
    meanwhile.append(registration("card", includes=(include,)))
    error = await refused(space.write(DeleteVersion(name="header", version=1)), "INCLUDED")
    assert "card/1" in error.message
    await space.write(DeletePrompt(name="card"))
    meanwhile.append(UndeletePrompt(name="letter"))
    error = await refused(space.write(DeletePrompt(name="header")), "INCLUDED")
    assert "letter/1" in error.message
    # What was found to include it is gone by then: the deletion looks again, and goes through.
    meanwhile.append(DeletePrompt(name="letter"))
    await space.write(DeletePrompt(name="header"))
    assert bool((await space.there("header")).deleted_ms)


async def test_more_deleted_versions_than_a_prompt_may_have_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELETED_VERSIONS_MAX", 2)
    space = Space(store, f"ns-{uuid.uuid4().hex[:12]}")
    for _ in range(4):
        await space.register()
    await space.write(DeleteVersion(name="greeting", version=1))
    await space.write(DeleteVersion(name="greeting", version=4))
    error = await refused(space.write(DeleteVersion(name="greeting", version=2)), "INVALID_ARGUMENT")
    assert "limit of 2" in error.message
    assert (await space.there()).latest_version == 3
    await space.write(UndeleteVersion(name="greeting", version=4))
    await space.write(DeleteVersion(name="greeting", version=2))


async def test_large_rows_come_in_parts_and_none_is_lost(store: Store) -> None:
    space = Space(store, f"ns-{uuid.uuid4().hex[:12]}")
    names = [f"p{number:02}" for number in range(30)]
    for name in names:
        tags = {str(number): "x" * 100_000 for number in range(2)}
        await space.all(registration(name), SetTags(name=name, version=None, tags=tags))
    found: list[str] = []
    cut = True
    while cut:
        after = found[-1] if found else ""
        read: Read[Any] = await store.list_prompts(space.namespace, after=after, prefix="", limit=99)
        cut = read.cut
        found += [one.name for one in read.value]
    assert found == names
    read = await store.read_prompts(space.namespace, names)
    assert [one.name for one in read.value] == names[: len(read.value)]
    entries: list[int] = []
    cut = True
    while cut:
        audit = await store.read_audit(space.namespace, after=entries[-1] if entries else 0, limit=7)
        cut = audit.cut or len(audit.value) == 7
        entries += [one.entry.number for one in audit.value]
    assert entries == list(range(1, 31))


async def test_what_is_deleted_in_namespaces_that_nobody_uses_is_purged_too(store: Store) -> None:
    spaces = [Space(store, f"ns-{uuid.uuid4().hex[:12]}") for _ in range(4)]
    for space in spaces:
        await space.register()
        await space.register()
    await spaces[0].write(DeletePrompt(name="greeting"))
    await spaces[1].write(DeleteVersion(name="greeting", version=1))
    await spaces[2].write(DeletePrompt(name="greeting"))
    await spaces[2].write(UndeletePrompt(name="greeting"))
    found = {namespace async for namespace in store.namespaces_with_deletions()}
    assert found & {space.namespace for space in spaces} == {space.namespace for space in spaces[:2]}
    assert await purge_all(store, retention_seconds=-3_600.0) >= 2
    assert [one async for one in store.namespaces_with_deletions()] == []
    assert await spaces[0].prompt() is None
    assert (await spaces[1].version(1), bool(await spaces[1].version(2))) == (None, True)
    assert bool(await spaces[2].version(1))


async def test_a_write_without_operations_asks_for_the_answer_of_its_request_id(store: Store) -> None:
    space = Space(store, f"ns-{uuid.uuid4().hex[:12]}")
    assert (await space.all(asked="this", dry_run=True)).results == ()
    first = await space.write(registration(), request_id="once", asked="this")
    again = Write(operations=(), request_id="once", actor="ana", asked="this", dry_run=True)
    assert (await store.write(space.namespace, again)).results == first.results


async def test_a_write_of_several_operations_deletes_nothing(store: Store) -> None:
    with pytest.raises(ValueError, match="alone"):
        Write(operations=(registration(), DeletePrompt(name="greeting")), request_id="x", actor="ana")
