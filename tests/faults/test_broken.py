"""The protocol broken on purpose, one rule at a time: a checker catches each, and none complains of the real one.

Every scene forces the order that matters, so that it goes the same way each time.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from promptwire._core.followed import Body, Followed, PushedState, Record
from promptwire._core.live import LiveTable
from promptwire_service.domain.changes import LogHead, PromptDeleted
from promptwire_service.domain.records import Revision
from promptwire_service.storage import memory as memory_module
from promptwire_service.storage.cached import CachedStore
from promptwire_service.storage.fenced import FencedCache
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch import hub as hub_module
from promptwire_service.watch import tail as tail_module
from promptwire_service.watch import tailer as tailer_module
from promptwire_service.watch.tail import Tail
from promptwire_service.watch.tailer import LogTailer
from tests.faults.checkers import violations
from tests.faults.raw import Raw
from tests.faults.stage import Stage, in_thread
from tests.faults.streams import Watcher
from tests.faults.workload import Agent
from tests.support.proxy import Proxy

NAME, ALIAS = "greeting", "production"
Patch = pytest.MonkeyPatch
Scene = Callable[[Stage, Raw, str], None]
LEASE = {"lease_seconds": 0.5, "renew_seconds": 0.1}


# What is broken.


def skip_the_fence(patch: Patch) -> None:
    """A fill is installed whatever was changed since it began to read."""
    patch.setattr(FencedCache, "_current", staticmethod(lambda flight, read: True))


def take_the_notification_for_the_log(patch: Patch) -> None:
    """The number in the notification is the new head: nothing is read."""

    def notify(self: LogTailer, namespace: str, number: int) -> None:
        tail = self._tails.get(namespace)
        if tail and number > tail.head.number and tail.head.epoch:
            tail._move(Revision(tail.head.epoch, number), "")
            tail.synced_at = tail._clock()

    patch.setattr(LogTailer, "_notify", notify)


def wait_for_the_notification(patch: Patch) -> None:
    """Nobody polls the log without a notification, and notifications are lost."""
    poll = Tail.poll

    async def trusting(self: Tail, patience_seconds: float = 0.0) -> None:
        if not self.head.epoch:
            await poll(self)

    patch.setattr(Tail, "poll", trusting)
    patch.setattr(LogTailer, "_notify", lambda self, namespace, number: None)
    patch.setattr(tailer_module, "POLL_SECONDS", 3600.0)


def take_the_head_for_the_log(patch: Patch) -> None:
    """The head that a poll has found is the cursor: nothing of what lies between is read."""

    def jump(self: Tail, head: LogHead, began_at: float) -> bool:
        self._move(head.revision, head.request_id)
        self.synced_at = began_at
        return True

    patch.setattr(Tail, "reconcile", jump)
    patch.setattr(LogTailer, "_notify", lambda self, namespace, number: None)


def forget_the_epoch(patch: Patch) -> None:
    """Histories are told apart by their numbers alone."""
    why = tail_module._why_restart

    def by_number(cursor: Revision, head: Revision, floor: int, entries: Any) -> str | None:
        return why(cursor, replace(head, epoch=cursor.epoch) if cursor.epoch else head, floor, entries)

    patch.setattr(tail_module, "_why_restart", by_number)
    patch.setattr(Tail, "reconcile", lambda self, head, began_at: False)


def merge_on_resync(patch: Patch) -> None:
    """What replaces everything is laid over what was known instead."""
    start_over, learn = LiveTable._start_over, Followed.learn
    before: dict[str, tuple[Record | None, dict[int, Body]]] = {}

    def remembering(self: LiveTable, *arguments: Any) -> None:
        before.update({name: (followed.record, dict(followed.bodies)) for name, followed in self._prompts.items()})
        start_over(self, *arguments)

    def merging(self: Followed, state: PushedState, revision: Any) -> None:
        known, known_bodies = before.get(self.name, (None, {}))
        if state.record is not None and known is not None:
            record = replace(state.record, aliases={**known.aliases, **state.record.aliases})
            bodies = {**{number: body.value for number, body in known_bodies.items()}, **state.bodies}
            state = replace(state, record=record, bodies=bodies)
        learn(self, state, revision)

    patch.setattr(LiveTable, "_start_over", remembering)
    patch.setattr(Followed, "learn", merging)


def ignore_request_ids(patch: Patch) -> None:
    write = MemoryStore.write

    async def again(self: MemoryStore, namespace: str, asked: Any) -> Any:
        self._space(namespace).answers.clear()
        return await write(self, namespace, asked)

    patch.setattr(MemoryStore, "write", again)


def lose_what_was_acknowledged(patch: Patch) -> None:
    """A write is answered and then not there, as from a store that keeps nothing."""
    write = MemoryStore.write

    async def forgetful(self: MemoryStore, namespace: str, asked: Any) -> Any:
        space = self._space(namespace)
        before = space.state, list(space.log)
        written = await write(self, namespace, asked)
        if asked.request_id.endswith(".5"):
            space.state, space.log = before
        return written

    patch.setattr(MemoryStore, "write", forgetful)


def keep_the_table_past_the_lease(patch: Patch) -> None:
    patch.setattr(LiveTable, "expire", lambda self: time.monotonic() + 0.05)


def forget_own_writes(patch: Patch) -> None:
    patch.setattr(LiveTable, "wrote", lambda self, name, revision: self.observe(revision))


def share_the_cache(patch: Patch) -> None:
    """Cache keys without their namespace."""
    for method in ("prompt", "version", "peek_prompt", "peek_version"):
        real = getattr(CachedStore, method)
        patch.setattr(CachedStore, method, lambda self, namespace, *key, real=real: real(self, "red", *key))


def fold_the_first_change_only(patch: Patch) -> None:
    """Of a write with several changes of a prompt, watchers are told one."""
    after = hub_module._Watched.after

    def first(self: Any, entry: Any, name: str) -> Any:
        return after(self, replace(entry, changes=entry.changes[:1]), name)

    patch.setattr(hub_module._Watched, "after", first)


def take_an_undo_for_any_move(patch: Patch) -> None:
    """What the undo of a release leaves is not abandoned: a roll-back may go there."""
    patch.setattr(memory_module._Draft, "_abandons", lambda self, number: False)


def tell_of_no_deletion(patch: Patch) -> None:
    """A deletion changes nothing for those who watch: what they hold stays good."""
    real = hub_module.apply

    def blind(prompt: Any, entry: Any, change: Any) -> Any:
        after = real(prompt, entry, change)
        return replace(after, deleted_ms=0) if isinstance(change, PromptDeleted) else after

    patch.setattr(hub_module, "apply", blind)


# What happens.


def a_fill_is_overtaken(stage: Stage, raw: Raw, address: str) -> None:
    """It reads the old value, a write goes by, and then it comes to the cache."""
    gate = stage.gate("fill")
    with closing(Raw("slow", address, stage.history)) as slow:
        with in_thread(lambda: slow.resolve("red", NAME, ALIAS)):
            gate.wait()
            raw.set_alias("red", NAME, ALIAS, 2, raw.request_id())
            stage.lift("fill")
        raw.resolve("red", NAME, ALIAS, token=True)


def another_service_writes(stage: Stage, raw: Raw, address: str) -> None:
    """While this one has the prompt in its cache, and a watcher on it."""
    watcher = Watcher("watcher", address, "red", {NAME: [ALIAS]}, 1, stage.history)
    watcher.wait_told()
    raw.resolve("red", NAME, ALIAS)
    with closing(Raw("elsewhere", stage.serve(), stage.history)) as elsewhere:
        for version in (2, 1, 2):
            elsewhere.set_alias("red", NAME, ALIAS, version, elsewhere.request_id())
            raw.resolve("red", NAME, ALIAS, strong=True)
            raw.resolve("red", NAME, ALIAS)
    watcher.finish()


def history_is_exchanged(stage: Stage, raw: Raw, address: str) -> None:
    """For one that has as many revisions, but other ones."""
    backup = stage.backup("red")
    raw.set_alias("red", NAME, ALIAS, 2, raw.request_id())
    raw.resolve("red", NAME, ALIAS)
    stage.restore("red", backup)
    stage.do(_write_directly(stage, "red"))
    raw.resolve("red", NAME, ALIAS, strong=True)


async def _write_directly(stage: Stage, namespace: str) -> None:
    """By somebody who does not use this service; it counts as asked for."""
    from promptwire_service.domain.operations import SetAlias, Write
    from tests.faults.history import Op, now

    operation = SetAlias(name=NAME, alias="staging", target=1)
    start = now()
    written = await stage.store.write(namespace, Write(operations=(operation,), request_id="direct", actor="faults"))
    stage.history.add(
        Op(
            client="direct",
            namespace=namespace,
            kind="set_alias",
            name=NAME,
            selector="staging",
            version=1,
            target="1",
            request_id="direct",
            start=start,
            end=now(),
            epoch=written.revision.epoch,
            revision=written.revision.number,
        )
    )


def an_agent_resyncs(stage: Stage, raw: Raw, address: str) -> None:
    """Into a history that lacks an alias that the agent uses."""
    backup = stage.backup("red")
    raw.set_alias("red", NAME, "staging", 2, raw.request_id())
    with closing(Agent("agent", address, "red", 1, stage.history, **LEASE)) as agent:
        agent.load(NAME, "staging")
        agent.load(NAME, ALIAS)
        until_watched(agent)
        stage.restore("red", backup)
        # Longer than the lease: what is handed out as fresh from then on is vouched for by the new history.
        for _ in range(12):
            time.sleep(0.1)
            agent.load(NAME, "staging")


def until_watched(agent: Agent) -> None:
    """Returns once the agent's stream has told it everything."""
    deadline = time.monotonic() + 10
    while not agent.watched:
        assert time.monotonic() < deadline, "the watch does not come up"
        time.sleep(0.01)


def a_request_is_repeated(stage: Stage, raw: Raw, address: str) -> None:
    request_id = raw.request_id()
    for _ in range(2):
        raw.set_alias("red", NAME, ALIAS, 2, request_id)


def writes_are_acknowledged(stage: Stage, raw: Raw, address: str) -> None:
    for version in (2, 1, 2, 1):
        raw.set_alias("red", NAME, ALIAS, version, raw.request_id())


def an_agent_is_cut_off(stage: Stage, raw: Raw, address: str) -> None:
    """Its connection swallows everything, an alias moves, and its lease runs out."""
    proxy = Proxy("127.0.0.1", int(address.rpartition(":")[2]))
    with (
        closing(proxy),
        closing(Agent("agent", proxy.address, "red", 1, stage.history, on_stale="fail", **LEASE)) as agent,
    ):
        agent.load(NAME, ALIAS)
        until_watched(agent)
        proxy.set("blackhole")
        raw.set_alias("red", NAME, ALIAS, 2, raw.request_id())
        deadline = time.monotonic() + 2.7
        while time.monotonic() < deadline:
            time.sleep(0.1)
            agent.load(NAME, ALIAS)


def an_agent_reads_its_write(stage: Stage, raw: Raw, address: str) -> None:
    """Before it can have been told of it."""
    with closing(Agent("agent", address, "red", 1, stage.history)) as agent:
        agent.load(NAME, ALIAS)
        until_watched(agent)
        stage.gate("log")
        agent.write(NAME, ALIAS, 2)
        with in_thread(lambda: agent.load(NAME, ALIAS)) as reading:
            reading.join(0.3)
            stage.lift("log")


def two_aliases_are_released(stage: Stage, raw: Raw, address: str) -> None:
    """At once, while a watcher follows both."""
    watcher = Watcher("watcher", address, "red", {NAME: [ALIAS, "staging"]}, 1, stage.history)
    watcher.wait_told()  # else the releases may be part of its first state, which is read whole
    for version in (2, 1, 2):
        raw.release("red", NAME, (ALIAS, "staging"), version, raw.request_id())
    watcher.finish()


def a_bad_release_is_taken_back(stage: Stage, raw: Raw, address: str) -> None:
    """And then what was live before is found wanting, too."""
    raw.set_alias("red", NAME, ALIAS, 2, raw.request_id())
    raw.register("red", NAME, "red 3", raw.request_id())
    released = raw.release("red", NAME, (ALIAS,), 3, raw.request_id())
    raw.undo("red", NAME, released.revision, raw.request_id())
    raw.rollback("red", NAME, ALIAS, raw.request_id())


def a_prompt_is_deleted_and_comes_back(stage: Stage, raw: Raw, address: str) -> None:
    """With a split and a deleted version; an agent and a watcher follow it."""
    raw.set_split("red", NAME, "ab", {1: 1.0, 2: 1.0}, raw.request_id())
    watcher = Watcher("watcher", address, "red", {NAME: [ALIAS, "ab", "latest"]}, 1, stage.history)
    watcher.wait_told()
    with closing(Agent("agent", address, "red", 1, stage.history, **LEASE)) as agent:
        agent.load(NAME, ALIAS)
        until_watched(agent)
        raw.delete_prompt("red", NAME, raw.request_id())
        # Longer than the lease: what is handed out as fresh from then on is wrong.
        for _ in range(12):
            time.sleep(0.1)
            agent.load(NAME, ALIAS)
        raw.undelete_prompt("red", NAME, raw.request_id())
        raw.delete_version("red", NAME, 2, raw.request_id(), drop=True)
        raw.undelete_version("red", NAME, 2, raw.request_id())
        agent.load(NAME, "ab")
    watcher.finish()


def two_tenants_read(stage: Stage, raw: Raw, address: str) -> None:
    for namespace in ("red", "blue"):
        raw.resolve(namespace, NAME, ALIAS)


BROKEN: list[tuple[Callable[[Patch], None], Scene, set[str]]] = [
    (skip_the_fence, a_fill_is_overtaken, {"existed", "monotonic"}),
    (take_the_notification_for_the_log, another_service_writes, {"existed", "reliable"}),
    (wait_for_the_notification, another_service_writes, {"linearizable", "staleness", "bookmarkable"}),
    (take_the_head_for_the_log, another_service_writes, {"linearizable", "bookmarkable"}),
    (forget_the_epoch, history_is_exchanged, {"staleness"}),
    (merge_on_resync, an_agent_resyncs, {"staleness"}),
    (ignore_request_ids, a_request_is_repeated, {"exactly_once"}),
    (lose_what_was_acknowledged, writes_are_acknowledged, {"lost"}),
    (keep_the_table_past_the_lease, an_agent_is_cut_off, {"staleness"}),
    (forget_own_writes, an_agent_reads_its_write, {"monotonic"}),
    (share_the_cache, two_tenants_read, {"content"}),
    (fold_the_first_change_only, two_aliases_are_released, {"atomic"}),
    (take_an_undo_for_any_move, a_bad_release_is_taken_back, {"rollback"}),
    (tell_of_no_deletion, a_prompt_is_deleted_and_comes_back, {"atomic", "staleness"}),
]


def play(scene: Scene) -> set[str]:
    """Which promises the scene's history breaks."""
    stage = Stage()
    address = stage.serve()
    with closing(Raw("raw", address, stage.history)) as raw:
        for namespace in ("red", "blue"):
            for number in (1, 2):
                raw.register(namespace, NAME, f"{namespace} {number}", raw.request_id())
            if namespace == "blue":
                raw.set_alias(namespace, NAME, ALIAS, 1, raw.request_id())
        raw.set_alias("red", NAME, ALIAS, 1, raw.request_id())
        scene(stage, raw, address)
    found = violations(stage.close())
    for violation in found:
        print(violation)
    return {violation.check for violation in found}


@pytest.mark.parametrize(("bug", "scene", "caught"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_rule_is_caught(
    bug: Callable[[Patch], None], scene: Scene, caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    assert caught <= play(scene)


@pytest.mark.parametrize("scene", dict.fromkeys(scene for _, scene, _ in BROKEN), ids=lambda one: one.__name__)
def test_the_real_protocol_is_not_complained_of(scene: Scene) -> None:
    assert play(scene) == set()
