"""Loads that want more than a hit: strong, at least of a revision, at most so old; and clients that are strict."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import promptwire
from promptwire import Client, Revision
from promptwire._core.live import LiveTable
from promptwire.v1 import common_pb2
from tests.unit.client.fakes import FakeClock, FakeService, Registry, eventually, rpc_status
from tests.unit.client.test_live import LEASE, Bench, at


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target, timeout_seconds=2) as client:
        yield client


def followed(client: Client, service: FakeService) -> None:
    client.wait_for_ready(["a@production"])
    service.pushes = False
    service.calls.clear()


def test_a_strong_load_asks_the_store_each_time(client: Client, service: FakeService, registry: Registry) -> None:
    followed(client, service)
    registry.alias("a", "production", 2)
    assert client.load_prompt("a@production").version == 1, "nothing was pushed"
    assert client.load_prompt("a@production", consistency="strong").version == 2
    assert [one.read.consistency for one in service.asked("Resolve")] == [common_pb2.CONSISTENCY_STRONG]
    assert client.load_prompt("a@production").version == 2, "reads do not go back"


def test_a_strong_load_does_not_take_the_answer_to_an_earlier_question(
    client: Client, service: FakeService, registry: Registry
) -> None:
    strong = client.load_prompts(["a@production", "b@production"], consistency="strong")
    assert [prompt.version for prompt in strong] == [1, 1]
    registry.alias("a", "production", 2)
    strong = client.load_prompts(["a@production", "b@production"], consistency="strong")
    assert [prompt.version for prompt in strong] == [2, 1]


def test_a_strong_load_fails_rather_than_fall_back(client: Client, service: FakeService) -> None:
    followed(client, service)
    service.failures["Resolve"] = deque(
        [rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "it sleeps")] * 1000
    )
    with pytest.raises(promptwire.UnavailableError, match="it sleeps"):
        client.load_prompt("a@production", consistency="strong")
    assert client.load_prompt("a@production").version == 1


def test_a_strong_load_of_what_is_missing_says_so(client: Client) -> None:
    with pytest.raises(promptwire.PromptNotFoundError):
        client.load_prompt("nope", consistency="strong")
    with pytest.raises(promptwire.AliasNotFoundError):
        client.load_prompts(["a", "a@nope"], consistency="strong")


def test_a_load_of_a_revision_asks_only_if_it_has_not_come_that_far(
    client: Client, service: FakeService, registry: Registry
) -> None:
    followed(client, service)
    position = client.status().revision
    assert position is not None
    assert client.load_prompt("a@production", min_revision=position).version == 1
    assert not service.asked("Resolve")
    moved = registry.alias("a", "production", 2)
    prompt = client.load_prompt("a@production", min_revision=Revision(moved.epoch, moved.number))
    assert prompt.version == 2
    assert service.asked("Resolve")[-1].read.min_revision == moved
    assert client.load_prompt("a@production").version == 2


def test_a_load_of_a_revision_that_the_service_has_not_come_to_does_not_spoil_later_loads(
    client: Client, service: FakeService
) -> None:
    followed(client, service)
    with pytest.raises(promptwire.UnavailableError) as caught:
        client.load_prompt("a@production", min_revision=Revision("one", 10**6))
    assert caught.value.reason == "STORE_BEHIND"
    assert client.load_prompt("a@production").version == 1
    assert client.load_prompt("b@production").version == 1


def test_a_load_that_wants_fresh_news_asks_when_its_own_are_older(client: Client, service: FakeService) -> None:
    followed(client, service)
    assert client.load_prompt("a@production", max_staleness=60).version == 1
    assert not service.asked("Resolve")
    assert client.load_prompt("a@production", max_staleness=1e-6).age < 1
    assert client.load_prompt("a@production", max_staleness=0).version == 1
    assert [one.read.consistency for one in service.asked("Resolve")] == [common_pb2.CONSISTENCY_STRONG] * 2


def test_a_load_that_wants_fresh_news_fails_when_there_are_none(client: Client, service: FakeService) -> None:
    followed(client, service)
    service.failures["Resolve"] = deque([rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")] * 1000)
    with pytest.raises(promptwire.StaleError, match=r"over 0\.001 s"):
        client.load_prompt("a@production", max_staleness=0.001)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("consistency", {"consistency": "eventual"}),
        ("min_revision", {"min_revision": 7}),
        ("min_revision.number", {"min_revision": promptwire.Revision("e", -1)}),
        ("min_revision.number", {"min_revision": promptwire.Revision("e", 2**70)}),
        ("min_revision.epoch", {"min_revision": promptwire.Revision("\ud800", 1)}),
        ("max_staleness", {"max_staleness": -1}),
        ("max_staleness", {"max_staleness": "soon"}),
    ],
)
def test_what_cannot_be_wanted_is_refused_by_name(client: Client, field: str, given: dict[str, Any]) -> None:
    for load in (lambda: client.load_prompt("a", **given), lambda: client.load_prompts(["a"], **given)):
        with pytest.raises(promptwire.InvalidArgumentError) as caught:
            load()
        assert caught.value.violations[0][0] == field


def test_past_its_bound_the_last_known_good_is_not_served_any_more(target: str, service: FakeService) -> None:
    with Client(target, lease_seconds=0.2, renew_seconds=0.1, max_staleness_seconds=0.6) as client:
        client.wait_for_ready(["a@production"])
        service.bookmarks = False
        eventually(lambda: not client.status().entries)
        assert client.load_prompt("a@production").stale
        eventually(lambda: (client.status().age_seconds or 0) > 0.6)
        with pytest.raises(promptwire.StaleError, match=r"over 0\.6 s"):
            client.load_prompt("a@production")


def test_a_bound_below_the_lease_is_refused() -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="max_staleness_seconds: must be at least lease_seconds"):
        Client(max_staleness_seconds=1)


def test_a_strict_table_has_nothing_past_its_lease_though_its_thread_sleeps() -> None:
    clock = FakeClock()
    for strict in (False, True):
        bench = Bench()
        bench.clock, bench.table = clock, LiveTable(LEASE, clock, strict=strict)
        bench.follow(a=1)
        assert bench.table.entries["a@production"].version == 1
        clock.pass_(LEASE)
        if strict:
            with pytest.raises(KeyError):
                bench.table.entries["a@production"]
        else:
            assert bench.table.entries["a@production"].stale, "nobody has moved it aside yet"
        bench.table.bookmark(at(10), clock(), 2)
        assert bench.table.entries["a@production"].version == 1


def test_a_strict_client_loads_follows_and_misses_as_any(target: str, service: FakeService, registry: Registry) -> None:
    with Client(target, strict_lease=True) as client:
        client.wait_for_ready(["a@production"])
        registry.alias("a", "production", 2)
        eventually(lambda: client.load_prompt("a@production").version == 2)
        assert len(service.asked("Resolve")) == 1
        with pytest.raises(promptwire.PromptNotFoundError):
            client.load_prompt("nope")


def test_being_ready_is_being_vouched_for_by_pushes(client: Client, service: FakeService) -> None:
    client.wait_for_ready()
    assert client.status().fresh
    client.wait_for_ready(["a@production", "prompts:/b/2"])
    assert client.status().prompts == 2
    assert len(service.asked("BatchResolve")) == 1
    client.wait_for_ready(["a@production", "prompts:/b/2"])
    assert len(service.asked("BatchResolve")) == 1


def test_not_being_ready_in_time_names_what_is_not(client: Client, service: FakeService) -> None:
    service.bookmarks = False
    with pytest.raises(promptwire.UnavailableError, match=r"did not confirm a@production within 0\.3 s") as caught:
        client.wait_for_ready(["a@production"], timeout=0.3)
    assert caught.value.reason == "NOT_READY"
    with pytest.raises(promptwire.PromptNotFoundError):
        client.wait_for_ready(["nope"], timeout=0.3)
    with pytest.raises(promptwire.InvalidArgumentError, match="timeout"):
        client.wait_for_ready(timeout=-1)
