"""A backup whose keys are restored into a running server, which brings back the old history under its own identity."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import promptwire
from tests.support import topologies
from tests.support.servers import until
from tests.support.service import ServiceProcess, running_service
from tests.support.topologies import Topology


@pytest.fixture(scope="module")
def store() -> Iterator[Topology]:
    with topologies.standalone(*topologies.FSYNC) as running:
        yield running


@pytest.fixture(scope="module")
def service(store: Topology, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    directory: Path = tmp_path_factory.mktemp("restored")
    with running_service(directory / "data", store=store.url) as running:
        yield running


def _client(store: Topology) -> redis.Redis:
    return redis.Redis(port=store.nodes[0].port)


def take_backup(store: Topology, namespace: str) -> dict[bytes, bytes]:
    with _client(store) as client:
        return {key: client.dump(key) for key in client.keys(f"pw:{{{namespace}}}:*")}


def go_back(store: Topology, namespace: str, backup: dict[bytes, bytes]) -> None:
    with _client(store) as client:
        pipeline = client.pipeline(transaction=True)
        pipeline.delete(*client.keys(f"pw:{{{namespace}}}:*"))
        for key, value in backup.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()


@pytest.mark.parametrize("written_since", [0, 1, 5])
def test_agents_have_the_restored_state_soon_and_no_later_number_hides_it(
    store: Topology, service: ServiceProcess, namespace: str, written_since: int
) -> None:
    with (
        promptwire.Client(service.target, namespace=namespace) as author,
        promptwire.Client(service.target, namespace=namespace) as agent,
    ):
        for text in ("one", "two"):
            author.register_prompt("p", text)
        author.set_prompt_alias("p", "production", 1)
        backup = take_backup(store, namespace)
        author.set_prompt_alias("p", "production", 2)
        before = author.set_prompt_alias("p", "staging", 2).revision
        agent.wait_for_ready(["p@production", "p@staging"])
        assert agent.load_prompt("p@production").version == 2
        go_back(store, namespace, backup)
        # By somebody who knows nothing of what was, so that numbers come to where they were, and beyond.
        with promptwire.Client(service.target, namespace=namespace) as other:
            for number in range(written_since):
                other.set_prompt_tag("p", "note", str(number))
        asyncio.run(until(lambda: (at := agent.status().revision) and at.epoch != before.epoch))
        asyncio.run(until(lambda: agent.load_prompt("p@production").version == 1))
        with pytest.raises(promptwire.AliasNotFoundError):
            agent.load_prompt("p@staging", consistency="strong")
        assert author.load_prompt("p@production", consistency="strong").version == 1
