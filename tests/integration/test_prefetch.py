"""What goes over the wire while a client gets its prompts: each body once, in messages that every client takes."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

import promptwire
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.support.proxy import Proxy
from tests.support.service import ServiceProcess, running_service
from tests.unit.client.fakes import eventually

SECONDS = 60.0


@contextmanager
def counted(service: ServiceProcess, namespace: str) -> Iterator[tuple[promptwire.Client, Proxy]]:
    """A client whose bytes are counted."""
    proxy = Proxy("127.0.0.1", service.port)
    try:
        with promptwire.Client(proxy.address, namespace=namespace, timeout_seconds=SECONDS) as client:
            yield client, proxy
    finally:
        proxy.close()


def body(size_bytes: int) -> str:
    return random.Random(size_bytes).randbytes(size_bytes // 2).hex()


def test_a_client_that_prefetches_gets_each_body_once(
    service: ServiceProcess, client: promptwire.Client, namespace: str
) -> None:
    names = [f"p{index:03}x" for index in range(200)]
    for name in names:
        client.register_prompt(name, body(10_000))
    with counted(service, namespace) as (agent, proxy):
        agent.wait_for_ready(names)
        assert 1.0 < proxy.bytes_to_client / (len(names) * 10_000) < 1.15
        before = proxy.bytes_to_client
        proxy.drop()
        eventually(lambda: agent.status().reconnects and agent.status().connected)
        agent.wait_for_ready(names)
        assert proxy.bytes_to_client - before < 100_000


def test_following_one_more_version_costs_that_one(
    service: ServiceProcess, client: promptwire.Client, namespace: str
) -> None:
    for _ in range(60):
        client.register_prompt("p", body(20_000))
    with counted(service, namespace) as (agent, proxy):
        for number in range(1, 61):
            agent.wait_for_ready([f"p/{number}"])
        assert 1.0 < proxy.bytes_to_client / (60 * 20_000) < 1.2


def test_bodies_are_not_sent_again_when_the_store_was_restarted(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its history gets another epoch then, and every stream starts over."""
    names = [f"p{index:02}x" for index in range(50)]
    with running_service(tmp_path_factory.mktemp("restarted") / "data") as service:
        with promptwire.Client(service.target) as client:
            for name in names:
                client.register_prompt(name, body(10_000))
        with counted(service, "default") as (agent, proxy):
            agent.wait_for_ready(names)
            before, at = proxy.bytes_to_client, agent.status().revision
            assert at is not None
            service.kill_store()
            eventually(lambda: (now := agent.status().revision) is not None and now.epoch != at.epoch)
            agent.wait_for_ready(names)
            assert proxy.bytes_to_client - before < 200_000
            assert agent.load_prompt(names[0]).template == body(10_000)


def test_more_than_a_message_holds_is_loaded_at_once(
    service: ServiceProcess, client: promptwire.Client, namespace: str
) -> None:
    texts = {f"p{index:02}x": f"{index} " + "é" * 450_000 for index in range(12)}
    for name, text in texts.items():
        client.register_prompt(name, text)
    with promptwire.Client(service.target, namespace=namespace, timeout_seconds=SECONDS) as agent:
        assert {one.name: one.template for one in agent.load_prompts(list(texts))} == texts
    with promptwire.Client(service.target, namespace=namespace, timeout_seconds=SECONDS) as agent:
        agent.wait_for_ready(list(texts))
        config = agent.load_config({"prompts": {name: name for name in texts}})
        assert {key: config[key].current.template for key in texts} == texts


def test_a_batch_is_answered_in_part_and_the_rest_is_asked_for(
    stub: PromptServiceStub, client: promptwire.Client, namespace: str
) -> None:
    names = [f"p{index}x" for index in range(6)]
    for name in names:
        client.register_prompt(name, "x" * 1_000_000)
    request = pb.BatchResolveRequest(namespace=namespace, references=["nobody", *names])
    answer = stub.BatchResolve(request)
    assert [one.reference for one in answer.outcomes] == ["nobody", *names[:4]]
    held = [one.version.token for one in answer.outcomes if one.HasField("version")]
    request.held.extend(held)
    whole = stub.BatchResolve(request)
    assert [one.held for one in whole.outcomes] == [False, *[True] * 4, *[False] * 2]
    assert [len(one.version.content.text) for one in whole.outcomes] == [0] * 5 + [1_000_000] * 2
    assert [one.version.token for one in whole.outcomes][1:5] == held


def test_one_prompt_with_many_large_versions_travels_in_parts(
    channel: grpc.Channel, client: promptwire.Client, namespace: str
) -> None:
    tags = {f"t{index}": "é" * 60_000 for index in range(2)}
    for index in range(8):
        client.register_prompt("p", f"{index} " + "x" * 1_000_000, tags=tags)
    client.set_prompt_tags("p", tags)
    subscription = pb.Subscription(name="p", versions=range(1, 9))
    hello = pb.WatchRequest(hello=pb.WatchHello(namespace=namespace, subscriptions=[subscription]))
    # The requests end at once: what was asked for is sent all the same.
    parts = [answer.update for answer in PromptServiceStub(channel).Watch(iter([hello]), timeout=SECONDS)]
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    states = [state for part in parts for state in part.states]
    assert [state.continues for state in states] == [False, *[True] * (len(states) - 1)]
    assert [version.version for state in states for version in state.versions] == list(range(1, 9))
    assert len({part.revision.number for part in parts}) == 1
    assert dict(states[0].prompt.tags) == tags


def test_pages_are_cut_by_bytes(stub: PromptServiceStub, client: promptwire.Client, namespace: str) -> None:
    tags = {f"t{index}": "é" * 60_000 for index in range(2)}
    for index in range(20):
        client.register_prompt(f"p{index:02}x", "x" * 300_000, tags=tags)
        client.set_prompt_tags(f"p{index:02}x", tags)
        client.register_prompt("many", f"{index} " + "x" * 300_000)
    for number in range(1, 400):
        client.set_prompt_alias("many", "production", 1 + number % 2, reason="é" * 5_000)
    assert len(list(client.list_prompts("p"))) == 20
    assert len(list(client.list_prompt_versions("many"))) == 20
    assert len(list(client.search_prompts())) == 40
    assert len(list(client.prompt_alias_history("many", "production"))) == 399
    answers = (
        stub.ListPrompts(pb.ListPromptsRequest(namespace=namespace, page_size=1_000)),
        stub.ListPromptVersions(pb.ListPromptVersionsRequest(namespace=namespace, name="many", page_size=1_000)),
        stub.SearchVersions(pb.SearchVersionsRequest(namespace=namespace, page_size=1_000)),
        stub.SearchPrompts(pb.SearchPromptsRequest(namespace=namespace, page_size=1_000)),
        stub.ListAudit(pb.ListAuditRequest(namespace=namespace, page_size=1_000)),
        stub.ListAliasHistory(
            pb.ListAliasHistoryRequest(namespace=namespace, name="many", alias="production", page_size=1_000)
        ),
    )
    assert all(answer.next_page_token for answer in answers)
    assert all(answer.ByteSize() < 4 << 20 for answer in answers)


@pytest.fixture
def stub(channel: grpc.Channel) -> PromptServiceStub:
    return PromptServiceStub(channel)
