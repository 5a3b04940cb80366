"""Observations go to the store in parts that a repeat finds again, and questions are bounded in all."""

from types import SimpleNamespace
from typing import Any

import pytest

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire_service.commands import log_metrics as logging
from promptwire_service.commands import query_metrics as querying
from promptwire_service.commands.log_metrics import Observation, log_metrics
from promptwire_service.commands.query_metrics import Summaries, query_metrics
from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.domain.metrics import Group, Recorded
from promptwire_service.domain.operations import Register, Write
from promptwire_service.storage.memory import MemoryStore

NS = "default"


class Flaky(MemoryStore):
    """Notes each part that is recorded; `fails` says which ones are not taken the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, int]] = []
        self.fails: set[int] = set()

    async def record_metrics(self, namespace: str, groups: Any, request_id: str, asked: str = "") -> Recorded:
        number = len(self.parts)
        if number in self.fails:
            self.fails.remove(number)
            raise store_unavailable("a test says so")
        self.parts.append((request_id, sum(len(group.sketches) for group in _groups(groups))))
        return await super().record_metrics(namespace, groups, request_id, asked)


def _groups(groups: Any) -> list[Group]:
    return list(groups)


@pytest.fixture
async def registry() -> Any:
    """With three versions of `p`."""
    store = Flaky()
    content = Content("hello")
    for number in range(3):
        register = Register(name="p", content=content, digest=content.digest, commit_message="", tags={})
        await store.write(NS, Write(operations=(register,), request_id=f"r{number}", actor="ana"))
    return SimpleNamespace(store=store)


def observed(*metrics: str, version: int = 1, value: float = 1.0) -> Observation:
    return Observation("p", version, "", dict.fromkeys(metrics, value), {}, 0.0)


async def log(registry: Any, *observations: Observation, request_id: str = "id") -> dict[int, RegistryError]:
    return await log_metrics(registry, namespace=NS, observations=observations, request_id=request_id)


async def query(registry: Any, **options: Any) -> Summaries:
    given: dict[str, Any] = {
        "metrics": (),
        "versions": (),
        "alias": None,
        "since_ms": None,
        "until_ms": None,
        "tags": {},
    }
    return await query_metrics(registry, namespace=NS, name="p", **(given | options))


async def test_a_batch_is_recorded_in_parts_and_a_repeat_counts_each_once(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "VALUES_AT_ONCE", 4)
    batch = [observed("a", "b", value=float(number)) for number in range(5)]
    registry.store.fails = {1}
    with pytest.raises(RegistryError, match="not available"):
        await log(registry, *batch)
    assert await log(registry, *batch) == {}
    assert [request_id for request_id, _ in registry.store.parts] == ["id", "id", "id#1", "id#2"]
    assert all(values <= 4 for _, values in registry.store.parts)
    assert [one.count for one in (await query(registry)).summaries] == [5, 5]
    with pytest.raises(RegistryError, match="different write"):
        await log(registry, *batch[::-1])


async def test_an_observation_with_a_name_too_many_is_refused_by_itself(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METRIC_NAMES_MAX", 2)
    refused = await log(registry, observed("a"), observed("a", "b"), observed("a", "c"), observed("a", version=9))
    assert refused.keys() == {2, 3}
    assert "limit of 2 names" in refused[2].message
    assert "it has 2" in refused[2].message
    assert refused[3].reason == "VERSION_NOT_FOUND"
    assert [(one.metric, one.count) for one in (await query(registry)).summaries] == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(("bound", "most"), [("READ_MAX", 30), ("HELD_MAX", 4), ("SUMMARIES_MAX", 4)])
async def test_a_question_that_covers_too_much_is_refused_and_a_narrower_one_answered(
    registry: Any, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    for number in range(6):
        await log(registry, observed("a", "b", version=number % 3 + 1, value=10.0**number), request_id=f"b{number}")
    monkeypatch.setattr(querying, bound, most)
    with pytest.raises(RegistryError) as refused:
        await query(registry)
    assert refused.value.reason == "QUERY_TOO_LARGE"
    found = await query(registry, metrics=["a"], versions=[1])
    assert [(one.version, one.metric, one.count) for one in found.summaries] == [(1, "a", 2)]
