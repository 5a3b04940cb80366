"""`promptwire serve --workers N`: several processes on one port, and what happens when some of them end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

import promptwire
from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire.v1 import admin_service_pb2_grpc as admin_grpc
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.processes import is_gone
from tests.support.servers import free_port, running_server, valkey_server
from tests.support.service import ServiceProcess, running_service
from tests.support.traffic import progress, seed, traffic
from tests.support.workers import channel_to_each, connections, fresh_channel, worker_pids

KINDS = ("plain_fresh", "plain_lasting", "client_fresh", "client_lasting")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """For tests that leave two workers behind, though perhaps not the same two."""
    with running_service(tmp_path_factory.mktemp("workers") / "data", "--workers", "2") as service:
        yield service


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServiceProcess]:
    """Two workers that the test may end."""
    with running_service(tmp_path / "data", "--workers", "2") as service:
        yield service


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def said(service: ServiceProcess, words: str) -> int:
    """How many lines of the log so far have these words."""
    return sum(words in line for line in service.log_path.read_text().splitlines())


def roll(service: ServiceProcess) -> None:
    """SIGHUP; returns once every worker has been replaced."""
    before, done = worker_pids(service), said(service, "every worker has been replaced")
    service.process.send_signal(signal.SIGHUP)
    until(lambda: said(service, "every worker has been replaced") > done, "a roll ends", 60)
    after = worker_pids(service)
    assert len(after) == len(before)
    assert not after & before


def test_connections_come_to_every_worker_and_each_answers_health_and_reflection(shared: ServiceProcess) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with channel_to_each(shared) as channels:
        assert len(channels) == 2
        for channel in channels:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            (listed,) = stub.ServerReflectionInfo(iter([asked]), timeout=10)
            assert "promptwire.v1.PromptService" in {one.name for one in listed.list_services_response.service}


def test_a_read_with_the_token_of_a_write_through_another_worker_holds_it(shared: ServiceProcess) -> None:
    with channel_to_each(shared) as channels:
        here, there = (pb_grpc.PromptServiceStub(channel) for channel in channels)
        for number in range(1, 31):
            write = common.WriteOptions(request_id=f"token-{number}", actor="ana")
            registered = here.RegisterPrompt(
                pb.RegisterPromptRequest(name="token", content=common.Content(text=str(number)), write=write),
                timeout=10,
            )
            read = common.ReadOptions(min_revision=registered.revision)
            answer = there.Resolve(pb.ResolveRequest(reference="token", read=read), timeout=10)
            assert answer.version.content.text == str(number)
            here, there = there, here


def test_a_roll_under_load_refuses_no_call_and_loses_no_event(shared: ServiceProcess) -> None:
    with traffic(shared.target, *KINDS) as load:
        roll(shared)
        progress(load)
    assert set(load.calls) >= {"plain, fresh", "plain, lasting", "client, fresh", "client, lasting"}


def test_a_roll_asked_for_twice_is_done_twice_at_most_and_one_after_the_other(shared: ServiceProcess) -> None:
    done = said(shared, "every worker has been replaced")
    for _ in range(3):
        shared.process.send_signal(signal.SIGHUP)
    until(lambda: said(shared, "every worker has been replaced") > done, "the roll ends", 60)
    until(lambda: len(worker_pids(shared)) == 2, "two workers are left")
    with promptwire.Client(shared.target) as client:
        assert client.server_status().store.reachable


def test_a_second_service_is_refused_the_port_even_while_no_worker_listens(
    shared: ServiceProcess, tmp_path: Path
) -> None:
    for pid in worker_pids(shared):
        os.kill(pid, signal.SIGKILL)
    for arguments in ((), ("--workers", "2")):
        refused = _serve("--listen", shared.target, "--data-dir", str(tmp_path / "data"), *arguments)
        assert refused.returncode == 1
        assert refused.stderr == f"error: cannot listen on {shared.target}: address in use\n"
    with promptwire.Client(shared.target, timeout_seconds=30) as client:
        assert client.server_status().store.reachable
    until(lambda: len(worker_pids(shared)) == 2, "both are back")


def test_a_worker_killed_under_load_is_missed_by_no_client_and_comes_back(shared: ServiceProcess) -> None:
    with traffic(shared.target, "client_fresh", "client_lasting") as load:
        before = worker_pids(shared)
        victim = max(connections(shared).items(), key=lambda item: item[1])[0]
        os.kill(victim, signal.SIGKILL)
        progress(load)
        until(lambda: len(worker_pids(shared) - {victim}) == 2, "another takes its place")
        progress(load)
    assert len(worker_pids(shared) & before) == 1


def test_the_supervisor_killed_everything_ends_and_nothing_acknowledged_is_lost(shared: ServiceProcess) -> None:
    with promptwire.Client(shared.target, timeout_seconds=60) as client:
        kept = [client.register_prompt("kept", f"text {number}").version for number in range(20)]
        left = {*worker_pids(shared), shared.store_pid()}
        shared.kill()
        until(lambda: all(is_gone(pid) for pid in left), "workers and store end with their supervisor")
        shared.start()
        kept.append(client.register_prompt("kept", "the last").version)
        assert [version.version for version in client.list_prompt_versions("kept")] == list(reversed(kept))


def test_ctrl_c_in_a_terminal_drains_every_worker(tmp_path: Path) -> None:
    """It goes to the whole process group."""
    service = ServiceProcess(tmp_path / "data", "--workers", "2")
    service.start(new_session=True)
    left = {*worker_pids(service), service.store_pid()}
    with promptwire.Client(service.target) as client:
        client.register_prompt("p", "x")
        assert client.load_prompt("p").version == 1
        os.killpg(service.process.pid, signal.SIGINT)
        assert service.process.wait(30) == 0
    assert all(is_gone(pid) for pid in left)
    assert said(service, 'event="shutting down"') == 3
    # Each worker's line says whose it is.
    assert min(said(service, f" worker={number} pid=") for number in (1, 2)) >= 1
    assert said(service, "Traceback") == 0


def test_a_second_signal_does_not_wait_for_calls_under_way(tmp_path: Path) -> None:
    with (
        running_service(tmp_path / "data", "--workers", "2", "--drain-seconds", "300") as service,
        fresh_channel(service.target) as channel,
    ):
        store = psutil.Process(service.store_pid())
        store.suspend()
        left = worker_pids(service)
        read = common.ReadOptions(consistency=common.CONSISTENCY_STRONG)
        stuck = pb_grpc.PromptServiceStub(channel).GetPrompt.future(pb.GetPromptRequest(name="p", read=read))
        until(lambda: sum(connections(service).values()), "the call is under way")
        service.process.send_signal(signal.SIGTERM)
        until(lambda: said(service, 'event="shutting down"') == 3, "the workers drain")
        assert service.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        store.resume()
        stuck.cancel()
        until(lambda: all(is_gone(pid) for pid in (*left, store.pid)), "nothing is left behind")


def test_a_signal_to_end_wins_over_a_roll(own: ServiceProcess) -> None:
    left = worker_pids(own)
    own.process.send_signal(signal.SIGHUP)
    until(lambda: len(worker_pids(own)) == 3, "a replacement is on its way")
    left |= worker_pids(own)
    assert own.stop(signal.SIGTERM) == 0
    until(lambda: all(is_gone(pid) for pid in left), "nothing is left behind")


def test_a_worker_whose_replacement_does_not_come_up_goes_on(tmp_path: Path) -> None:
    with (
        running_server(valkey_server(), *DURABLE) as store,
        running_service(tmp_path / "data", "--workers", "2", store=store.url) as service,
    ):
        before = worker_pids(service)
        store.process.terminate()
        store.process.wait()
        service.process.send_signal(signal.SIGHUP)
        until(lambda: said(service, "no replacement came up, the worker goes on"), "the log tells")
        until(lambda: worker_pids(service) == before, "the same two serve")
        with fresh_channel(service.target) as channel:
            status = admin_grpc.AdminServiceStub(channel).GetStatus(admin_pb.GetStatusRequest(), timeout=10)
            assert not status.store.reachable


def test_clients_spread_when_connections_are_old_and_nobody_notices(tmp_path: Path) -> None:
    arguments = ("--workers", "2", "--connection-age-seconds", "1")
    with running_service(tmp_path / "data", *arguments) as service, ExitStack() as stack:
        seed(service.target)
        only = min(worker_pids(service))
        with no_worker_but(service, only):
            agents = [stack.enter_context(promptwire.Client(service.target, timeout_seconds=30)) for _ in range(8)]
            handles = [agent.handle("p@production") for agent in agents]
            assert set(connections(service)) <= {only}
        with traffic(service.target, *KINDS) as load:
            until(lambda: min(_watchers(service), default=0) >= 3, "agents are connected to both workers")
            until(lambda: all(agent.status().reconnects > 1 for agent in agents), "all have come anew, twice")
            progress(load)
        with promptwire.Client(service.target) as manager:
            manager.set_prompt_alias("p", "staging", 2)
            current = manager.load_prompt("p@production").version
        until(lambda: {handle.current.version for handle in handles} == {current}, "all know where it ended")
        assert all(agent.status().last_error == "the service said goodbye" for agent in agents)


@contextmanager
def no_worker_but(service: ServiceProcess, only: int) -> Iterator[None]:
    """Kills all others, and whatever is started in their place, before it serves."""
    stopped = threading.Event()

    def kill_others() -> None:
        while not stopped.is_set():
            for pid in worker_pids(service) - {only}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            stopped.wait(0.01)

    thread = threading.Thread(target=kill_others)
    thread.start()
    try:
        until(lambda: worker_pids(service) == {only}, "the others are gone")
        yield
    finally:
        stopped.set()
        thread.join()


def _watchers(service: ServiceProcess) -> list[int]:
    """How many agents each worker has."""
    with channel_to_each(service) as channels:
        stubs = [admin_grpc.AdminServiceStub(channel) for channel in channels]
        return [stub.GetStatus(admin_pb.GetStatusRequest(), timeout=10).watcher_count for stub in stubs]


def test_signals_while_workers_start_are_heeded(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "promptwire.cli", "serve", "--listen", "127.0.0.1:0", "--workers", "2"]
    with subprocess.Popen([*command, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        supervisor = psutil.Process(process.pid)
        until(lambda: len(supervisor.children()) == 3, "store and workers are on their way")
        left = supervisor.children()
        process.send_signal(signal.SIGHUP)
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout
        assert process.stdout.read() == ""
    assert all(is_gone(child.pid) for child in left)


def test_port_zero_is_one_port_on_every_address_and_told_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "promptwire.cli", "serve", "--listen", "localhost:0", "--workers", "2"]
    with subprocess.Popen([*command, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.endswith(f" (store embedded in {tmp_path}, durability fsync, 2 workers)\n")
        port = line.split("localhost:")[1].split(" ")[0]
        for host in ("127.0.0.1", "[::1]"):
            with promptwire.Client(f"{host}:{port}") as client:
                assert client.server_status().store.reachable
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout.read() == ""


def test_what_prevents_a_start_is_one_line_and_its_code_as_with_one_process(tmp_path: Path) -> None:
    port = free_port()
    unreachable = f"redis://127.0.0.1:{port}/0"
    for arguments, code, line in (
        (
            ("--store", unreachable),
            3,
            f"{unreachable} can't be reached: connection refused; is the server running there?",
        ),
        (("--durability", "none"), 1, "--durability none is for a store of your own"),
        (("--workers", "0"), 2, "--workers: input should be greater than or equal to 1"),
    ):
        refused = _serve("--listen", "127.0.0.1:0", "--data-dir", str(tmp_path), "--workers", "2", *arguments)
        assert (refused.returncode, refused.stdout) == (code, "")
        assert refused.stderr.startswith(f"error: {line}")
        assert refused.stderr.count("\n") == 1


def _serve(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "promptwire.cli", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_rolls_under_load(own: ServiceProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """PROMPTWIRE_TEST_ROLLS chooses how many."""
    rolls = int(os.environ.get("PROMPTWIRE_TEST_ROLLS", "30"))
    with traffic(own.target, *KINDS, *KINDS, agents=12) as load:
        for _ in range(rolls):
            roll(own)
    with capsys.disabled():
        print(f"\n{rolls} rolls of 2 workers: {load.report()}")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_killed_workers_under_load(own: ServiceProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """PROMPTWIRE_TEST_KILLS chooses how many."""
    kills = int(os.environ.get("PROMPTWIRE_TEST_KILLS", "50"))
    with traffic(own.target, "client_fresh", "client_lasting", agents=12) as load:
        for _ in range(kills):
            os.kill(random.choice(sorted(worker_pids(own))), signal.SIGKILL)
            progress(load)
    with capsys.disabled():
        print(f"\n{kills} kills -9 of a worker of 2: {load.report()}")
