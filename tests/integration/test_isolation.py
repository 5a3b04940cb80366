"""G11, isolation: while one client attacks the service, another one reads, writes and follows a flip.

Each attack is small for its sender, and goes on until the other client has made its rounds. The bound that the other
client is promised is its deadline here, which is generous: what held everybody up once took longer than that.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest

import promptwire
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import metrics_service_pb2 as metrics_pb
from promptwire.v1 import metrics_service_pb2_grpc as metrics_grpc
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess

DEADLINE_SECONDS = 20.0
"""How long one call of the other client may take, in seconds. The machine may be busy."""
ROUNDS = 3
ATTACKERS = 4
ATTACKED = "attacked"

Attack = Callable[[grpc.Channel, int], object]
"""One request of an attacker on its channel; the number differs each time."""


def search(channel: grpc.Channel, number: int) -> object:
    """A pattern whose matching takes text x pattern."""
    request = pb.SearchVersionsRequest(namespace=ATTACKED, filter=f"template LIKE '%_{'a' * 4_000}b%'")
    return pb_grpc.PromptServiceStub(channel).SearchVersions(request, timeout=DEADLINE_SECONDS)


def sort(channel: grpc.Channel, number: int) -> object:
    """Another order each time, so that no list that was kept serves it."""
    request = pb.SearchVersionsRequest(namespace=ATTACKED, order_by=[f"tags.t{number} DESC", "template"])
    return pb_grpc.PromptServiceStub(channel).SearchVersions(request, timeout=DEADLINE_SECONDS)


def count(channel: grpc.Channel, number: int) -> object:
    """Megabytes of entries in fields that take a few."""
    stub = pb_grpc.PromptServiceStub(channel)
    match number % 4:
        case 0:
            return stub.SearchVersions(pb.SearchVersionsRequest(order_by=["version"] * 40_000))
        case 1:
            return next(stub.StreamChanges(pb.StreamChangesRequest(names=["p"] * 200_000)))
        case 2:
            query = metrics_pb.QueryMetricsRequest(name="p", versions=range(1, 500_000))
            return metrics_grpc.MetricsServiceStub(channel).QueryMetrics(query)
    subscription = pb.Subscription(name="p", versions=range(1, 500_000))
    hello = pb.WatchRequest(hello=pb.WatchHello(client_id="a", subscriptions=[subscription]))
    return next(stub.Watch(iter([hello])))


def compile_templates(channel: grpc.Channel, number: int) -> object:
    """Jinja2 with as many nodes as fit."""
    content = common.Content(text="{{ x }}{% if y %}{{ z }}{% endif %}" * 3_000, syntax=common.TEMPLATE_SYNTAX_JINJA2)
    write = common.WriteOptions(request_id=f"jinja-{number}")
    request = pb.RegisterPromptRequest(namespace=ATTACKED, name="jinja", content=content, write=write)
    return pb_grpc.PromptServiceStub(channel).RegisterPrompt(request, timeout=DEADLINE_SECONDS)


def compare(channel: grpc.Channel, number: int) -> object:
    """Two versions whose lines all differ, in many parts."""
    request = pb.DiffVersionsRequest(namespace=ATTACKED, name="lines", before="1", after="2")
    return pb_grpc.PromptServiceStub(channel).DiffVersions(request, timeout=DEADLINE_SECONDS)


def make_up_namespaces(channel: grpc.Channel, number: int) -> object:
    request = pb.ResolveRequest(namespace=f"made-up-{number}", reference="p")
    request.read.consistency = common.CONSISTENCY_STRONG
    return pb_grpc.PromptServiceStub(channel).Resolve(request, timeout=DEADLINE_SECONDS)


def delete(channel: grpc.Channel, number: int) -> object:
    """A prompt of many versions, again and again."""
    stub, write = pb_grpc.PromptServiceStub(channel), common.WriteOptions(request_id=f"delete-{number}")
    if number % 2:
        return stub.UndeletePrompt(pb.UndeletePromptRequest(namespace=ATTACKED, name="many", write=write))
    return stub.DeletePrompt(pb.DeletePromptRequest(namespace=ATTACKED, name="many", write=write))


def flood(channel: grpc.Channel, number: int) -> object:
    """Five hundred calls at once, from each attacker."""
    stub = pb_grpc.PromptServiceStub(channel)
    request = pb.ResolveRequest(namespace=ATTACKED, reference="lines/1")
    calls = [stub.Resolve.future(request, timeout=DEADLINE_SECONDS) for _ in range(500)]
    return [call.exception() for call in calls]


def inflate(channel: grpc.Channel, number: int) -> object:
    """Zeros, which are small when compressed."""
    content = common.Content(text="0" * (60 << 20))
    request = pb.RegisterPromptRequest(namespace=ATTACKED, name="zeros", content=content)
    stub = pb_grpc.PromptServiceStub(channel)
    return stub.RegisterPrompt(request, compression=grpc.Compression.Gzip, timeout=DEADLINE_SECONDS)


def follow_large(channel: grpc.Channel, number: int) -> object:
    """A first state of many large bodies, of which one message is read."""
    subscription = pb.Subscription(name="large", versions=range(1, 9))
    hello = pb.WatchRequest(hello=pb.WatchHello(namespace=ATTACKED, client_id="a", subscriptions=[subscription]))
    call = pb_grpc.PromptServiceStub(channel).Watch(iter([hello]), timeout=DEADLINE_SECONDS)
    try:
        return next(call)
    finally:
        call.cancel()


ATTACKS: list[Attack] = [
    search,
    sort,
    count,
    compile_templates,
    compare,
    make_up_namespaces,
    delete,
    flood,
    inflate,
    follow_large,
]


@pytest.fixture(scope="module")
def attacked(service: ServiceProcess) -> ServiceProcess:
    """A service with a namespace of what is large and many."""
    with promptwire.Client(service.target, namespace=ATTACKED, timeout_seconds=60) as client:
        for number in range(3):
            client.register_prompt(f"text-{number}", "a" * (1 << 20))
        for letter in "ab":
            tags = {f"tag-{number}": f"{letter}\n" * 1_000 for number in range(100)}
            client.register_prompt("lines", f"{letter}\n" * (1 << 18), tags=tags)
        for number in range(8):
            client.register_prompt("large", str(number) * (900 << 10))
        steps = [promptwire.Register(name="many", template=f"text {number}") for number in range(500)]
        for _ in range(4):
            client.release("many", steps)
    return service


class Attackers:
    """Clients that send one attack over and over, each on a connection of its own, until they are told to end."""

    def __init__(self, target: str, attack: Attack) -> None:
        self.sent = 0
        self._attack = attack
        self._ended = threading.Event()
        self._target = target
        self._numbers = iter(range(10_000_000))
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(ATTACKERS)]

    def __enter__(self) -> "Attackers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(3 * DEADLINE_SECONDS)
            assert not thread.is_alive(), "an attacker's call does not end"

    def _run(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
        with grpc.insecure_channel(self._target, options) as channel:
            while not self._ended.is_set():
                # Refused, or out of time: what the attacker gets is not looked at here.
                with suppress(grpc.RpcError, StopIteration):
                    self._attack(channel, next(self._numbers))
                self.sent += 1


@pytest.fixture
def other(attacked: ServiceProcess, namespace: str) -> Iterator[promptwire.Client]:
    with promptwire.Client(attacked.target, namespace=namespace, timeout_seconds=DEADLINE_SECONDS) as client:
        client.register_prompt("p", "one")
        client.register_prompt("p", "two")
        client.set_prompt_alias("p", "production", 1)
        yield client


@pytest.mark.timeout(300)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_another_client_is_served(attacked: ServiceProcess, other: promptwire.Client, attack: Attack) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(
            promptwire.Client(attacked.target, namespace=other.status().namespace, timeout_seconds=DEADLINE_SECONDS)
        )
        agent.wait_for_ready(["p@production"], timeout=DEADLINE_SECONDS)
        handle = agent.handle("p@production")
        attackers = stack.enter_context(Attackers(attacked.target, attack))
        for version in (2, 1) * ROUNDS:
            before = attackers.sent
            change = other.set_prompt_alias("p", "production", version, wait_for_agents=DEADLINE_SECONDS)
            assert change.agents is not None
            assert (change.agents.converged, change.agents.lagging) == (1, ()), "the agent did not follow"
            assert handle.current.version == version
            assert other.load_prompt("p@production", consistency="strong").version == version
            while attackers.sent == before:  # a round counts only where the attack goes on
                assert other.load_prompt("p@production", consistency="strong").version == version
    assert attackers.sent >= ROUNDS
