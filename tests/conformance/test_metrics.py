"""What every store must do with observations: add them up, once, by series, metric and hour."""

import random
import uuid

import pytest

from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.metrics import Group, Observed, Series
from promptwire_service.domain.operations import DeleteVersion
from promptwire_service.domain.sketch import Sketch, merged
from promptwire_service.storage.base import Store
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis import metrics
from tests.conformance.test_store import Namespace, refused

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
    return recorded.refused


async def read(space: Namespace, first: int = 0, last: int = 10**9) -> list[Observed]:
    return (await space.store.read_metrics(space.namespace, "greeting", first_hour=first, last_hour=last)).value


async def test_observations_add_up_whatever_the_batches(space: Namespace) -> None:
    draws = random.Random(7)
    values = [draws.uniform(-5, 1_000) for _ in range(300)]
    for start in range(0, 300, 60):
        await record(space, group(*values[start : start + 60]))
    (observed,) = await read(space)
    found, wanted = observed.sketches["quality"], sketch(*values)
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
    found = {(one.series, one.hour): one.sketches["quality"].mean for one in await read(space)}
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
    assert observed.sketches["quality"].count == 1


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
    monkeypatch.setattr(metrics, "SERIES_MAX", 3)
    await record(space, *(group(1.0, user=str(user)) for user in range(10)))
    observed = await read(space)
    (folded,) = [one for one in observed if one.series.folded]
    assert (len(observed), folded.series.version, folded.sketches["quality"].count) == (4, 1, 7)
    assert merged(one.sketches["quality"] for one in observed).count == 10
