"""What a roll-back goes to, on every store: what was live before, and never what a roll-back or an undo left since."""

import asyncio
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.domain.splits import Split, Target
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.commands.release import MoveStep, RemoveStep, Step, release, undo_release
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.kept import AliasMoved
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeleteVersion,
    Operation,
    Register,
    RollbackAlias,
    SetAlias,
    Write,
)
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.servers import REDIS_SERVER
from tests.support.topologies import Topology

NAME = "greeting"
ALIASES = ("production", "staging")
VERSIONS = 4
HALVES = Split("salt", ((5_000, 1), (10_000, 2)))
MOSTLY = Split("salt", ((9_000, 1), (10_000, 3)))
NEVER_MS = 10**15

_numbers = itertools.count(1)


class Aliases:
    """Two aliases of a prompt with four versions, moved as clients move them."""

    def __init__(self, store: Store, namespace: str) -> None:
        self.store = store
        self.namespace = namespace
        self.registry = Registry(
            store=store, store_info=cast(Any, None), reader=cast(Any, None), observer=cast(Any, None), started_ms=0
        )

    async def begin(self) -> "Aliases":
        for _ in range(VERSIONS):
            content = Content("Hello")
            await self.write(Register(name=NAME, content=content, digest=content.digest, commit_message="", tags={}))
        return self

    async def write(self, operation: Operation, request_id: str = "") -> Target:
        write = Write(operations=(operation,), request_id=request_id or uuid.uuid4().hex, actor="ana@laptop")
        return (await self.store.write(self.namespace, write)).results[0].target

    async def set(self, *targets: Target, alias: str = "production") -> None:
        for target in targets:
            await self.write(SetAlias(name=NAME, alias=alias, target=target))

    async def delete(self, alias: str = "production") -> None:
        await self.write(DeleteAlias(name=NAME, alias=alias))

    async def rollback(self, alias: str = "production", **options: Any) -> Target:
        return await self.write(RollbackAlias(name=NAME, alias=alias, **options))

    async def release(self, **versions: int | None) -> int:
        steps: list[Step] = [
            RemoveStep(name=NAME, alias=alias) if version is None else MoveStep(name=NAME, alias=alias, version=version)
            for alias, version in versions.items()
        ]
        released = await release(
            self.registry, namespace=self.namespace, title="Friday", steps=steps, dry_run=False, options=_options()
        )
        return released.revision.number

    async def undo(self, number: int, request_id: str = "") -> int:
        options = _options(request_id)
        undone = await undo_release(self.registry, namespace=self.namespace, number=number, options=options)
        return undone.revision.number

    async def live(self, alias: str = "production") -> Target:
        prompt = (await self.store.read_prompts(self.namespace, [NAME])).value[0]
        assert prompt is not None
        return prompt.target_of(alias)

    async def goes_back_through(self, alias: str = "production") -> list[Target]:
        """Where roll-backs go, one after the other, until there is nothing to go back to."""
        found: list[Target] = []
        while (target := await self.rollback_or_none(alias)) is not None:
            found.append(target)
        return found

    async def rollback_or_none(self, alias: str) -> Target | None:
        try:
            return await self.rollback(alias)
        except RegistryError as error:
            if error.reason != "NOTHING_TO_ROLL_BACK":
                raise
            return None

    async def history(
        self, alias: str = "production", *, at_ms: int | None = None, limit: int = 99
    ) -> list[AliasMoved]:
        read = await self.store.read_history(self.namespace, NAME, alias, before=NEVER_MS, at_ms=at_ms, limit=limit)
        return read.value

    async def newest_ms(self) -> int:
        return (await self.history(limit=1))[0].time_ms

    async def marks(self, alias: str = "production") -> list[tuple[Target, bool, int]]:
        """Each change's target, whether it was a roll-back, and which release it undid; newest first."""
        return [(one.target, one.rollback, one.undoes) for one in await self.history(alias)]


def _options(request_id: str = "") -> WriteOptions:
    return WriteOptions(request_id=request_id or uuid.uuid4().hex)


@pytest.fixture
async def aliases(store: Store) -> Aliases:
    return await Aliases(store, f"rollback-{uuid.uuid4().hex[:12]}").begin()


async def test_a_roll_back_after_an_undo_does_not_bring_the_bad_version_back(aliases: Aliases) -> None:
    await aliases.set(1, 2)
    number = await aliases.release(production=3)
    undone = await aliases.undo(number)
    assert await aliases.live() == 2
    assert await aliases.rollback() == 1
    assert await aliases.marks() == [(1, True, 0), (2, False, number), (3, False, 0), (2, False, 0), (1, False, 0)]
    assert undone == number + 1


async def test_an_undo_abandons_all_that_became_live_since_its_release(aliases: Aliases) -> None:
    await aliases.set(4, 1)
    number = await aliases.release(production=3)
    await aliases.set(2, 3)
    await aliases.undo(number)
    assert (await aliases.live(), await aliases.goes_back_through()) == (1, [4])


async def test_an_undo_abandons_for_every_alias_of_its_release(aliases: Aliases) -> None:
    for alias in ALIASES:
        await aliases.set(1, 2, alias=alias)
    number = await aliases.release(production=3, staging=4)
    await aliases.undo(number)
    assert [await aliases.goes_back_through(alias) for alias in ALIASES] == [[1], [1]]


async def test_an_undo_that_is_refused_abandons_nothing(aliases: Aliases) -> None:
    for alias in ALIASES:
        await aliases.set(1, 2, alias=alias)
    number = await aliases.release(production=3, staging=4)
    await aliases.set(1, alias="staging")
    with pytest.raises(RegistryError, match="staging"):
        await aliases.undo(number)
    assert [await aliases.goes_back_through(alias) for alias in ALIASES] == [[2, 1], [4, 2]]


async def test_what_a_release_made_new_is_not_brought_back_after_its_undo(aliases: Aliases) -> None:
    number = await aliases.release(production=3)
    await aliases.undo(number)
    assert (await aliases.live(), await aliases.goes_back_through()) == (0, [])
    await aliases.set(2)
    await aliases.delete()
    number = await aliases.release(production=3)
    await aliases.undo(number)
    assert (await aliases.live(), await aliases.goes_back_through()) == (0, [2])


async def test_the_undo_of_a_removal_goes_on_from_what_was_there(aliases: Aliases) -> None:
    await aliases.set(1, 2)
    number = await aliases.release(production=None)
    await aliases.undo(number)
    assert (await aliases.live(), await aliases.goes_back_through()) == (2, [1])


async def test_to_undo_an_undo_abandons_nothing(aliases: Aliases) -> None:
    """Whoever takes an undo back says that what it left was good; what it had gone back to was not bad either."""
    await aliases.set(4, 1)
    number = await aliases.release(production=3)
    undone = await aliases.undo(number)
    again = await aliases.undo(undone)
    assert await aliases.live() == 3
    third = await aliases.undo(again)
    assert await aliases.live() == 1
    await aliases.undo(third)
    assert (await aliases.live(), await aliases.goes_back_through()) == (3, [1, 4])
    assert [undoes for _, _, undoes in (await aliases.marks())[2:6]] == [third, again, undone, number]


async def test_a_repeated_undo_and_roll_back_happen_once(aliases: Aliases) -> None:
    await aliases.set(1, 2, 4)
    number = await aliases.release(production=3)
    assert await aliases.undo(number, "once") == await aliases.undo(number, "once") == number + 1
    operation = RollbackAlias(name=NAME, alias="production")
    assert [await aliases.write(operation, "twice"), await aliases.write(operation, "twice")] == [2, 2]
    assert await aliases.goes_back_through() == [1]


async def test_what_was_rolled_back_does_not_come_back_by_an_older_entry(aliases: Aliases) -> None:
    await aliases.set(4, 3, 1, 3)
    assert await aliases.goes_back_through() == [1, 4]


async def test_what_is_set_anew_may_be_gone_back_to_again(aliases: Aliases) -> None:
    await aliases.set(1, 2, 3)
    assert await aliases.rollback() == 2
    await aliases.set(3, 4)
    assert await aliases.goes_back_through() == [3, 2, 1]


async def test_an_earlier_version_that_is_set_by_hand_is_a_move_like_others(aliases: Aliases) -> None:
    await aliases.set(1, 2, 1)
    assert await aliases.goes_back_through() == [2]
    await aliases.set(3, 3, 3)
    assert await aliases.goes_back_through() == [2]


async def test_a_roll_back_to_a_version_abandons_too(aliases: Aliases) -> None:
    await aliases.set(1, 2, 3, 4)
    assert await aliases.rollback(to=2) == 2
    assert await aliases.rollback(to=2) == 2
    assert [rollback for _, rollback, _ in await aliases.marks()] == [True, False, False, False, False]
    assert await aliases.goes_back_through() == [1]


async def test_a_roll_back_to_a_version_that_was_never_live(aliases: Aliases) -> None:
    await aliases.set(1, 2)
    assert await aliases.rollback(to=4) == 4
    assert await aliases.goes_back_through() == [1]
    with pytest.raises(RegistryError, match="no version 9"):
        await aliases.rollback(to=9)


async def test_a_roll_back_to_a_time_abandons_too(aliases: Aliases) -> None:
    await aliases.set(1, 2)
    then = await aliases.newest_ms()
    while await aliases.newest_ms() == then:  # the store's clock has a millisecond's grain
        await aliases.set(3)
    await aliases.set(4)
    assert await aliases.rollback(at_ms=then) in (2, 3)
    assert 4 not in await aliases.goes_back_through()


async def test_splits_are_gone_back_to_and_abandoned_like_versions(aliases: Aliases) -> None:
    await aliases.set(1, HALVES, MOSTLY)
    number = await aliases.release(production=2)
    await aliases.undo(number)
    assert await aliases.live() == MOSTLY
    assert await aliases.goes_back_through() == [HALVES, 1]
    await aliases.set(HALVES, 3)
    assert await aliases.rollback() == HALVES
    await aliases.delete()
    assert await aliases.rollback() == HALVES


async def test_a_version_that_takes_its_aliases_with_it_is_no_roll_back(aliases: Aliases) -> None:
    await aliases.set(1, 2)
    await aliases.write(DeleteVersion(name=NAME, version=2, drop_aliases=True))
    with pytest.raises(RegistryError, match=r"version 2 of .* is deleted"):
        await aliases.rollback()
    assert await aliases.rollback(to=1) == 1


async def test_only_so_many_states_are_kept_to_go_back_to(aliases: Aliases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROLLBACKS_MAX", 5)
    await aliases.set(4, *[1, 2, 3] * 5)
    assert await aliases.goes_back_through() == [2, 1]
    history = await aliases.marks()
    assert len(history) == 18, "and the history keeps everything"


async def test_a_time_is_found_in_a_long_history(aliases: Aliases) -> None:
    """Every moment of it, by what each entry says of its time."""
    await aliases.set(*(index % VERSIONS + 1 for index in range(300)))
    moves = await aliases.history(limit=1_000)
    assert len(moves) == 300
    for time_ms in {one.time_ms for one in moves}:
        then = next(one for one in moves if one.time_ms <= time_ms)
        assert (await aliases.history(at_ms=time_ms, limit=2))[0] == then
    assert await aliases.history(at_ms=moves[-1].time_ms - 1) == []


async def test_a_roll_back_does_no_more_work_in_a_longer_history(start_topology: Callable[[str], Topology]) -> None:
    """Counted as what the script reads: of a history of 1,500 moves no more than of one of 30, or hardly."""
    url = start_topology("valkey").url
    store = RedisStore(connect(StoreTarget.parse(url)), StoreInfo(url, "valkey", "none"))
    server = Redis.from_url(url)

    async def reads(moves: int, **options: Any) -> int:
        aliases = await Aliases(store, f"rollback-{uuid.uuid4().hex[:12]}").begin()
        await aliases.set(1, 2)
        then = await aliases.newest_ms()
        while await aliases.newest_ms() == then:
            await aliases.set(2)
        await aliases.set(*[3] * moves, 2, *[3] * moves)
        if "at_ms" in options:
            options["at_ms"] = then
        await server.config_resetstat()
        await aliases.rollback(**options)
        stats = await server.info("commandstats")
        return sum(int(stats[one]["calls"]) for one in stats if "range" in one)

    try:
        for options, more in (({}, 0), ({"to": 1}, 0), ({"at_ms": 0}, 12)):
            assert await reads(1_500, **options) <= await reads(30, **options) + more
    finally:
        await server.aclose()
        await store.close()


async def test_a_release_of_one_prompt_may_expect_its_etag(aliases: Aliases) -> None:
    await aliases.set(1)

    async def move(etag: int, *names: str) -> None:
        steps = [MoveStep(name=name, alias="staging", version=1) for name in names]
        options = WriteOptions(request_id=uuid.uuid4().hex, expected_etag=etag)
        await release(
            aliases.registry, namespace=aliases.namespace, title="x", steps=steps, dry_run=False, options=options
        )

    with pytest.raises(RegistryError, match="changed since it was read"):
        await move(VERSIONS, NAME)
    with pytest.raises(RegistryError, match="all of one prompt"):
        await move(VERSIONS + 1, NAME, "other")
    await move(VERSIONS + 1, NAME)
    assert await aliases.live("staging") == 1


# A model that knows all of history, as a tree: each state knows the one that it came after.


@dataclass
class State:
    target: Target
    under: "State | None"
    made: int
    abandoned: bool = False


@dataclass
class Model:
    """Says where a roll-back goes by walking down the tree. No bound, no stack, no store."""

    now: dict[str, State] = field(default_factory=lambda: {alias: State(0, None, 0) for alias in ALIASES})
    left: dict[str, list[tuple[Target, int]]] = field(default_factory=lambda: {alias: [] for alias in ALIASES})
    """What roll-backs and undos left, and when."""
    shunned: dict[str, set[Target]] = field(default_factory=lambda: {alias: set() for alias in ALIASES})
    """The same without the tree: what was left by going back and was not made live anew since."""
    clock: int = 0

    def move(self, alias: str, target: Target) -> None:
        self._put(alias, target, self.now[alias])

    def go_back(self, alias: str, to: State) -> None:
        """Lands where that state was: what came after it, up to what is live, is abandoned."""
        current: State | None = self.now[alias]
        if self.now[alias].target != to.target:
            self.left[alias].append((self.now[alias].target, self.clock))
            self.shunned[alias].add(self.now[alias].target)
        while current is not None and current is not to and current.made > to.made:
            current.abandoned = True
            current = current.under
        self._put(alias, to.target, to.under)

    def rollback(self, alias: str, to: Target | None) -> State | None:
        current = self.now[alias]
        state: State | None = current
        while state is not None:
            wanted = state.target == to if to else state.target not in (0, current.target)
            if wanted and not state.abandoned and not self._was_left_since(alias, state):
                return state
            state = state.under
        # Never live, or left: it takes the place of what is live.
        return State(to, self._under(current), self.clock) if to else None

    def _under(self, state: State) -> State | None:
        under = state.under
        while under is not None and under.target == state.target:
            under = under.under
        return under if state.target else state

    def _was_left_since(self, alias: str, state: State) -> bool:
        return any(target == state.target and when > state.made for target, when in self.left[alias])

    def _put(self, alias: str, target: Target, under: State | None) -> None:
        self.clock += 1
        self.shunned[alias].discard(target)
        self.now[alias] = State(target, under, self.clock)


@dataclass
class Undoable:
    before: dict[str, State]
    after: dict[str, Target]
    abandons: bool
    """Whether it was an undoing itself, so that to undo it is none."""
    undone: bool = False

    def is_possible(self, model: Model) -> bool:
        return not self.undone and all(model.now[alias].target == to for alias, to in self.after.items())


targets = st.sampled_from([1, 2, 3, 1, 2, 3, HALVES, MOSTLY])
one_alias = st.sampled_from(["production"] * 4 + ["staging"])
steps = st.one_of(
    st.tuples(st.just("set"), one_alias, targets),
    st.tuples(st.just("set"), one_alias, targets),
    st.tuples(st.just("set"), one_alias, targets),
    st.tuples(st.just("delete"), one_alias),
    st.tuples(
        st.just("release"),
        st.dictionaries(one_alias, st.sampled_from([1, 2, 3, None]), min_size=1),
    ),
    st.tuples(st.just("undo"), st.sampled_from([0, 0, 1, 2])),
    st.tuples(st.just("undo"), st.sampled_from([0, 0, 1, 2])),
    st.tuples(st.just("rollback"), one_alias, st.none()),
    st.tuples(st.just("rollback"), one_alias, st.none()),
    st.tuples(st.just("rollback"), one_alias, st.sampled_from([1, 2, 3])),
)
sequences = st.lists(steps, min_size=5, max_size=30)

ISSUE = [
    ("set", "production", 1),
    ("set", "production", 2),
    ("release", {"production": 3}),
    ("undo", 0),
    ("rollback", "production", None),
]


@settings(max_examples=300, deadline=None)
@given(sequence=sequences)
@example(sequence=ISSUE)
def test_roll_backs_in_memory_go_where_the_model_says(sequence: list[tuple[Any, ...]]) -> None:
    asyncio.run(_follow(MemoryStore(), sequence))


@pytest.mark.parametrize(
    "kind",
    [
        "valkey",
        pytest.param(
            "redis",
            marks=[
                pytest.mark.redis,
                pytest.mark.skipif(REDIS_SERVER is None, reason="needs Debian's redis-server package"),
            ],
        ),
    ],
)
@settings(max_examples=40, deadline=None)
@given(sequence=sequences)
@example(sequence=ISSUE)
def test_roll_backs_on_a_server_go_where_the_model_says(
    start_topology: Callable[[str], Topology], kind: str, sequence: list[tuple[Any, ...]]
) -> None:
    url = start_topology(kind).url
    asyncio.run(_follow(RedisStore(connect(StoreTarget.parse(url)), StoreInfo(url, kind, "none")), sequence))


async def _follow(store: Store, sequence: list[tuple[Any, ...]]) -> None:
    try:
        aliases, model = await Aliases(store, f"model-{next(_numbers)}").begin(), Model()
        releases: list[tuple[int, Undoable]] = []
        for step in sequence:
            await _take(step, aliases, model, releases)
            for alias in ALIASES:
                assert await aliases.live(alias) == model.now[alias].target, step
    finally:
        await store.close()


async def _take(step: tuple[Any, ...], aliases: Aliases, model: Model, releases: list[tuple[int, Undoable]]) -> None:
    match step:
        case ("set", alias, target):
            await aliases.set(target, alias=alias)
            model.move(alias, target)
        case ("delete", alias):
            if model.now[alias].target:
                await aliases.delete(alias)
                model.move(alias, 0)
        case ("release", moves):
            moves = {alias: to for alias, to in moves.items() if to or model.now[alias].target}
            if moves:
                before = {alias: model.now[alias] for alias in moves}
                for alias, to in moves.items():
                    model.move(alias, to or 0)
                after = {alias: to or 0 for alias, to in moves.items()}
                releases.append((await aliases.release(**moves), Undoable(before, after, abandons=False)))
        case ("undo", back):
            possible = [one for one in releases if one[1].is_possible(model)]
            for number, undoable in releases[-3:]:
                if not undoable.is_possible(model):
                    with pytest.raises(RegistryError):
                        await aliases.undo(number)
            if not possible:
                return
            number, undoable = possible[-1 - back % len(possible)]
            undoable.undone = True
            before = {alias: model.now[alias] for alias in undoable.before}
            for alias, state in undoable.before.items():
                if undoable.abandons:
                    model.move(alias, state.target)
                else:
                    model.go_back(alias, state)
            undone = Undoable(
                before, {alias: state.target for alias, state in undoable.before.items()}, not undoable.abandons
            )
            releases.append((await aliases.undo(number), undone))
        case ("rollback", alias, to):
            state = model.rollback(alias, to)
            if state is None:
                with pytest.raises(RegistryError, match="nothing to go back to"):
                    await aliases.rollback(alias)
            elif state.target == model.now[alias].target:
                assert await aliases.rollback(alias, to=to) == to
            else:
                gone = await aliases.rollback(alias, to=to)
                assert to or gone not in model.shunned[alias], "what was left since comes back"
                model.go_back(alias, state)
                assert gone == model.now[alias].target
