"""A service that dies while MLflow registers: nothing is deleted, nothing is there twice."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.genai import register_prompt

import promptwire
from tests.mlflow.conftest import join_linking_threads
from tests.support.proxy import Proxy
from tests.support.service import ServiceProcess, running_service


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that the test may break."""
    with running_service(tmp_path / "own" / "data") as service:
        yield service


@pytest.fixture
def proxy(own_service: ServiceProcess) -> Iterator[Proxy]:
    """Between MLflow and the service; the registry URI leads to it."""
    made = Proxy("127.0.0.1", own_service.port)
    mlflow.set_registry_uri(f"promptwire://{made.address}/default")
    yield made
    join_linking_threads()
    made.close()


@pytest.fixture
def direct(own_service: ServiceProcess) -> Iterator[promptwire.Client]:
    with promptwire.Client(own_service.target, timeout_seconds=30) as client:
        yield client


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {what}"
        time.sleep(0.005)


def versions(client: promptwire.Client, name: str) -> list[int]:
    try:
        return sorted(one.version for one in client.list_prompt_versions(name))
    except promptwire.PromptNotFoundError:
        return []


def kill_between_commit_and_answer(service: ServiceProcess, direct: promptwire.Client, name: str) -> None:
    """MLflow waits for the answer to what is written, and nobody is there to give it."""
    until(lambda: versions(direct, name) == [1], "the version is written")
    service.kill()


def swallowing_the_answer(proxy: Proxy, name: str) -> None:
    """From when the prompt's first version is on its way: what MLflow asks before has to be answered."""
    store = MlflowClient()._get_registry_client().store
    begin = store._pending.begin

    def begin_and_swallow(intent: object) -> bool:
        proxy.set("half_open")
        return bool(begin(intent))

    store._pending.begin = begin_and_swallow


def test_a_first_version_whose_answer_is_lost_is_there_once_when_the_service_is_back(
    own_service: ServiceProcess, proxy: Proxy, direct: promptwire.Client
) -> None:
    swallowing_the_answer(proxy, "x")
    with ThreadPoolExecutor(1) as pool:
        registering = pool.submit(register_prompt, "x", "text", commit_message="first", tags={"a": "b"})
        kill_between_commit_and_answer(own_service, direct, "x")
        proxy.set("pass")
        own_service.start()
        prompt = registering.result(30)
    assert (prompt.version, prompt.commit_message) == (1, "first")
    assert versions(direct, "x") == [1]
    assert direct.get_prompt("x").tags["a"] == "b"


def test_a_first_version_whose_answer_never_comes_is_reported_and_kept(
    own_service: ServiceProcess, proxy: Proxy, direct: promptwire.Client
) -> None:
    swallowing_the_answer(proxy, "x")
    with ThreadPoolExecutor(1) as pool:
        registering = pool.submit(register_prompt, "x", "text", tags={"a": "b"})
        kill_between_commit_and_answer(own_service, direct, "x")
        with pytest.raises(MlflowException, match="is not known, look before registering it again") as caught:
            registering.result(60)
    assert caught.value.error_code == "ABORTED"
    proxy.set("pass")
    own_service.start()
    assert versions(direct, "x") == [1]
    assert list(direct.list_deleted_prompts()) == []
    assert mlflow.genai.load_prompt("prompts:/x@latest").template == "text"
    assert register_prompt("x", "again").version == 2


def test_a_store_without_an_intent_does_not_take_a_new_prompt_for_a_failed_one(
    proxy: Proxy, direct: promptwire.Client
) -> None:
    """So it comes through MLflow's HTTP server, each of whose processes has a store of its own."""
    direct.register_prompt("x", "text")
    store = MlflowClient()._get_registry_client().store
    with pytest.raises(MlflowException, match="may be MLflow cleaning up after a registration"):
        store.delete_registered_model("x")
    assert versions(direct, "x") == [1]
    direct.register_prompt("x", "text")
    store.delete_registered_model("x")
    assert versions(direct, "x") == []


def test_traffic_through_many_kills_loses_and_repeats_nothing(
    own_service: ServiceProcess, proxy: Proxy, direct: promptwire.Client
) -> None:
    """First and later versions, registered by two threads while the service dies five times wherever it just is."""
    register_prompt("shared", "first")
    done = threading.Event()
    registered: dict[str, list[int]] = {"shared": [1]}
    failed: dict[str, int] = {}

    def register(thread: int) -> None:
        number = 0
        while not done.is_set():
            number += 1
            for name in (f"own-{thread}-{number}", "shared"):
                try:
                    registered.setdefault(name, []).append(register_prompt(name, f"text {number}").version)
                except MlflowException:
                    failed[name] = failed.get(name, 0) + 1

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(register, thread) for thread in range(2)]
        for _ in range(5):
            before = len(registered)
            until(lambda: len(registered) >= before + 3, "some were registered")  # noqa: B023
            own_service.kill()
            own_service.start()
        done.set()
        for thread in threads:
            thread.result(60)
    assert list(direct.list_deleted_prompts()) == []
    for name, known in registered.items():
        there = versions(direct, name)
        assert len(set(known)) == len(known), "each was told once"
        assert set(known) <= set(there)
        assert len(there) <= len(known) + failed.get(name, 0), f"{name}: one for each call that was made"
    for name in failed.keys() - registered.keys():
        assert len(versions(direct, name)) <= failed[name]
