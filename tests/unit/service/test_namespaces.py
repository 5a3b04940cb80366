"""Namespaces cost what they hold: none is followed without need, and many cost the others no more than one."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from promptwire.domain.content import Content
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.changes import LogHead, LogPage
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import Register, SetAlias, Write, Written
from promptwire_service.domain.reads import CACHED, STRONG, Freshness
from promptwire_service.domain.records import PromptRecord, Read, Revision
from promptwire_service.rpc.watch_service import WatchService
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch import tailer as tailer_module
from promptwire_service.watch.coherence import IDLE_SECONDS, Coherence
from promptwire_service.watch.streams import WatchedNamespaces
from promptwire_service.watch.watcher import Goodbye, Watcher
from tests.unit.service.fakes import Below
from tests.unit.service.serving import SECONDS, serving


class CountingStore(MemoryStore):
    """Counts its round trips. Calls about a namespace wait at its gate; calls to a partition at that one's."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[list[str]] = []
        self.calls: list[tuple[str, str]] = []
        self.gates: dict[Hashable, asyncio.Event] = {}
        self.reached = asyncio.Event()
        self.mute = False

    def partition(self, namespace: str) -> Hashable:
        return namespace.rpartition("_")[0]

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        self.heads.append(list(namespaces))
        await self._pass(self.partition(namespaces[0]))
        return await super().read_heads(namespaces)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        self.calls.append(("read_log", namespace))
        await self._pass(("read_log", namespace))
        return await super().read_log(namespace, after=after, limit=limit)

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        self.calls.append(("read_prompts", namespace))
        await self._pass(("read_prompts", namespace))
        return await super().read_prompts(namespace, names)

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        return super().on_notify(lambda namespace, number: None if self.mute else notify(namespace, number))

    async def _pass(self, place: Hashable) -> None:
        if gate := self.gates.get(place):
            self.reached.set()
            await gate.wait()

    def hold(self, *place: str) -> asyncio.Event:
        """Closes a gate; setting it opens it."""
        self.reached.clear()
        gate = self.gates[place if len(place) > 1 else place[0]] = asyncio.Event()
        return gate


async def register(store: Any, namespace: str, text: str = "hello") -> Written:
    content = Content(text)
    operation = Register(name="p", content=content, digest=content.digest, commit_message="", tags={})
    return await store.write(namespace, Write(operations=(operation,), request_id=uuid.uuid4().hex, actor="t"))


async def alias(store: Any, namespace: str, name: str, version: int = 1) -> Written:
    operation = SetAlias(name="p", alias=name, target=version)
    return await store.write(namespace, Write(operations=(operation,), request_id=uuid.uuid4().hex, actor="t"))


@asynccontextmanager
async def made(**options: Any) -> AsyncIterator[tuple[CountingStore, Coherence]]:
    store = CountingStore()
    coherence = Coherence(store, **options)
    try:
        yield store, coherence
    finally:
        for gate in store.gates.values():
            gate.set()
        await coherence.close()


async def following(store: CountingStore, coherence: Coherence, names: Sequence[str]) -> None:
    """Has data in all of these, reads each, and counts from there on."""
    for name in names:
        await register(store, name)
        await coherence.prompt(name, "p", CACHED)
    store.heads.clear()
    store.calls.clear()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - whatever happens in the loop
            await asyncio.sleep(0)


@pytest.fixture
def quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailer_module, "POLL_SECONDS", 0.02)


@pytest.mark.usefixtures("quick_sweeps")
@pytest.mark.parametrize("count", [1, 300])
async def test_a_sweep_costs_one_round_trip_whatever_the_number_of_namespaces(count: int) -> None:
    async with made() as (store, coherence):
        names = [f"n{number}" for number in range(count)]
        await following(store, coherence, names)
        await until(lambda: len(store.heads) >= 4)
        assert all(sorted(call) == sorted(names) for call in store.heads[1:])
        assert store.calls == [], "nothing has moved, so no log is read"


@pytest.mark.usefixtures("quick_sweeps")
async def test_of_many_namespaces_only_those_that_moved_are_read() -> None:
    async with made() as (store, coherence):
        await following(store, coherence, [f"n{number}" for number in range(300)])
        store.mute = True
        moved = await alias(store, "n7", "a")
        space = await coherence.space("n7")
        await until(lambda: space.tail.head == moved.revision)
        assert set(store.calls) == {("read_log", "n7")}


async def test_many_namespaces_are_swept_in_batches_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailer_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(tailer_module, "BATCH_MAX", 10)
    async with made() as (store, coherence):
        names = [f"n{number}" for number in range(45)]
        await following(store, coherence, names)
        await until(lambda: len(store.heads) >= 20)
        assert max(map(len, store.heads)) <= 10
        swept = [name for call in store.heads for name in call]
        assert set(swept) == set(names), "everybody's turn comes"
        assert max(map(swept.count, names)) - min(map(swept.count, names)) <= 2


async def test_a_strong_read_costs_one_round_trip_beside_500_namespaces() -> None:
    async with made() as (store, coherence):
        await following(store, coherence, [f"n{number}" for number in range(500)])
        answer = await coherence.prompt("n250", "p", STRONG)
        assert answer.value is not None
        assert store.heads.count(["n250"]) == 1
        assert store.calls == []


@pytest.mark.parametrize("freshness", [CACHED, STRONG, Freshness(min_revision=Revision("elsewhere", 7))])
async def test_made_up_namespaces_are_never_followed(freshness: Freshness) -> None:
    async with made() as (store, coherence):
        names = [f"made-up-{number}" for number in range(3_000)]
        answers = await asyncio.gather(*(coherence.prompt(name, "p", freshness) for name in names))
        assert coherence.namespaces() == []
        assert {answer.value for answer in answers} == {None}
        assert [answer.revision for answer in answers] == [store._space(name).head for name in names]
        assert store.calls == []
        assert (await coherence.version(names[0], "p", 1, freshness)).value is None
        assert (await coherence.reach(names[0], freshness)).revision.number == 0
        assert coherence.known(names[0]) is None


async def test_a_namespace_that_comes_to_exist_is_found_by_the_next_read_and_followed() -> None:
    async with made() as (store, coherence):
        absent = await coherence.prompt("n", "p", CACHED)
        written = await register(store, "n")
        answer = await coherence.prompt("n", "p", CACHED)
        assert answer.value is not None
        assert answer.revision == written.revision
        assert absent.revision.number == 0
        assert coherence.namespaces() == ["n"]


async def test_a_revision_that_a_namespace_without_data_cannot_have_is_refused() -> None:
    async with made() as (_, coherence):
        epoch = (await coherence.prompt("n", "p", CACHED)).revision.epoch
        with pytest.raises(RegistryError) as refused:
            await coherence.prompt("n", "p", Freshness(min_revision=Revision(epoch, 1)))
        assert refused.value.reason == "STORE_BEHIND"


async def test_an_emptied_namespace_is_followed_no_longer_unless_it_is_watched() -> None:
    async with made() as (store, coherence):
        await following(store, coherence, ["n"])
        store.forget("n")
        await coherence.prompt("n", "p", STRONG)
        async with coherence.watching("peer:1", "n"):
            coherence.evict_idle()
            assert coherence.namespaces() == ["n"]
        coherence.evict_idle()
        assert coherence.namespaces() == []


@pytest.mark.usefixtures("quick_sweeps")
@pytest.mark.parametrize("call", ["read_log", "read_prompts"])
async def test_a_namespace_that_is_slow_to_start_over_holds_up_no_other(call: str) -> None:
    async with made() as (store, coherence):
        await following(store, coherence, ["slow", "other"])
        watchers = {}
        for name in ("slow", "other"):
            hub = (await coherence.space(name)).hub
            watchers[name] = Watcher(hub, "id", "name", "peer", 0)
            await hub.open(watchers[name], {"p": {"latest"}}, None)
        gate = store.hold(call, "slow")
        store.forget("slow")
        store.mute = True
        again = await register(store, "slow", "another history")
        slow = await coherence.space("slow")
        async with asyncio.timeout(5):
            await store.reached.wait()
            for _ in range(3):
                moved = await register(store, "other")
                assert (await coherence.prompt("other", "p", STRONG)).revision == moved.revision
            swept = await alias(store, "other", "a")
            other = await coherence.space("other")
            await until(lambda: other.hub.revision == swept.revision)
            assert slow.hub.revision.epoch != again.revision.epoch
            gate.set()
            await until(lambda: slow.hub.revision == again.revision)


@pytest.mark.usefixtures("quick_sweeps")
async def test_a_partition_of_the_store_that_hangs_holds_up_no_other() -> None:
    async with made() as (store, coherence):
        await following(store, coherence, ["hangs_1", "hangs_2", "fine_1"])
        gate = store.hold("hangs")
        stuck = asyncio.create_task(coherence.prompt("hangs_1", "p", STRONG))
        async with asyncio.timeout(5):
            await store.reached.wait()
            await coherence.prompt("fine_1", "p", STRONG)
            store.mute = True
            moved = await alias(store, "fine_1", "a")
            fine = await coherence.space("fine_1")
            await until(lambda: fine.tail.head == moved.revision)
            assert not stuck.done()
            gate.set()
            await stuck


async def test_unwatched_namespaces_are_bounded_and_the_least_recently_used_go_first() -> None:
    now = 0.0
    async with made(unwatched_max=20, clock=lambda: now) as (store, coherence):
        async with coherence.watching("peer:1", "watched"):
            for number in range(100):
                now += 1.0
                await following(store, coherence, [f"n{number}"])
                await coherence.prompt("n0", "p", CACHED)
                assert len(coherence.namespaces()) <= 22
            followed = coherence.namespaces()
            assert {"watched", "n0", "n99"} <= set(followed)
            assert "n1" not in followed
        moved = await alias(store, "n1", "a")
        colder = await coherence.prompt("n1", "p", CACHED)
        assert colder.value is not None
        assert (colder.value.aliases, colder.revision) == ({"a": 1}, moved.revision)


async def test_one_more_watched_namespace_costs_the_same_beside_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with made(unwatched_max=5) as (_, coherence), AsyncExitStack() as streams:
        looked_at: list[str] = []
        is_evictable = Coherence._is_evictable

        def counted(self: Coherence, namespace: str, space: Any) -> bool:
            looked_at.append(namespace)
            return is_evictable(self, namespace, space)

        monkeypatch.setattr(Coherence, "_is_evictable", counted)
        for number in range(50):
            await streams.enter_async_context(coherence.watching("peer:1", f"n{number}"))
        assert looked_at == []
        assert len(coherence.namespaces()) == 50


async def test_a_namespace_that_is_dropped_while_it_is_read_answers_what_the_store_has() -> None:
    now = 0.0
    async with made(clock=lambda: now) as (store, coherence):
        await register(store, "n")
        await coherence.reach("n", CACHED)
        gate = store.hold("read_prompts", "n")
        reading = asyncio.create_task(coherence.prompt("n", "p", CACHED))
        await store.reached.wait()
        now += 2 * IDLE_SECONDS
        coherence.evict_idle()
        assert coherence.namespaces() == []
        moved = await alias(store, "n", "a")
        gate.set()
        answer = await reading
        assert answer.value is not None
        assert (answer.value.aliases, answer.revision) == ({"a": 1}, moved.revision)
        assert (await coherence.prompt("n", "p", CACHED)).revision == moved.revision


def test_watched_namespaces_are_bounded_for_an_address_and_in_total() -> None:
    watched = WatchedNamespaces(max_per_address=2, max_total=3)
    for peer, namespace in (("ipv4:1.1.1.1:5", "a"), ("ipv4:1.1.1.1:6", "b"), ("ipv4:1.1.1.1:6", "a")):
        watched.acquire(peer, namespace)
    with pytest.raises(RegistryError) as refused:
        watched.acquire("ipv4:1.1.1.1:7", "c")
    assert refused.value.reason == "TOO_MANY_NAMESPACES"
    assert "one address watches at most 2 namespaces" in refused.value.message
    watched.acquire("ipv6:[::1]:5", "c")
    watched.acquire("ipv6:[::1]:6", "a")
    with pytest.raises(RegistryError, match="this service watches at most 3 namespaces"):
        watched.acquire("unix:", "d")
    watched.release("ipv4:1.1.1.1:5", "a")
    assert "a" in watched
    watched.release("ipv4:1.1.1.1:6", "b")
    watched.release("ipv4:1.1.1.1:6", "a")
    for namespace in ("c", "a"):
        watched.release("ipv6:[::1]:5", namespace)
    assert not any(namespace in watched for namespace in "abc")
    assert not watched._of_address


async def test_a_stream_of_one_namespace_too_many_is_refused_and_one_that_ends_makes_room() -> None:
    async with (
        made(watched=WatchedNamespaces(max_per_address=1)) as (_, coherence),
        serving(Below(), WatchService(coherence)) as channel,
    ):
        watch = channel.stream_stream("/promptwire.v1.PromptService/Watch", None, pb.WatchResponse.FromString)

        def hello(namespace: str) -> bytes:
            return pb.WatchRequest(hello=pb.WatchHello(namespace=namespace)).SerializeToString()

        first = watch(timeout=SECONDS)
        await first.write(hello("a"))
        await first.read()
        refused = watch(timeout=SECONDS)
        await refused.write(hello("b"))
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "one address watches at most 1 namespaces" in await refused.details()
        same = watch(timeout=SECONDS)
        await same.write(hello("a"))
        await same.read()
        for call in (first, same):
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
        again = watch(timeout=SECONDS)
        await again.write(hello("b"))
        assert (await again.read()).WhichOneof("message") == "update"
        await again.done_writing()
        assert await again.code() is grpc.StatusCode.OK


async def test_a_drain_says_goodbye_to_everybody_and_lets_others_have_their_turns() -> None:
    async with made() as (_, coherence):
        watchers = []
        for number in range(2_000):
            hub = (await coherence.space(f"n{number}")).hub
            watchers.append(Watcher(hub, "id", "name", "peer", 0))
            await hub.open(watchers[-1], {}, None)
        turns = 0
        draining = asyncio.create_task(coherence.drain())
        while not draining.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 3
        for watcher in watchers:
            assert isinstance(list(watcher._take())[-1], Goodbye)
