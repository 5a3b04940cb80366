"""What breaks comes back: store, service, both; agents go on with what they know and then converge."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import promptwire
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.processes import is_gone
from tests.support.servers import REDIS_SERVER, free_port, running_server, valkey_server
from tests.support.service import ServiceProcess, running_service

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that the test may break."""
    with running_service(tmp_path / "data") as service:
        yield service


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.005)


def seeded(target: str) -> promptwire.Client:
    client = promptwire.Client(target, timeout_seconds=30)
    client.register_prompt("p", "one")
    client.register_prompt("p", "two")
    client.set_prompt_alias("p", "production", 1)
    return client


def test_agents_go_on_while_the_service_is_dead_and_converge_when_it_is_back(own_service: ServiceProcess) -> None:
    with seeded(own_service.target), promptwire.Client(own_service.target, timeout_seconds=30) as agent:
        assert agent.load_prompt("p@production").template == "one"
        own_service.kill()
        assert {agent.load_prompt("p@production").template for _ in range(10_000)} == {"one"}
        until(lambda: not agent.status().connected, "the agent knows that it is alone")
        own_service.start()
        with promptwire.Client(own_service.target, timeout_seconds=30) as manager:
            manager.set_prompt_alias("p", "production", 2)
        until(lambda: agent.load_prompt("p@production").template == "two", "the agent converges")
        until(lambda: agent.status().connected, "the agent watches again")


def test_the_embedded_store_killed_comes_back_without_a_restart_of_the_service(own_service: ServiceProcess) -> None:
    with seeded(own_service.target) as manager, promptwire.Client(own_service.target, timeout_seconds=30) as agent:
        handle = agent.handle("p@production")
        for version in (2, 1, 2):
            own_service.kill_store()
            manager.set_prompt_alias("p", "production", version)
            until(lambda version=version: handle.current.version == version, "the watcher converges")  # type: ignore[misc]
        assert [version.template for version in manager.list_prompt_versions("p")] == ["two", "one"]


def test_an_external_store_killed_and_back_leaves_nothing_stale(tmp_path: Path) -> None:
    directory = tmp_path.parent / uuid.uuid4().hex[:8]
    directory.mkdir()
    with (
        running_server(valkey_server(), *DURABLE, directory=directory) as store,
        running_service(tmp_path / "data", store=store.url) as service,
        seeded(service.target) as manager,
        promptwire.Client(service.target, timeout_seconds=30) as agent,
    ):
        assert agent.load_prompt("p@production").version == 1
        store.process.kill()
        store.process.wait()
        assert agent.load_prompt("p@production").version == 1
        with running_server(valkey_server(), *DURABLE, "--port", str(store.port), directory=directory):
            manager.set_prompt_alias("p", "production", 2)
            until(lambda: agent.load_prompt("p@production").version == 2, "the agent converges")
            assert manager.load_prompt("p@production").version == 2


def test_a_service_that_wakes_up_to_a_crowd_refuses_no_one(own_service: ServiceProcess) -> None:
    with seeded(own_service.target), grpc.insecure_channel(own_service.target) as channel:
        stub = pb_grpc.PromptServiceStub(channel)
        request = pb.ResolveRequest(reference="p@production")
        stub.Resolve(request, timeout=20)
        os.kill(own_service.process.pid, signal.SIGSTOP)
        calls = [stub.Resolve.future(request, timeout=60) for _ in range(4_000)]
        os.kill(own_service.process.pid, signal.SIGCONT)
        assert {call.result().version.version for call in calls} == {1}


def test_a_write_in_flight_when_the_store_dies_happens_once(own_service: ServiceProcess) -> None:
    with seeded(own_service.target) as client, ThreadPoolExecutor() as pool:
        pid = own_service.store_pid()
        os.kill(pid, signal.SIGSTOP)
        write = pool.submit(client.register_prompt, "p", "three")
        # The stopped store has the write in its socket's buffer, or will have; killed, it cannot have carried it out.
        time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert write.result(30).version == 3
        assert [version.version for version in client.list_prompt_versions("p")] == [3, 2, 1]


def test_a_request_id_is_remembered_over_restarts(own_service: ServiceProcess) -> None:
    request = pb.RegisterPromptRequest(
        name="p", content=common.Content(text="one"), write=common.WriteOptions(request_id="once", actor="ana@laptop")
    )

    def send() -> pb.RegisterPromptResponse:
        with grpc.insecure_channel(own_service.target) as channel:
            return pb_grpc.PromptServiceStub(channel).RegisterPrompt(request, timeout=20, wait_for_ready=True)

    first = send()
    own_service.kill_store()
    until(lambda: _answers(send), "the store is back")
    assert send() == first
    own_service.kill()
    own_service.start()
    assert send() == first
    assert own_service.stop() == 0
    own_service.start()
    assert send() == first


def _answers(send: Callable[[], object]) -> bool:
    try:
        send()
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
            raise
        return False
    return True


def test_a_client_may_be_made_before_the_service_is_up(tmp_path: Path) -> None:
    service = ServiceProcess(tmp_path / "data")
    with promptwire.Client(service.target, timeout_seconds=60) as agent, ThreadPoolExecutor() as pool:
        early = pool.submit(agent.get_prompt, "p")
        service.start()
        try:
            with pytest.raises(promptwire.PromptNotFoundError):
                early.result(60)
            with seeded(service.target) as manager:
                assert agent.load_prompt("p@production").version == 1
                manager.set_prompt_alias("p", "production", 2)
                until(lambda: agent.load_prompt("p@production").version == 2, "pushes arrive")
        finally:
            service.stop()


def test_no_service_at_all_is_said_in_time_and_by_name() -> None:
    target = f"127.0.0.1:{free_port()}"
    with promptwire.Client(target, timeout_seconds=0.5) as client:
        for call in (lambda: client.load_prompt("p@production"), lambda: client.register_prompt("p", "x")):
            with pytest.raises(promptwire.UnavailableError, match=target):
                call()


def test_a_client_that_will_not_wait_is_told_that_nobody_is_there() -> None:
    target = f"127.0.0.1:{free_port()}"
    with promptwire.Client(target, timeout_seconds=60, connect_timeout_seconds=0.3) as client:
        for call in (lambda: client.load_prompt("p@production"), lambda: client.register_prompt("p", "x")):
            with pytest.raises(promptwire.UnavailableError, match=f"{target} cannot be reached"):
                call()


def test_cached_answers_go_on_while_the_store_is_down_and_strong_ones_do_not_lie(tmp_path: Path) -> None:
    with (
        running_server(valkey_server(), *DURABLE) as store,
        running_service(tmp_path / "data", store=store.url) as service,
        seeded(service.target),
        grpc.insecure_channel(service.target) as channel,
    ):
        stub = pb_grpc.PromptServiceStub(channel)
        cached = pb.ResolveRequest(reference="p@production")
        options = common.ReadOptions(consistency=common.CONSISTENCY_STRONG)
        strong = pb.ResolveRequest(reference="p@production", read=options)
        assert stub.Resolve(strong).version.version == stub.Resolve(cached).version.version == 1
        store.process.kill()
        store.process.wait()
        assert stub.Resolve(cached).version.version == 1
        with pytest.raises(grpc.RpcError) as caught:
            stub.Resolve(strong)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        until(lambda: stub.Resolve(cached).info.max_age.seconds >= 1, "answers tell how old they may be")


def test_a_full_store_refuses_writes_whole_and_goes_on_reading(tmp_path: Path) -> None:
    with (
        running_server(valkey_server(), *DURABLE, "--maxmemory", "12mb") as store,
        running_service(tmp_path / "data", store=store.url) as service,
        seeded(service.target) as client,
    ):
        registered = 0
        reason = ""
        while not reason and registered < 20:
            try:
                client.register_prompt("big", "x" * (1 << 20))
                registered += 1
            except promptwire.UnavailableError as error:
                reason = error.reason
        assert reason == "STORE_FULL"
        assert [version.version for version in client.list_prompt_versions("big")] == list(range(registered, 0, -1))
        assert client.load_prompt("p@production").version == 1
        with store.client() as server:
            server.config_set("maxmemory", "100mb")
        assert client.register_prompt("big", "small").version == registered + 1


@pytest.mark.redis
@pytest.mark.skipif(REDIS_SERVER is None, reason="needs Debian's redis-server package")
def test_the_whole_way_on_debians_redis(tmp_path: Path) -> None:
    assert REDIS_SERVER is not None
    with (
        running_server(REDIS_SERVER, *DURABLE) as store,
        running_service(tmp_path / "data", store=store.url) as service,
        seeded(service.target) as manager,
        promptwire.Client(service.target) as agent,
    ):
        handle = agent.handle("p@production")
        for version in (2, 1, 2):
            manager.set_prompt_alias("p", "production", version)
            until(lambda version=version: handle.current.version == version, "the push arrives")  # type: ignore[misc]
        assert manager.server_status().store.server.startswith("redis 7.")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_ends_service_and_store(own_service: ServiceProcess, signal_number: int) -> None:
    store = own_service.store_pid()
    with seeded(own_service.target) as client:
        client.load_prompt("p@production")
        assert own_service.stop(signal_number) == 0
    assert is_gone(store)


def test_a_killed_service_leaves_no_store_behind(own_service: ServiceProcess) -> None:
    with seeded(own_service.target):
        store = own_service.store_pid()
        own_service.kill()
        until(lambda: is_gone(store), "the store ends with its owner")
    own_service.start()
    with promptwire.Client(own_service.target) as client:
        assert client.load_prompt("p@production").template == "one"


def test_a_second_owner_of_a_data_directory_is_told_who_has_it(own_service: ServiceProcess) -> None:
    second = _serve("--listen", f"127.0.0.1:{free_port()}", "--data-dir", str(own_service.data_dir))
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1
    assert str(own_service.process.pid) in second.stderr
    assert str(own_service.data_dir) in second.stderr


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused = _serve("--listen", address, "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert address in refused.stderr


def test_an_unreachable_store_is_one_clear_line_and_exit_code_three(tmp_path: Path) -> None:
    port = free_port()
    refused = _serve("--listen", "127.0.0.1:0", "--store", f"redis://127.0.0.1:{port}/0", "--data-dir", str(tmp_path))
    assert refused.returncode == 3
    assert len(refused.stderr.strip().splitlines()) == 1
    assert str(port) in refused.stderr
    assert "Traceback" not in refused.stderr


def _serve(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "promptwire.cli", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_many_threads_that_miss_one_reference_make_one_call(own_service: ServiceProcess) -> None:
    with seeded(own_service.target), promptwire.Client(own_service.target) as agent:
        agent.get_prompt("p")  # connected
        with promptwire.Client(own_service.target) as operator:
            before = _lookups(operator)
            start = threading.Barrier(50)

            def load() -> int:
                start.wait()
                return agent.load_prompt("prompts:/p@production").version

            with ThreadPoolExecutor(50) as pool:
                assert {future.result() for future in [pool.submit(load) for _ in range(50)]} == {1}
            # One Resolve and one subscription look up a prompt and a version each; fifty Resolves would be a hundred.
            assert _lookups(operator) - before < 10


def _lookups(operator: promptwire.Client) -> int:
    return sum(cache.hits + cache.misses for cache in operator.server_status().caches)
