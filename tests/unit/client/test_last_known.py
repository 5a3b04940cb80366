"""When the snapshot is read and written, and what a client does about a disk that will not."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from promptwire import Client
from promptwire._core import snapshot
from promptwire.errors import PermissionDeniedError, UnavailableError
from tests.unit.client.fakes import FakeService, Registry, eventually, rpc_status, serving

ROOT = Path(__file__).parents[3]


@pytest.fixture
def service() -> FakeService:
    registry = Registry()
    for name in ("a", "b"):
        registry.register(name)
        registry.alias(name, "production", 1)
    return FakeService(registry)


@pytest.fixture
def target(service: FakeService) -> Iterator[str]:
    with serving(service) as target:
        yield target


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "made" / "if need be"


def path_of(directory: Path, target: str) -> Path:
    return directory / snapshot.file_name(target, "default")


def names_in(directory: Path, target: str) -> set[str]:
    return set(snapshot.read(path_of(directory, target), target, "default", 1e12))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING and "snap" in one.getMessage()]


def test_a_client_leaves_behind_what_it_knows_in_a_directory_of_its_own(directory: Path, target: str) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
    assert names_in(directory, target) == {"a"}
    assert directory.stat().st_mode & 0o777 == 0o700


def test_what_changes_is_written_without_a_close(directory: Path, target: str, service: FakeService) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
        eventually(lambda: names_in(directory, target) == {"a"})
        client.wait_for_ready(["b@production"])
        eventually(lambda: names_in(directory, target) == {"a", "b"})


def test_a_client_without_the_option_writes_nothing(tmp_path: Path, target: str) -> None:
    with Client(target) as client:
        client.wait_for_ready(["a@production"])
        assert all(thread.name != "promptwire-snapshot" for thread in threading.enumerate())
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_refused_with_one_warning_and_replaced(
    directory: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir(parents=True)
    path_of(directory, target).write_bytes(b"not a snapshot\n" * 50)
    path_of(directory, target).chmod(0o600)
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
    assert names_in(directory, target) == {"a"}
    assert len(warnings(caplog)) == 1
    assert "is not used: it is damaged" in warnings(caplog)[0]


def test_a_newer_clients_file_is_left_alone(
    directory: Path, target: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(snapshot, "FORMAT", 2)
        with Client(target, snapshot_dir=directory) as client:
            client.wait_for_ready(["b@production"])
    before = path_of(directory, target).read_bytes()
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
    assert path_of(directory, target).read_bytes() == before
    assert all("newer" in one for one in warnings(caplog))


def test_a_place_that_cannot_be_written_is_said_once_and_stops_nobody(
    tmp_path: Path, target: str, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with Client(target, snapshot_dir=tmp_path / "file" / "snapshots") as client:
        client.wait_for_ready(["a@production"])
        eventually(lambda: warnings(caplog))
        client.wait_for_ready(["b@production"])
    assert len([one for one in warnings(caplog) if "is not written" in one]) == 1


def test_a_full_disk_leaves_the_old_file(
    directory: Path, target: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production", "b@production"])
    assert names_in(directory, target) == {"a"}
    assert not list(directory.glob("*.tmp"))
    assert any("No space left" in one for one in warnings(caplog))


def test_a_slow_disk_delays_no_load(directory: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, goes_on = threading.Event(), threading.Event()

    def fsync(_: int) -> None:
        reached.set()
        goes_on.wait(30)

    monkeypatch.setattr(os, "fsync", fsync)
    with Client(target, snapshot_dir=directory, lease_seconds=0.5, renew_seconds=0.1) as client:
        client.wait_for_ready(["a@production"])
        assert reached.wait(10)
        confirmed = client.status().fresh_until
        assert confirmed is not None
        eventually(lambda: (client.status().fresh_until or 0) > confirmed + 0.5)
        client.wait_for_ready(["b@production"])
        goes_on.set()


WRITER = """
import os, sys, threading
from promptwire import Client
fsync = os.fsync
def stuck(descriptor):
    print("writing", flush=True)
    sys.stdin.readline()
    fsync(descriptor)
os.fsync = stuck
client = Client(sys.argv[1], snapshot_dir=sys.argv[2])
client.wait_for_ready(["b@production"])
threading.Event().wait()
"""


def test_a_writer_that_is_killed_in_the_middle_leaves_the_old_file_and_no_lock(directory: Path, target: str) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
    command = [sys.executable, "-c", WRITER, target, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        assert list(directory.glob("*.tmp"))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert names_in(directory, target) == {"a"}
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production", "b@production"])
    assert names_in(directory, target) == {"a", "b"}
    assert not list(directory.glob("*.tmp"))


def test_a_child_forked_in_the_middle_of_a_write_does_not_keep_the_lock(directory: Path) -> None:
    directory.mkdir(parents=True)
    lock, other = snapshot.Lock(directory / "file"), snapshot.Lock(directory / "file")
    done, tell = os.pipe()
    with lock.held():
        child = os.fork()
        if child == 0:
            lock.forked()
            os.write(tell, b"x")
            os.read(os.pipe()[0], 1)  # stays until it is killed
        os.read(done, 1)
    try:
        with other.held():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(done)
        os.close(tell)


def test_a_file_is_not_used_for_another_target(directory: Path, target: str) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(["a@production"])
    with (
        Client("127.0.0.1:1", snapshot_dir=directory, timeout_seconds=0.2) as client,
        pytest.raises(UnavailableError),
    ):
        client.load_prompt("a@production")


def leave_behind(target: str, directory: Path, *references: str) -> None:
    with Client(target, snapshot_dir=directory) as client:
        client.wait_for_ready(references)


def test_the_service_is_asked_first_and_its_answer_counts(directory: Path, target: str, service: FakeService) -> None:
    leave_behind(target, directory, "a@production")
    service.registry.register("a")
    service.registry.alias("a", "production", 2)
    with Client(target, snapshot_dir=directory) as client:
        prompt = client.load_prompt("a@production")
        assert (prompt.version, prompt.stale) == (2, False)


def test_once_any_call_was_answered_a_load_asks_again(directory: Path, target: str, service: FakeService) -> None:
    leave_behind(target, directory, "a@production", "b@production")
    down = rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    service.failures["Resolve"] = deque([down] * 1000)
    with Client(target, snapshot_dir=directory, timeout_seconds=60) as client:
        prompt = client.load_prompt("a@production")
        assert (prompt.stale, prompt.alias) == (True, "production"), (
            "also offline it knows by which alias it was loaded"
        )
        asked = len(service.asked("Resolve"))
        assert client.load_prompt("b@production").stale
        assert len(service.asked("Resolve")) == asked, "nobody answered a moment ago"
        service.failures.clear()
        eventually(lambda: not client.load_prompt("b@production").stale)
        eventually(lambda: not client.load_prompt("a@production").stale)


def test_an_answer_that_forbids_is_not_replaced_by_the_file(directory: Path, target: str, service: FakeService) -> None:
    leave_behind(target, directory, "a@production")
    service.failures["Resolve"] = deque([rpc_status(grpc.StatusCode.PERMISSION_DENIED, "")])
    with Client(target, snapshot_dir=directory) as client, pytest.raises(PermissionDeniedError):
        client.load_prompt("a@production")
