"""What every store must do with observations: add them up, once, by series, metric and hour."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from promptwire.domain import limits
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.metrics import Group, Observed, Series, Wanted, Why
from promptwire_service.domain.operations import DeleteVersion
from promptwire_service.domain.sketch import Sketch
from promptwire_service.storage.base import Store
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis import metrics
from tests.conformance.test_bounded_work import CountingStore
from tests.conformance.test_store import Namespace, refused
from tests.support.sketches import merged
from tests.support.topologies import Topology

HOUR = 500_000


@pytest.fixture
async def space(store: Store) -> Namespace:
    """With two versions of `greeting`."""
    space = Namespace(store, f"ns-{uuid.uuid4().hex[:12]}")
    await space.register()
    await space.register()
    return space


def sketch(*values: float) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(value)
    return made


def group(*values: float, version: int = 1, hour: int = HOUR, **series: str) -> Group:
    alias = series.pop("alias", "")
    return Group("greeting", Series(version, alias, tuple(sorted(series.items()))), hour, {"quality": sketch(*values)})


async def record(space: Namespace, *groups: Group, request_id: str = "") -> frozenset[int]:
    recorded = await space.store.record_metrics(space.namespace, groups, request_id or uuid.uuid4().hex)
    return frozenset(recorded.refused)


async def read(space: Namespace, first: int = 0, last: int = 10**9, **wanted: Any) -> list[Observed]:
    """All parts."""
    found: list[Observed] = []
    after: str | None = ""
    while after is not None:
        part = await space.store.read_metrics(space.namespace, "greeting", Wanted(first, last, **wanted), after=after)
        found += part.value.observed
        after = part.value.following or None
    return found


async def test_observations_add_up_whatever_the_batches(space: Namespace) -> None:
    draws = random.Random(7)
    values = [draws.uniform(-5, 1_000) for _ in range(300)]
    for start in range(0, 300, 60):
        await record(space, group(*values[start : start + 60]))
    (observed,) = await read(space)
    found, wanted = observed.sketch, sketch(*values)
    assert (found.count, found.least, found.greatest, found.buckets) == (
        300,
        wanted.least,
        wanted.greatest,
        wanted.buckets,
    )
    assert found.mean == pytest.approx(wanted.mean)
    assert found.standard_deviation == pytest.approx(wanted.standard_deviation)


async def test_series_hours_and_metrics_are_apart(space: Namespace) -> None:
    await record(
        space,
        group(1.0, alias="a"),
        group(2.0, alias="b"),
        group(3.0, alias="a", team="x"),
        group(4.0, version=2),
        group(5.0, hour=HOUR + 1),
    )
    found = {(one.series, one.hour): one.sketch.mean for one in await read(space)}
    assert found == {
        (Series(1, "a"), HOUR): 1.0,
        (Series(1, "b"), HOUR): 2.0,
        (Series(1, "a", (("team", "x"),)), HOUR): 3.0,
        (Series(2), HOUR): 4.0,
        (Series(1), HOUR + 1): 5.0,
    }
    assert [one.hour for one in await read(space, first=HOUR + 1)] == [HOUR + 1]
    assert len(await read(space, last=HOUR)) == 4


async def test_a_repeat_counts_once_and_another_batch_under_its_id_is_refused(space: Namespace) -> None:
    assert await record(space, group(1.0), group(2.0, version=9), request_id="once") == {1}
    assert await record(space, group(1.0), group(2.0, version=9), request_id="once") == {1}
    await refused(record(space, group(3.0), request_id="once"), "REQUEST_ID_REUSED")
    (observed,) = await read(space)
    assert observed.sketch.count == 1


async def test_a_repeat_in_another_hour_is_known_by_what_was_asked(space: Namespace) -> None:
    for hour in (HOUR, HOUR + 1):
        await space.store.record_metrics(space.namespace, [group(1.0, hour=hour)], "once", "the same")
    assert [one.hour for one in await read(space)] == [HOUR]
    with pytest.raises(RegistryError, match="different write"):
        await space.store.record_metrics(space.namespace, [group(1.0)], "once", "another")


async def test_what_is_not_there_is_refused_by_itself(space: Namespace) -> None:
    await space.write(DeleteVersion(name="greeting", version=2))
    nobody = Group("nobody", Series(1), HOUR, {"quality": sketch(1.0)})
    assert await record(space, nobody, group(1.0), group(1.0, version=2), group(1.0, version=3)) == {0, 2, 3}
    assert len(await read(space)) == 1


async def test_observations_are_no_changes(space: Namespace) -> None:
    before = await space.log()
    await record(space, group(1.0))
    assert await space.log() == before


async def test_many_hours_are_read_whole(space: Namespace) -> None:
    await record(space, *(group(float(hour), hour=HOUR + hour) for hour in range(120)))
    assert sorted(one.hour for one in await read(space)) == [HOUR + hour for hour in range(120)]


async def test_too_many_series_are_folded_into_one_of_each_version(
    space: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(space.store, MemoryStore):
        return  # which has room
    monkeypatch.setattr(limits, "METRIC_SERIES_MAX", 3)
    await record(space, *(group(1.0, user=str(user)) for user in range(10)))
    observed = await read(space)
    (folded,) = [one for one in observed if one.series.folded]
    assert (len(observed), folded.series.version, folded.sketch.count) == (4, 1, 7)
    assert merged(one.sketch for one in observed).count == 10


async def test_past_as_many_folded_series_a_version_is_refused(
    space: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(space.store, MemoryStore):
        return  # which has room
    monkeypatch.setattr(limits, "METRIC_SERIES_MAX", 2)
    for _ in range(3):
        await space.register()
    assert await record(space, *(group(1.0, version=version) for version in range(1, 6))) == {4}
    assert {one.series.folded for one in await read(space)} == {False, True}
    assert await record(space, group(1.0, version=3, team="x"), group(1.0, version=5)) == {1}


def named(*metrics: str, version: int = 1, hour: int = HOUR) -> Group:
    return Group("greeting", Series(version), hour, {metric: sketch(1.0) for metric in metrics})


async def test_more_names_of_metrics_than_a_prompt_may_have_are_refused_and_the_others_go_on(
    space: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METRIC_NAMES_MAX", 3)
    assert await record(space, named("a", "b"), named("c"), named("d"), named("a", "e"), named("b", "c")) == {2, 3}
    assert await record(space, named("a", "b", "c", "d"), named("c", version=2)) == {0}
    recorded = await space.store.record_metrics(space.namespace, [named("f")], uuid.uuid4().hex)
    assert [(one.why, one.count) for one in recorded.refused.values()] == [(Why.NAMES, 3)]
    found = {(one.series.version, one.metric): one.sketch.count for one in await read(space)}
    assert found == {(1, "a"): 1, (1, "b"): 2, (1, "c"): 2, (2, "c"): 1}


async def test_a_name_that_nothing_is_left_of_makes_room(space: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(space.store, MemoryStore):
        return  # which keeps everything
    monkeypatch.setattr(limits, "METRIC_NAMES_MAX", 2)
    later = HOUR + metrics.RETENTION_SECONDS // 3_600 + 1
    assert await record(space, named("a"), named("b", hour=HOUR + 9), named("c", hour=HOUR + 9)) == {2}
    assert await record(space, named("c", hour=later), named("d", hour=later)) == {1}


async def test_only_what_is_wanted_is_read(space: Namespace) -> None:
    await record(
        space, *(named("a", "ab", "b", version=version, hour=HOUR + hour) for version in (1, 2) for hour in (0, 1))
    )

    async def found(**wanted: Any) -> list[tuple[int, str, int]]:
        return sorted((one.series.version, one.metric, one.hour - HOUR) for one in await read(space, **wanted))

    assert len(await found()) == 12
    assert await found(metrics=frozenset({"a"}), versions=frozenset({1})) == [(1, "a", 0), (1, "a", 1)]
    assert await found(metrics=frozenset({"a", "b"}), versions=frozenset({2}), first=HOUR + 1) == [
        (2, "a", 1),
        (2, "b", 1),
    ]
    assert await found(metrics=frozenset({"ab"}), last=HOUR) == [(1, "ab", 0), (2, "ab", 0)]
    assert len(await found(versions=frozenset({2}))) == 6
    many = frozenset(range(1, 500))
    assert await found(metrics=frozenset({"a"}), versions=many, last=HOUR) == [(1, "a", 0), (2, "a", 0)]
    assert await found(metrics=frozenset({"nothing"})) == []


async def test_a_question_reads_what_it_asks_for_and_no_more_at_a_time(
    start_topology: Callable[[str], Topology], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted: commands of each script, with ten times as many other metrics, and ten times as many hours."""
    store = CountingStore(start_topology("valkey").nodes[0])
    costs = []
    for others, hours in ((10, 3), (100, 3), (10, 30)):
        space = Namespace(store, f"ns-{uuid.uuid4().hex[:12]}")
        await space.register()
        names = ["quality", *(f"other-{number}" for number in range(others))]
        for hour in range(HOUR, HOUR + hours):
            for first in range(0, len(names), 50):
                await record(space, named(*names[first : first + 50], hour=hour))
        costs.append(await store.counted(read(space, metrics=frozenset({"quality"}), versions=frozenset({1}))))
    assert costs[0] == costs[1]
    assert len(costs[2]) == 1  # 30 small sketches are within what one script looks at
    monkeypatch.setattr(metrics, "LOOKS_AT_ONCE", 20)
    parts = await store.counted(read(space, metrics=frozenset({"quality"}), versions=frozenset({1})))
    assert len(parts) > 5
    assert max(parts) < 20
    await store.close()


async def test_recording_costs_the_same_whatever_was_recorded(start_topology: Callable[[str], Topology]) -> None:
    store = CountingStore(start_topology("valkey").nodes[0])
    space = Namespace(store, f"ns-{uuid.uuid4().hex[:12]}")
    await space.register()

    async def cost(*metrics: str) -> int:
        (commands,) = await store.counted(record(space, named(*metrics)))
        return commands

    first = await cost("quality", "cost")
    for number in range(150):
        await record(space, named(f"m{number}"), group(float(number), team=str(number)))
    assert await cost("quality", "cost") <= first
    assert await cost(*(f"m{number}" for number in range(50))) < 10 * 50
    await store.close()


@pytest.mark.parametrize("budget", [1, 7, 50, 10_000])
async def test_parts_lose_and_repeat_nothing(space: Namespace, monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    monkeypatch.setattr(metrics, "LOOKS_AT_ONCE", budget)
    groups = [named("a", "b", version=version, hour=HOUR + 7 * hour) for version in (1, 2) for hour in range(110)]
    for first in range(0, len(groups), 50):
        await record(space, *groups[first : first + 50])
    for wanted in ({}, {"metrics": frozenset({"b", "a"})}, {"metrics": frozenset({"b"}), "versions": frozenset({2})}):
        found = [(one.hour, one.metric, one.series.version) for one in await read(space, **wanted)]
        assert len(found) == len(set(found)) == 110 * (1 if "versions" in wanted else 4)
        assert [hour for hour, _, _ in found] == sorted(hour for hour, _, _ in found)
