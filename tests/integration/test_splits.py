"""Split aliases through a real service: agents decide for themselves, always alike, and follow new weights."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

import promptwire
from promptwire.domain.splits import reweighted
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess, running_service

KEYS = [f"user-{number}" for number in range(300)]
REF = "prompts:/greeting@production"


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.002)


@pytest.fixture
def split(client: promptwire.Client) -> promptwire.Client:
    """`production` of `greeting` is version 1 for half of all keys and version 2 for the others."""
    for text in ("one", "two", "three"):
        client.register_prompt("greeting", text)
    client.set_prompt_alias("greeting", "production", 1)
    client.set_prompt_alias_split("greeting", "production", {1: 50, 2: 50}, salt="s")
    return client


def versions(client: promptwire.Client) -> list[int]:
    return [client.load_prompt(REF, key=key).version for key in KEYS]


def test_every_client_and_the_service_give_a_key_the_same_version(
    split: promptwire.Client, service: ServiceProcess, namespace: str, channel: grpc.Channel
) -> None:
    found = versions(split)
    assert 100 < Counter(found)[1] < 200
    assert versions(split) == found
    with promptwire.Client(service.target, namespace=namespace) as other:
        assert versions(other) == found
        assert [one.version for one in other.load_prompts([REF, "greeting/3"], key=KEYS[0])] == [found[0], 3]
        strong = [other.load_prompt(REF, consistency="strong", key=key).version for key in KEYS[:20]]
        assert strong == found[:20]
    stub = pb_grpc.PromptServiceStub(channel)
    asked = [stub.Resolve(pb.ResolveRequest(namespace=namespace, reference=REF, key=key)) for key in KEYS[:20]]
    assert [one.version.version for one in asked] == found[:20]
    batch = pb.BatchResolveRequest(namespace=namespace, references=[REF], key=KEYS[0])
    assert stub.BatchResolve(batch).outcomes[0].version.version == found[0]


def test_a_load_by_key_calls_nobody_and_a_service_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service, promptwire.Client(service.target) as client:
        for text in ("one", "two", "three"):
            client.register_prompt("greeting", text)
        client.set_prompt_alias_split("greeting", "production", {1: 1, 2: 1})
        with promptwire.Client(service.target, snapshot_dir=tmp_path / "known") as agent:
            agent.wait_for_ready([REF])
            client.set_prompt_alias_split("greeting", "production", {1: 1, 2: 1, 3: 1})
            until(lambda: set(versions(agent)) == {1, 2, 3}, "the third version is pushed")
            found = versions(agent)
            assert agent.load_prompt(REF, key="x").aliases == ("production",)
            service.kill()
            assert versions(agent) == found
        with promptwire.Client(service.target, snapshot_dir=tmp_path / "known") as later:
            assert versions(later) == found
            assert later.load_prompt(REF, key=KEYS[0]).stale


def test_new_weights_reach_agents_and_move_only_who_has_to(
    split: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    with promptwire.Client(service.target, namespace=namespace) as agent:
        before = versions(agent)
        change = split.set_prompt_alias_split("greeting", "production", {1: 20, 2: 80}, wait_for_agents=10)
        assert change.split is not None
        assert change.previous_split is not None
        assert (change.split.weights(), change.split.salt) == ({1: 2_000, 2: 8_000}, "s")
        until(lambda: versions(agent) == versions(split), "the agent follows")
        after = versions(agent)
        assert {(old, new) for old, new in zip(before, after, strict=True) if old != new} == {(1, 2)}
        split.set_prompt_alias("greeting", "production", 3)
        until(lambda: set(versions(agent)) == {3}, "the split is over")
        split.rollback_prompt_alias("greeting", "production")
        until(lambda: versions(agent) == after, "the split is back")
    moves = list(split.prompt_alias_history("greeting", "production"))
    assert (moves[0].split, moves[0].rollback, moves[0].previous_version) == (change.split, True, 3)
    assert split.get_prompt("greeting").splits == {"production": change.split}


def test_a_split_that_ends_between_the_two_reads_of_a_load_is_asked_for_again(
    split: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    with promptwire.Client(service.target, namespace=namespace) as agent:
        pick, ended = agent._core._pick, list[promptwire.AliasChange]()

        def late(*arguments: Any, **options: Any) -> Any:
            if not ended:
                ended.append(split.set_prompt_alias("greeting", "production", 3))
            return pick(*arguments, **options)

        agent._core._pick = late  # type: ignore[method-assign]
        loaded = agent.load_prompt(REF, key="ana")
        assert (loaded.version, loaded.aliases) == (3, ("production",))


def test_every_answer_to_a_move_says_that_it_ended_a_split(split: promptwire.Client) -> None:
    """And what brings one back says so: nothing there would be told as nothing."""
    held = split.get_prompt("greeting").splits["production"]
    move = promptwire.Move(name="greeting", alias="production", version=2)
    for end in (
        lambda: split.set_prompt_alias("greeting", "production", 1),
        lambda: split.delete_prompt_alias("greeting", "production"),
        lambda: split.release("to 2", [move]).effects[0],
    ):
        ended = end()
        assert (ended.previous_version, ended.previous_split) == (None, held)
        assert split.rollback_prompt_alias("greeting", "production").split == held
    released = split.release("to 2", [move])
    (back,) = split.undo_release(released.number).effects
    assert (back.version, back.split, back.previous_version) == (None, held, 2)


def test_without_a_key_each_load_draws(split: promptwire.Client) -> None:
    drawn = Counter(split.load_prompt(REF).version for _ in range(400))
    assert drawn.keys() == {1, 2}
    assert drawn.total() == 400
    assert split.load_prompt("greeting/3", key="anything").version == 3


def test_exposures_are_told_and_their_errors_are_not_the_agents(
    split: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    told: list[promptwire.Exposure] = []
    with promptwire.Client(service.target, namespace=namespace, on_exposure=told.append) as agent:
        first, second = agent.load_prompt(REF, key="ana"), agent.load_prompt(REF, key="ana")
        agent.load_prompt("greeting/1")
    assert first == second
    assert [(one.reference, one.alias, one.version, one.key) for one in told] == [
        (REF, "production", first.version, "ana")
    ] * 2

    def fail(_: promptwire.Exposure) -> None:
        raise RuntimeError("analytics is away")

    with promptwire.Client(service.target, namespace=namespace, on_exposure=fail) as agent:
        assert agent.load_prompt(REF, key="ana").version == first.version


def test_what_cannot_be_split_or_held_is_refused(split: promptwire.Client) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="is split"):
        split.handle(REF)
    for weights in ({}, {1: 0}, {1: -1.0}, {"1": 1}, {1: "x"}, [1, 2]):
        with pytest.raises(promptwire.InvalidArgumentError, match="weights"):
            split.set_prompt_alias_split("greeting", "production", weights)  # type: ignore[arg-type]
    with pytest.raises(promptwire.VersionNotFoundError):
        split.set_prompt_alias_split("greeting", "production", {1: 1, 9: 1})
    with pytest.raises(promptwire.PromptNotFoundError):
        split.set_prompt_alias_split("nobody", "production", {1: 1})
    with pytest.raises(promptwire.ConflictError, match="split of 50 % 1, 50 % 2"):
        split.set_prompt_alias_split("greeting", "production", {1: 1}, expected_version=1)
    with pytest.raises(promptwire.ConflictError, match="production"):
        split.delete_prompt_version("greeting", 2)
    with pytest.raises(promptwire.InvalidArgumentError, match="key"):
        split.load_prompt(REF, key=7)  # type: ignore[arg-type]


def test_writers_that_race_each_build_on_the_other(split: promptwire.Client) -> None:
    """Whoever comes second reweights what the first one left: no bucket moves that need not."""
    weights = [{1: 50 - step, 2: 50 + step} for step in range(1, 9)]
    threads = [
        threading.Thread(target=split.set_prompt_alias_split, args=("greeting", "production", one)) for one in weights
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = list(split.prompt_alias_history("greeting", "production"))[:8]
    for move, before in pairwise(moves):
        assert move.split is not None
        assert move.previous_split == before.split is not None
        assert reweighted(move.previous_split, move.split.weights(), "s") == move.split


def test_a_repeated_request_gets_its_first_answer(
    split: promptwire.Client, namespace: str, channel: grpc.Channel
) -> None:
    stub = pb_grpc.PromptServiceStub(channel)
    request = pb.SetAliasSplitRequest(namespace=namespace, name="greeting", alias="new", weights={1: 1, 2: 3})
    request.write.request_id = "once"
    first = stub.SetAliasSplit(request)
    split.set_prompt_alias("greeting", "new", 3)
    assert stub.SetAliasSplit(request) == first
    assert split.get_prompt("greeting").aliases == {"new": 3}


async def test_the_same_from_asyncio(split: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        found = [(await client.load_prompt(REF, key=key)).version for key in KEYS]
        assert found == versions(split)
        change = await client.set_prompt_alias_split("greeting", "production", {2: 1})
        assert change.split is not None
        assert {(await client.load_prompt(REF, key=key)).version for key in KEYS[:20]} == {2}
