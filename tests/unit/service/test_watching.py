"""What watchers are told: each update leads to a state that existed, in order, whole, and the last one always
arrives.
"""

import asyncio
import random
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptwire.domain.content import Content
from promptwire_service.domain.changes import LogHead, LogPage
from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteVersion,
    Operation,
    Purge,
    Register,
    SetAlias,
    SetTags,
    Write,
    Written,
)
from promptwire_service.domain.reads import CACHED, STRONG, Freshness
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.rpc.watch_service import encode
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch.coherence import IDLE_SECONDS, Coherence
from promptwire_service.watch.watcher import (
    Bookmark,
    Follows,
    Frame,
    Goodbye,
    Resync,
    State,
    Tokens,
    Update,
    Watcher,
    versions_of,
)

NS = "test"
NOWHERE = Revision("", 0)


class UnreliableStore(MemoryStore):
    """Answers after a random number of turns of the loop, may be down, may not notify."""

    def __init__(self, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.random = random.Random(seed) if seed is not None else None
        self.down = False
        self.mute = False
        self.history: dict[int, dict[str, PromptRecord]] = {0: {}}

    async def write(self, namespace: str, write: Write) -> Written:
        await self._turns()
        written = await super().write(namespace, write)
        self.history[written.revision.number] = dict(self._space(namespace).state.prompts)
        return written

    async def read_prompts(self, namespace: str, names: Any) -> Read[list[PromptRecord | None]]:
        await self._turns()
        read = await super().read_prompts(namespace, names)
        await self._turns()
        return read

    async def read_versions(self, namespace: str, keys: Any) -> Read[list[VersionRecord | None]]:
        await self._turns()
        read = await super().read_versions(namespace, keys)
        await self._turns()
        return read

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        await self._turns()
        page = await super().read_log(namespace, after=after, limit=min(limit, 3) if self.random else limit)
        await self._turns()
        return page

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        await self._turns()
        heads = await super().read_heads(namespaces)
        await self._turns()
        return heads

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        return super().on_notify(lambda namespace, number: None if self.mute else notify(namespace, number))

    async def _turns(self) -> None:
        if self.down:
            raise store_unavailable("switched off by the test")
        for _ in range(self.random.randrange(4) if self.random else 0):
            await asyncio.sleep(0)


@dataclass
class Agent:
    """Applies frames as a client must, and keeps what it saw."""

    watcher: Watcher
    frames: list[Frame] = field(default_factory=list)
    prompts: dict[str, PromptRecord | None] = field(default_factory=dict)
    bodies: dict[tuple[str, int], VersionRecord] = field(default_factory=dict)
    parts: list[State] = field(default_factory=list)
    revision: Revision = NOWHERE
    check: Callable[["Agent", Update], None] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    left: bool = False

    async def run(self) -> None:
        async for frame in self.watcher.frames():
            self.apply(frame)
            await self.reading.wait()
        self.left = True

    def _take(self) -> None:
        """Replaces what it knew of each prompt; a body that a state does not list is gone."""
        for state in self.parts:
            had = {body.token: key for key, body in self.bodies.items() if key[0] == state.name}
            if not state.continues:
                self.prompts[state.name] = state.prompt
                assert set(state.held) <= had.keys(), "a state relies on bodies that were not sent"
                for token, key in had.items():
                    if token not in state.held:
                        del self.bodies[key]
            for body in state.bodies:
                self.bodies[body.name, body.version] = body
        self.parts = []

    def apply(self, frame: Frame) -> None:
        self.frames.append(frame)
        match frame:
            case Update(prev, revision, states, more):
                assert prev == self.revision.number or not self.revision.epoch, "an update follows on the one before"
                assert revision.number >= prev
                self.parts += states
                if not more:
                    self._take()
                    self.revision = revision
                    if self.check:
                        self.check(self, frame)
            case Bookmark(_, revision):
                assert revision.number >= self.revision.number
                self.revision = revision
            case Resync():
                self.parts = []
                self.prompts.clear()
                self.revision = Revision("", 0)
        self.arrived.set()

    def forget(self, name: str) -> None:
        """Follows it no more."""
        self.prompts.pop(name, None)
        for key in [key for key in self.bodies if key[0] == name]:
            del self.bodies[key]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()

    @property
    def updates(self) -> list[Update]:
        return [frame for frame in self.frames if isinstance(frame, Update)]


@dataclass
class World:
    store: UnreliableStore
    coherence: Coherence

    async def write(self, *operations: Operation) -> Written:
        return await self.coherence.store.write(
            NS, Write(operations=operations, request_id=uuid.uuid4().hex, actor="t")
        )

    async def register(self, name: str = "p", text: str = "hello") -> Written:
        content = Content(text)
        return await self.write(Register(name=name, content=content, digest=content.digest, commit_message="", tags={}))

    async def alias(self, alias: str, version: int, name: str = "p") -> Written:
        return await self.write(SetAlias(name=name, alias=alias, target=version))

    @asynccontextmanager
    async def agent(
        self,
        follows: Follows,
        resume: Revision | None = None,
        check: Any = None,
        bodies: Mapping[tuple[str, int], VersionRecord] = MappingProxyType({}),
        held: Mapping[str, Tokens] = MappingProxyType({}),
    ) -> AsyncIterator[Agent]:
        """`bodies` are those that it has from before; `held`, what it tells of them."""
        hub = (await self.coherence.space(NS)).hub
        watcher = Watcher(hub, "id", "name", "peer", 0)
        agent = Agent(watcher, check=check, bodies=dict(bodies))
        agent.reading.set()
        await hub.open(watcher, follows, resume, held)
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            watcher.end()
            agent.reading.set()
            hub.leave(watcher)
            await task


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    store = UnreliableStore(**options)
    coherence = Coherence(store)
    try:
        yield World(store, coherence)
    finally:
        store.down = False
        await coherence.close()


async def test_the_first_frame_tells_the_state_and_the_revision() -> None:
    async with world() as w:
        await w.register()
        await w.alias("production", 1)
        async with w.agent({"p": {"production"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            update = agent.updates[0]
            assert (update.prev, update.revision.number) == (0, 2)
            assert agent.prompts["p"] == (await w.store.read_prompts(NS, ["p"])).value[0]
            assert [body.version for body in update.states[0].bodies] == [1]


async def test_a_stream_that_follows_nothing_is_told_the_revision() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({}) as agent:
            await agent.until(lambda: agent.revision.number == 1)


async def test_a_flip_brings_the_table_and_the_new_body_only() -> None:
    async with world() as w:
        for text in ("one", "two", "three"):
            await w.register(text=text)
        await w.alias("production", 1)
        async with w.agent({"p": {"production"}}) as agent:
            await agent.until(lambda: agent.revision.number == 4)
            await w.alias("production", 2)
            await agent.until(lambda: agent.revision.number == 5)
            update = agent.updates[-1]
            assert (update.prev, update.revision.number) == (4, 5)
            assert [body.content.text for body in update.states[0].bodies] == ["two"]
            await w.alias("staging", 3)
            await agent.until(lambda: agent.revision.number == 6)
            assert agent.updates[-1].states[0].bodies == (), "nobody here follows staging"
            await w.alias("production", 1)
            await agent.until(lambda: agent.revision.number == 7)
            assert [body.version for body in agent.updates[-1].states[0].bodies] == [1], "a rollback brings its body"


async def test_latest_follows_registrations() -> None:
    async with world() as w:
        await w.register(text="one")
        async with w.agent({"p": {"latest"}}) as agent:
            await w.register(text="two")
            await agent.until(lambda: ("p", 2) in agent.bodies)
            assert agent.prompts["p"].latest_version == 2  # type: ignore[union-attr]


async def test_a_prompt_that_does_not_exist_yet_is_told_when_it_does() -> None:
    async with world() as w:
        await w.register("other")
        async with w.agent({"p": {"production"}}) as agent:
            await agent.until(lambda: "p" in agent.prompts)
            assert agent.prompts["p"] is None
            await w.register()
            await w.alias("production", 1)
            await agent.until(lambda: ("p", 1) in agent.bodies)


async def test_version_tags_come_with_their_body() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {1}}) as agent:
            await agent.until(lambda: ("p", 1) in agent.bodies)
            await w.write(SetTags(name="p", version=1, tags={"a": "b"}))
            await agent.until(lambda: agent.bodies["p", 1].tags == {"a": "b"})


async def test_a_write_that_changes_a_prompt_several_times_is_told_whole() -> None:
    async with world() as w:
        for text in ("one", "two"):
            await w.register(text=text)
        await w.alias("production", 1)
        await w.alias("staging", 1)
        async with w.agent({"p": {"production", "staging", 1, 2}}) as agent:
            await agent.until(lambda: agent.revision.number == 4)
            await w.write(
                SetTags(name="p", version=1, tags={"a": "1"}),
                SetTags(name="p", version=1, tags={"b": "2"}),
                SetAlias(name="p", alias="production", target=2),
                SetAlias(name="p", alias="canary", target=2),
            )
            await agent.until(lambda: agent.revision.number == 5)
            assert agent.prompts["p"] == (await w.store.read_prompts(NS, ["p"])).value[0]
            assert agent.bodies["p", 1].tags == {"a": "1", "b": "2"}
            await w.write(DeleteVersion(name="p", version=1, drop_aliases=True))
            await agent.until(lambda: agent.revision.number == 6)
            assert agent.prompts["p"] == (await w.store.read_prompts(NS, ["p"])).value[0]
            assert agent.prompts["p"].deleted_versions.keys() == {1}  # type: ignore[union-attr]


async def test_changes_of_other_prompts_are_not_sent() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            await w.register("other")
            await w.register()
            await agent.until(lambda: agent.revision.number == 3)
            assert [(update.prev, update.revision.number) for update in agent.updates] == [(0, 1), (1, 3)]


async def test_following_more_is_answered_by_the_whole_state() -> None:
    async with world() as w:
        await w.register()
        await w.alias("production", 1)
        async with w.agent({"p": {"production"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            hub = (await w.coherence.space(NS)).hub
            await hub.follow(agent.watcher, {"p": {"latest"}})
            await agent.until(lambda: len(agent.updates) == 2)
            assert agent.updates[-1].states[0].bodies == (), "the stream has carried that body"
            assert len(agent.updates[-1].states[0].held) == 1
            hub.unfollow(agent.watcher, ["p", "never followed"])
            await w.register()
            await hub.follow(agent.watcher, {"other": {"latest"}})
            await agent.until(lambda: "other" in agent.prompts)
            assert agent.prompts["p"].latest_version == 1  # type: ignore[union-attr]


async def test_a_slow_stream_skips_states_and_holds_up_nobody() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"a"}}) as slow, w.agent({"p": {"a"}}) as quick:
            await slow.until(lambda: bool(slow.updates))
            slow.reading.clear()
            for index in range(100):
                await w.alias("a" if index % 2 else "b", 1)
                await quick.until(lambda index=index: quick.revision.number == index + 2)  # type: ignore[misc]
            assert slow.watcher.queued <= 1
            slow.reading.set()
            await slow.until(lambda: slow.revision.number == 101)
            assert len(slow.updates) <= 3
            assert slow.prompts == quick.prompts


async def test_a_bookmark_comes_after_everything_before_it() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            w.store.mute = True
            await w.store.write(
                NS, Write(operations=(SetAlias(name="p", alias="a", target=1),), request_id="x", actor="t")
            )
            hub = (await w.coherence.space(NS)).hub
            await hub.tail.poll()
            agent.watcher.bookmark(7)
            await agent.until(lambda: isinstance(agent.frames[-1], Bookmark))
            assert agent.frames[-1] == Bookmark(7, agent.revision)
            assert agent.revision.number == 2
            assert agent.prompts["p"].aliases == {"a": 1}  # type: ignore[union-attr]


async def test_a_lost_notification_is_made_up_for_by_the_clock() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            w.store.mute = True
            # Past the wrapper, which would know of its own write.
            content = Content("two")
            operation = Register(name="p", content=content, digest=content.digest, commit_message="", tags={})
            await w.store.write(NS, Write(operations=(operation,), request_id="x", actor="t"))
            await agent.until(lambda: ("p", 2) in agent.bodies)


async def test_another_history_replaces_what_was_told() -> None:
    async with world() as w:
        await w.register("p")
        await w.register("q")
        await w.alias("production", 1)
        async with w.agent({"p": {"production"}, "q": {"latest"}}) as agent:
            await agent.until(lambda: len(agent.bodies) == 2)
            w.store.forget(NS)
            await w.register("p", text="another world")
            await agent.until(lambda: ("p" in agent.prompts) and ("q" in agent.prompts) and agent.prompts["q"] is None)
            assert Resync("EPOCH_CHANGED") in agent.frames
            assert agent.prompts["p"].aliases == {}  # type: ignore[union-attr]
            answer = await w.coherence.version(NS, "p", 1, CACHED)
            assert answer.value is not None
            assert answer.value.content.text == "another world"


async def test_another_history_is_told_whole_though_all_its_numbers_are_the_same() -> None:
    async with world() as w:
        await w.register("p", text="one world")
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: ("p", 1) in agent.bodies)
            w.store.forget(NS)
            await w.register("p", text="another world")
            await agent.until(lambda: ("p", 1) in agent.bodies and agent.bodies["p", 1].content.text == "another world")
            assert agent.bodies["p", 1].etag == agent.revision.number == 1


async def test_a_cursor_below_the_logs_floor_starts_over() -> None:
    async with world(log_entries_kept=5) as w:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            w.store.mute = True
            hub = (await w.coherence.space(NS)).hub
            for index in range(20):
                operation = SetAlias(name="p", alias=f"a{index}", target=1)
                await w.store.write(NS, Write(operations=(operation,), request_id=str(index), actor="t"))
            await hub.tail.poll()
            await agent.until(lambda: agent.revision.number == 21)
            assert Resync("COMPACTED") in agent.frames
            assert len(agent.prompts["p"].aliases) == 20  # type: ignore[union-attr]


async def test_resuming_sends_only_what_changed() -> None:
    async with world() as w:
        await w.register("p")
        await w.register("q")
        async with w.agent({"p": {"latest"}, "q": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            at = agent.revision
        await w.register("q")
        follows = {"p": {"latest"}, "q": {"latest"}, "none": {"latest"}}
        async with w.agent(follows, resume=at, bodies=agent.bodies) as agent:
            await agent.until(lambda: bool(agent.updates))
            update = agent.updates[0]
            assert (update.prev, update.revision.number) == (2, 3)
            # What is not there may have been purged since: that is told again.
            assert [(state.name, state.prompt is None) for state in update.states] == [("none", True), ("q", False)]
            await w.alias("a", 1, name="p")
            await agent.until(lambda: agent.revision.number == 4)
            assert agent.updates[-1].states[0].bodies == (), "the resumed stream has that body"


async def test_following_one_more_version_sends_that_one_only() -> None:
    async with world() as w:
        for index in range(20):
            await w.register(text=f"text {index}")
        async with w.agent({"p": {1}}) as agent:
            hub = (await w.coherence.space(NS)).hub
            for version in range(2, 21):
                await hub.follow(agent.watcher, {"p": {version}})
                await agent.until(lambda version=version: ("p", version) in agent.bodies)  # type: ignore[misc]
            sent = [body.version for update in agent.updates for state in update.states for body in state.bodies]
            assert sent == list(range(1, 21)), "each body once"
            assert agent.updates[-1].states[0].prompt == (await w.store.read_prompts(NS, ["p"])).value[0]


async def test_what_the_agent_holds_is_not_sent_but_its_state_is() -> None:
    async with world() as w:
        for text in ("one", "two", "three"):
            await w.register(text=text)
        records = [(await w.store.read_versions(NS, [("p", version)])).value[0] for version in (1, 2, 3)]
        one, two, three = (record for record in records if record)
        had = {("p", 1): one, ("p", 2): two}
        async with w.agent({"p": {1, 3}}, bodies=had, held={"p": frozenset({one.token, two.token})}) as agent:
            await agent.until(lambda: bool(agent.updates))
            state = agent.updates[0].states[0]
            assert (state.bodies, set(state.held)) == ((three,), {one.token})
            assert state.prompt == (await w.store.read_prompts(NS, ["p"])).value[0]
            await w.write(SetTags(name="p", version=1, tags={"a": "b"}))
            await agent.until(lambda: agent.bodies["p", 1].tags == {"a": "b"})
        await w.write(SetTags(name="p", version=1, tags={"a": "c"}))
        stale = agent.bodies["p", 1]
        assert stale.content == one.content
        async with w.agent({"p": {1}}, bodies=agent.bodies, held={"p": frozenset({stale.token})}) as again:
            await again.until(lambda: bool(again.updates))
            assert [body.tags for body in again.updates[0].states[0].bodies] == [{"a": "c"}], "its tags have changed"


async def test_bodies_that_were_sent_are_not_sent_again_when_history_starts_over() -> None:
    async with world() as w:
        await w.register("p")
        await w.register("q")
        rewind = w.store.backup(NS)
        await w.register("q", text="two")
        async with w.agent({"p": {"latest"}, "q": {"latest"}}) as agent:
            await agent.until(lambda: len(agent.bodies) == 2)
            rewind()
            await agent.until(lambda: ("q", 1) in agent.bodies)
            assert Resync("EPOCH_CHANGED") in agent.frames
            told = {state.name: state for state in agent.updates[-1].states}
            assert [len(told[name].bodies) for name in "pq"] == [0, 1]
            assert agent.prompts["p"] == (await w.store.read_prompts(NS, ["p"])).value[0]


async def test_a_stream_that_follows_nothing_is_told_where_it_is_after_a_restart() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({}) as agent:
            await agent.until(lambda: agent.revision.number == 1)
            w.store.forget(NS)
            await w.register("q")
            await agent.until(lambda: Resync("EPOCH_CHANGED") in agent.frames and isinstance(agent.frames[-1], Update))


async def test_a_state_that_does_not_fit_into_a_part_goes_on_in_the_next() -> None:
    """Every part is small; all are of one revision, though the prompt changes while they are sent."""
    texts = [f"{index:03}" + "x" * 300_000 for index in range(12)]
    async with world() as w:
        for text in texts:
            await w.register(text=text)
        await w.register("q", text="small")
        hub = (await w.coherence.space(NS)).hub
        watcher = Watcher(hub, "id", "name", "peer", 0)
        await hub.open(watcher, {"p": set(range(1, 13)), "q": {"latest"}}, None)
        agent = Agent(watcher)
        frames = watcher.frames()
        first = await anext(frames)
        assert isinstance(first, Update)
        assert first.more
        agent.apply(first)
        await w.alias("production", 3)
        await hub.tail.poll()
        while agent.revision.number < 13:
            agent.apply(await anext(frames))
        assert [len(update.states) for update in agent.updates] == [1, 1, 1, 2]
        assert all(update.revision.number == 13 for update in agent.updates)
        assert all(len(encode(update)) < 2 << 20 for update in agent.updates)
        assert [agent.bodies["p", version].content.text for version in range(1, 13)] == texts
        assert agent.prompts["p"].aliases == {}  # type: ignore[union-attr]
        agent.apply(await anext(frames))
        assert agent.prompts["p"].aliases == {"production": 3}  # type: ignore[union-attr]
        assert agent.updates[-1].states[0].bodies == ()
        await frames.aclose()
        hub.leave(watcher)


async def test_a_slow_stream_holds_one_encoded_part_however_much_it_is_to_be_sent() -> None:
    async with world() as w:
        for index in range(30):
            await w.register(f"p{index:02}x", text="x" * 400_000)
        hub = (await w.coherence.space(NS)).hub
        watcher = Watcher(hub, "id", "name", "peer", 0)
        await hub.open(watcher, {f"p{index:02}x": {"latest"} for index in range(30)}, None)
        frames = watcher.frames()
        encoded: list[weakref.ref[Update]] = []
        for _ in range(10):
            frame = await anext(frames)
            assert isinstance(frame, Update)
            assert len(encode(frame)) < 2 << 20
            encoded.append(weakref.ref(frame))
            del frame
            assert sum(one() is not None for one in encoded) == 1
        await frames.aclose()
        hub.leave(watcher)


async def test_an_update_that_history_overtakes_ends_and_none_of_it_counts() -> None:
    async with world() as w:
        for name in ("p", "q", "r"):
            await w.register(name, text=name * 600_000)
        hub = (await w.coherence.space(NS)).hub
        watcher = Watcher(hub, "id", "name", "peer", 0)
        await hub.open(watcher, {"p": {"latest"}, "q": {"latest"}, "r": {"latest"}}, None)
        agent = Agent(watcher)
        frames = watcher.frames()
        agent.apply(await anext(frames))
        watcher.bookmark(1)
        w.store.forget(NS)
        await w.register("p", text="p" * 600_000)
        await hub.tail.poll()
        while not isinstance(agent.frames[-1], Bookmark):
            agent.apply(await anext(frames))
        assert [type(frame) for frame in agent.frames] == [Update, Resync, Update, Bookmark]
        assert agent.revision.number == 1
        assert (agent.prompts["q"], agent.prompts["r"]) == (None, None)
        assert ("p", 1) in agent.bodies
        await frames.aclose()
        hub.leave(watcher)


async def test_what_is_dropped_while_an_update_is_sent_is_sent_whole_when_it_is_followed_again() -> None:
    async with world() as w:
        for name in ("p", "q", "r", "s"):
            await w.register(name, text=name * 600_000)
        hub = (await w.coherence.space(NS)).hub
        watcher = Watcher(hub, "id", "name", "peer", 0)
        await hub.open(watcher, {name: {"latest"} for name in "pqrs"}, None)
        agent = Agent(watcher)
        frames = watcher.frames()
        agent.apply(await anext(frames))
        hub.unfollow(watcher, ["p", "s"])
        while not agent.revision.epoch:
            agent.apply(await anext(frames))
        assert "s" not in agent.prompts, "it was not sent yet, and is wanted no more"
        agent.forget("p")
        await hub.follow(watcher, {"p": {"latest"}})
        agent.apply(await anext(frames))
        assert ("p", 1) in agent.bodies
        await frames.aclose()
        hub.leave(watcher)


@pytest.mark.parametrize("number", [1, 2, 99])
async def test_resuming_another_history_starts_over(number: int) -> None:
    async with world() as w:
        await w.register()
        await w.register()
        async with w.agent({"p": {"latest"}}, resume=Revision("another", number)) as agent:
            await agent.until(lambda: bool(agent.updates))
            assert agent.frames[0] == Resync("EPOCH_CHANGED")
            assert (agent.updates[0].prev, agent.prompts["p"].latest_version) == (0, 2)  # type: ignore[union-attr]


async def test_resuming_from_the_future_of_the_same_history_starts_over() -> None:
    async with world() as w:
        epoch = (await w.register()).revision.epoch
        async with w.agent({"p": {"latest"}}, resume=Revision(epoch, 5)) as agent:
            await agent.until(lambda: bool(agent.updates))
            assert agent.frames[0] == Resync("HISTORY_LOST")


async def test_who_was_away_while_a_prompt_was_deleted_and_purged_is_told_that_it_is_gone() -> None:
    async with world() as w:
        await w.register("p")
        before = (await w.register("q")).revision
        await w.write(DeletePrompt(name="p"))
        await w.write(Purge(before_ms=1 << 50, limit=9))
        async with w.agent({"p": {"latest"}, "q": {"latest"}}, resume=before) as agent:
            await agent.until(lambda: bool(agent.updates))
            assert [(state.name, state.prompt) for state in agent.updates[0].states] == [("p", None)]


@pytest.mark.parametrize("written_since", [0, 1, 2, 5])
async def test_a_history_that_is_rewound_gets_another_epoch(written_since: int) -> None:
    """Also when it has come further again than it was, before anyone looked."""
    async with world() as w:
        await w.register("p")
        await w.register("p")
        await w.alias("a", 1, name="p")
        rewind = w.store.backup(NS)
        await w.alias("a", 2, name="p")
        before = (await w.register("q")).revision
        async with w.agent({"p": {"a"}, "q": {"latest"}}) as agent:
            await agent.until(lambda: agent.revision == before)
            w.store.mute = True
            rewind()
            for _ in range(written_since):
                await w.register("r")
            await agent.until(lambda: agent.revision.epoch != before.epoch)
            assert Resync("EPOCH_CHANGED") in agent.frames
            assert agent.revision.number == 3 + written_since
            assert (agent.prompts["p"].aliases, agent.prompts["q"]) == ({"a": 1}, None)  # type: ignore[union-attr]
        async with w.agent({"p": {"a"}}, resume=before) as agent:
            await agent.until(lambda: bool(agent.updates))
            assert agent.frames[0] == Resync("EPOCH_CHANGED"), "who was away learns of it too"


async def test_a_history_that_is_emptied_and_restored_gets_another_epoch() -> None:
    async with world() as w:
        await w.register("p")
        rewind = w.store.backup(NS)
        before = (await w.register("p")).revision
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: agent.revision == before)
            w.store.forget(NS)
            await agent.until(lambda: agent.prompts["p"] is None)
            rewind()
            await agent.until(lambda: agent.prompts["p"] is not None)
            assert agent.revision.epoch != before.epoch


async def test_streams_in_the_same_position_share_one_update() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"a"}}) as one, w.agent({"p": {"a"}}) as two:
            for agent in (one, two):
                await agent.until(lambda agent=agent: bool(agent.updates))  # type: ignore[misc]
            await w.alias("a", 1)
            for agent in (one, two):
                await agent.until(lambda agent=agent: agent.revision.number == 2)  # type: ignore[misc]
            assert one.updates[-1] is two.updates[-1]


async def test_a_stream_that_does_not_leave_after_goodbye_is_shown_out() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            await w.coherence.drain()
            await agent.until(lambda: isinstance(agent.frames[-1], Goodbye))
            async with asyncio.timeout(5):
                while not agent.left:  # noqa: ASYNC110 - its stream's end is what is waited for
                    await asyncio.sleep(0.01)


async def test_an_outage_is_survived_and_made_up_for() -> None:
    async with world() as w:
        await w.register()
        async with w.agent({"p": {"a"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            assert (await w.coherence.prompt(NS, "p", CACHED)).value is not None
            w.store.down = True
            space = await w.coherence.space(NS)
            with pytest.raises(RegistryError):
                await space.tail.poll()
            cached = await w.coherence.prompt(NS, "p", CACHED)
            assert cached.value is not None, "what is cached is still answered"
            with pytest.raises(RegistryError):
                await w.coherence.prompt(NS, "p", STRONG)
            w.store.down = False
            await w.alias("a", 1)
            await agent.until(lambda: agent.revision.number == 2)


async def test_a_read_waits_for_the_revision_it_is_to_hold() -> None:
    async with world() as w:
        await w.register()
        await w.coherence.prompt(NS, "p", CACHED)
        w.store.mute = True
        write = Write(operations=(SetAlias(name="p", alias="a", target=1),), request_id="x", actor="t")
        written = await w.store.write(NS, write)
        answer = await w.coherence.prompt(NS, "p", Freshness(min_revision=written.revision))
        assert answer.value is not None
        assert answer.value.aliases == {"a": 1}
        with pytest.raises(RegistryError) as caught:
            await w.coherence.prompt(NS, "p", Freshness(min_revision=Revision(written.revision.epoch, 99)))
        assert caught.value.reason == "STORE_BEHIND"
        await w.coherence.prompt(NS, "p", Freshness(min_revision=Revision("gone", 99)))


async def test_a_strong_read_holds_a_write_made_elsewhere() -> None:
    async with world() as w:
        await w.register()
        await w.coherence.prompt(NS, "p", CACHED)
        w.store.mute = True
        await w.store.write(NS, Write(operations=(SetAlias(name="p", alias="a", target=1),), request_id="x", actor="t"))
        answer = await w.coherence.prompt(NS, "p", STRONG)
        assert answer.value is not None
        assert answer.value.aliases == {"a": 1}


async def test_a_namespace_that_nobody_asks_for_is_let_go_of_and_read_anew() -> None:
    now = 0.0
    store = UnreliableStore()
    coherence = Coherence(store, clock=lambda: now)
    w = World(store, coherence)
    try:
        await w.register()
        async with w.agent({"p": {"latest"}}) as agent:
            await agent.until(lambda: bool(agent.updates))
            now += 2 * IDLE_SECONDS
            coherence.evict_idle()
            assert (await coherence.status(NS)).watcher_count == 1, "who watches keeps it"
        now += 2 * IDLE_SECONDS
        coherence.evict_idle()
        assert (await coherence.status(NS)).revision is None
        # Changed by someone else while nobody here followed it.
        operation = SetAlias(name="p", alias="a", target=1)
        await store.write(NS, Write(operations=(operation,), request_id="x", actor="t"))
        answer = await coherence.prompt(NS, "p", CACHED)
        assert answer.value is not None
        assert answer.value.aliases == {"a": 1}
    finally:
        await coherence.close()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_update_leads_to_a_state_that_existed(seed: int) -> None:
    """Random writes by two writers, random following, a store whose answers come in any order."""
    asyncio.run(_random_traffic(seed))


async def _random_traffic(seed: int) -> None:
    draw = random.Random(seed)
    names = ["p", "q", "r"]
    async with world(seed=seed) as w:

        def existed(agent: Agent, update: Update) -> None:
            at = w.store.history[update.revision.number]
            for name in agent.watcher.follows:
                if name in agent.prompts:
                    assert agent.prompts[name] == at.get(name), f"{name} at {update.revision.number}"

        async def writer() -> None:
            for _ in range(12):
                name = draw.choice(names)
                choice = draw.randrange(4)
                try:
                    if choice == 0:
                        await w.register(name, text=f"text {draw.random()}")
                    elif choice == 1:
                        await w.alias(draw.choice("ab"), draw.randrange(1, 4), name=name)
                    elif choice == 2:
                        await w.write(
                            SetTags(name=name, version=draw.choice([None, 1]), tags={"t": str(draw.random())})
                        )
                    else:
                        await w.write(DeleteAlias(name=name, alias=draw.choice("ab")))
                except RegistryError:
                    continue

        async def follower(agent: Agent) -> None:
            hub = (await w.coherence.space(NS)).hub
            for _ in range(8):
                name = draw.choice(names)
                if draw.random() < 0.25:
                    hub.unfollow(agent.watcher, [name])
                    agent.forget(name)
                else:
                    await hub.follow(agent.watcher, {name: {draw.choice(["a", "b", "latest", 1])}})
                if draw.random() < 0.3:
                    agent.reading.clear()
                for _ in range(draw.randrange(20)):
                    await asyncio.sleep(0)
                agent.reading.set()

        async with w.agent({"p": {"a"}}, check=existed) as one, w.agent({}, check=existed) as two:
            await asyncio.gather(writer(), writer(), follower(one), follower(two))
            hub = (await w.coherence.space(NS)).hub
            await hub.tail.poll()
            for agent in (one, two):
                agent.watcher.bookmark(1)
                await agent.until(lambda agent=agent: isinstance(agent.frames[-1], Bookmark))  # type: ignore[misc]
                for name, selectors in agent.watcher.follows.items():
                    prompt = (await w.store.read_prompts(NS, [name])).value[0]
                    assert agent.prompts[name] == prompt
                    for version in versions_of(prompt, selectors):
                        record = (await w.store.read_versions(NS, [(name, version)])).value[0]
                        assert agent.bodies[name, version] == record
