"""The embedded store on a real valkey-server: it comes back when it dies, ends with its owner, and has one owner."""

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from redis.exceptions import RedisError

from promptwire_service.storage.durability import Durability
from promptwire_service.storage.embedded import data_dir as data_dirs
from promptwire_service.storage.embedded import launch
from promptwire_service.storage.embedded import server as servers
from promptwire_service.storage.embedded.server import EmbeddedServer
from promptwire_service.storage.embedded.valkey_log import MAX_BYTES
from promptwire_service.storage.opening import open_connections
from promptwire_service.storage.redis.connection import Connections, connect
from promptwire_service.storage.redis.problems import StoreRefusedError
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.processes import is_gone
from tests.support.servers import until

OWNER = """
import asyncio, sys
from pathlib import Path
from promptwire_service.storage.embedded.server import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]), guarded=sys.argv[2] == "guarded")
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


by_kernel = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel ends a process with its parent")


@pytest.fixture(params=[pytest.param(False, id="kernel", marks=by_kernel), pytest.param(True, id="guard")])
def guarded(request: pytest.FixtureRequest) -> bool:
    """Both ways to tie the store to its owner: by the kernel, as on Linux, and by a guard process, as elsewhere."""
    return bool(request.param)


@contextlib.asynccontextmanager
async def connected(server: EmbeddedServer) -> AsyncIterator[Connections]:
    connections = connect(StoreTarget("unix", path=str(server.socket_path)))
    try:
        yield connections
    finally:
        await connections.aclose()


async def pid_of_valkey(connections: Connections) -> int:
    """Of the server itself, which is not `EmbeddedServer.pid` when it has a guard."""
    return int((await connections.reads.info("server"))["process_id"])


async def until_answering(connections: Connections, other_than: int) -> int:
    """Waits for a server that is not the process `other_than`; the process it is."""

    async def look() -> int:
        while True:
            with contextlib.suppress(RedisError):
                pid = await pid_of_valkey(connections)
                if pid != other_than:
                    return pid
            await asyncio.sleep(0.01)

    return await asyncio.wait_for(look(), 10)


def is_locked(directory: Path) -> bool:
    with (directory / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.asynccontextmanager
async def owner_process(directory: Path, guarded: bool) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Another process that owns a store there, and the pid it has for the store."""
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(directory), "guarded" if guarded else ""),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout
    try:
        yield owner, int(await asyncio.wait_for(owner.stdout.readline(), 20))
    finally:
        with contextlib.suppress(ProcessLookupError):
            owner.kill()
        await owner.wait()


async def test_what_was_written_is_there_after_stop_and_start(tmp_path: Path, guarded: bool) -> None:
    for number in range(3):
        async with EmbeddedServer(tmp_path, guarded=guarded) as server, connected(server) as connections:
            assert await connections.writes.incr("counter") == number + 1
        assert not is_locked(tmp_path)
        assert not server.socket_path.exists()


async def test_only_its_user_may_reach_the_store(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    async with EmbeddedServer(directory) as server:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        files = [path for path in directory.rglob("*") if path.is_file()]
        assert files
        assert all(not path.stat().st_mode & 0o077 for path in files)


async def test_a_store_that_is_killed_comes_back_with_everything_it_acknowledged(tmp_path: Path, guarded: bool) -> None:
    async with EmbeddedServer(tmp_path, guarded=guarded) as server, connected(server) as connections:
        pid = await pid_of_valkey(connections)
        for number in range(1, 4):
            await connections.writes.set("key", number)
            os.kill(pid, signal.SIGKILL)
            pid = await until_answering(connections, other_than=pid)
            assert await connections.reads.get("key") == str(number)


async def test_stop_wins_over_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "FIRST_PAUSE_SECONDS", 3600.0)
    server = EmbeddedServer(tmp_path)
    await server.start()
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: not server.running)
    await asyncio.wait_for(server.stop(), 10)
    assert not is_locked(tmp_path)


async def test_stop_wins_over_a_store_that_dies_again_and_again(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    manifest = server.socket_path.parent / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("garbage")
    pids = {server.pid}
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)

    def restarted_twice() -> bool:
        pids.add(server.pid)
        return len(pids) >= 3

    await until(restarted_twice)
    await asyncio.wait_for(server.stop(), 10)
    assert not is_locked(tmp_path)


async def test_a_second_owner_is_told_who_the_first_is(
    tmp_path: Path, guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_dirs, "LOCK_WAIT_SECONDS", 0.1)
    async with owner_process(tmp_path, guarded) as (owner, _):
        with pytest.raises(StoreRefusedError) as refusal:
            await EmbeddedServer(tmp_path).start()
    expected = rf"data directory {tmp_path} is in use by process {owner.pid} \(started \d{{4}}-.*\)"
    assert re.fullmatch(expected, str(refusal.value))


async def test_an_owner_in_the_same_process_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_dirs, "LOCK_WAIT_SECONDS", 0.1)
    async with EmbeddedServer(tmp_path) as server, connected(server) as connections:
        with pytest.raises(StoreRefusedError, match=f"in use by process {os.getpid()} "):
            await EmbeddedServer(tmp_path).start()
        assert await connections.reads.ping()


async def test_a_store_ends_when_its_owner_is_killed_and_the_next_owner_finds_all_data(
    tmp_path: Path, guarded: bool
) -> None:
    async with owner_process(tmp_path, guarded) as (owner, launched):
        successor = EmbeddedServer(tmp_path, guarded=guarded)
        async with connected(successor) as connections:
            valkey = await pid_of_valkey(connections)
            await connections.writes.set("key", "value")
            owner.kill()
            await owner.wait()
            await until(lambda: is_gone(valkey) and is_gone(launched), seconds=5)
            await until(lambda: not is_locked(tmp_path), seconds=5)
            async with successor:
                assert await connections.reads.get("key") == "value"


@by_kernel
async def test_the_next_owner_waits_for_a_store_that_is_still_closing(tmp_path: Path) -> None:
    async with owner_process(tmp_path, guarded=False) as (owner, valkey):
        # Stopped, the store can't end yet.
        os.kill(valkey, signal.SIGSTOP)
        owner.kill()
        await owner.wait()
        successor = EmbeddedServer(tmp_path)
        start = asyncio.create_task(successor.start())
        try:
            await until(lambda: waits_for_lock(tmp_path))
            assert not start.done()
        finally:
            os.kill(valkey, signal.SIGCONT)
        await asyncio.wait_for(start, 10)
        await successor.stop()


def waits_for_lock(directory: Path) -> bool:
    """Whether this process has the lock file open, and has not got the lock."""
    opened = [file.path for file in psutil.Process().open_files()]
    return str(directory / "lock") in opened and is_locked(directory)


@by_kernel
async def test_a_store_that_outlives_its_owner_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_dirs, "LOCK_WAIT_SECONDS", 0.1)
    async with owner_process(tmp_path, guarded=False) as (owner, valkey):
        os.kill(valkey, signal.SIGSTOP)
        owner.kill()
        await owner.wait()
        try:
            with pytest.raises(StoreRefusedError, match=f"the store of process {owner.pid}, which has ended"):
                await EmbeddedServer(tmp_path).start()
        finally:
            os.kill(valkey, signal.SIGCONT)
        await until(lambda: not is_locked(tmp_path))


@pytest.mark.parametrize("options", [pytest.param([], marks=by_kernel), ["--guard"]], ids=["kernel", "guard"])
async def test_nothing_stays_when_the_owner_is_gone_before_the_store_is_started(options: list[str]) -> None:
    owner = "0"  # No parent has this pid.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", launch.__file__, owner, *options, "--", "/bin/sleep", "3600"),
        stdin=asyncio.subprocess.PIPE,
    )
    assert await asyncio.wait_for(process.wait(), 10) != 0


async def test_a_guard_that_is_killed_does_not_leave_two_stores_on_the_same_files(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path, guarded=True) as server, connected(server) as connections:
        first = await pid_of_valkey(connections)
        await connections.writes.set("key", "value")
        assert server.pid != first
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await until_answering(connections, other_than=first)
        assert is_gone(first)
        assert await connections.reads.get("key") == "value"


@pytest.mark.parametrize("name", ["x" * 120, 'it\'s "here" é', "a b\\n"], ids=["long", "quotes", "backslash"])
async def test_a_data_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    server = EmbeddedServer(tmp_path / name)
    async with server, connected(server) as connections:
        await connections.writes.set("key", "value")
        assert len(os.fsencode(server.socket_path)) <= data_dirs.SOCKET_PATH_MAX_BYTES
        assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700
    assert not server.socket_path.exists()
    async with EmbeddedServer(tmp_path / name) as again, connected(again) as connections:
        assert await connections.reads.get("key") == "value"


async def test_a_socket_directory_that_others_could_have_made_is_refused(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("x" * 120))
    directory = server.socket_path.parent
    directory.mkdir(mode=0o755)
    try:
        with pytest.raises(StoreRefusedError, match="is not a private directory of ours"):
            await server.start()
    finally:
        directory.rmdir()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("file", "is a file, not a directory"),
        ("file/below", "a part of its path is a file"),
        ("/proc/promptwire", "can't be used: "),
    ],
)
async def test_a_data_directory_that_cannot_be_used_is_named(tmp_path: Path, path: str, says: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefusedError) as refusal:
        await EmbeddedServer(tmp_path / path).start()
    message = str(refusal.value)
    assert message.startswith(f"data directory {tmp_path / path} can't be used: ")
    assert says in message


async def test_a_data_directory_that_others_could_exchange_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(StoreRefusedError, match=f"everybody may write into it; run: chmod o-w {open_to_all}"):
        await EmbeddedServer(open_to_all).start()
    outside, linked = tmp_path / "outside", tmp_path / "linked"
    outside.mkdir()
    linked.mkdir()
    (linked / "store").symlink_to(outside)
    with pytest.raises(StoreRefusedError, match="is not a directory of the user with id"):
        await EmbeddedServer(linked).start()
    assert list(outside.iterdir()) == []


async def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "data"
    outside.write_text("precious")
    directory.mkdir()
    (directory / "lock").symlink_to(outside)
    with pytest.raises(StoreRefusedError, match="lock is a symbolic link"):
        await EmbeddedServer(directory).start()
    assert outside.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user")
async def test_a_data_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path / "data", tmp_path / "data" / "store"):
        place.mkdir()
        os.chown(place, 65_534, -1)
        with pytest.raises(StoreRefusedError, match=r"65534|is not a directory of the user with id 0"):
            await EmbeddedServer(tmp_path / "data").start()
        os.chown(place, 0, -1)


@pytest.mark.parametrize("broken", ["appendonly.aof.1.incr.aof", "appendonly.aof.manifest"])
async def test_data_that_cannot_be_read_is_refused_with_what_valkey_says(tmp_path: Path, broken: str) -> None:
    async with EmbeddedServer(tmp_path) as server, connected(server) as connections:
        for number in range(10):
            await connections.writes.set(f"key{number}", "value")
    path = tmp_path / "store" / "appendonlydir" / broken
    content = path.read_bytes()
    path.write_bytes(content[:60] + b"XXXXX" + content[65:])
    with pytest.raises(StoreRefusedError) as refusal:
        await EmbeddedServer(tmp_path).start()
    message = str(refusal.value)
    assert "\n" not in message
    assert re.search(r"the embedded store did not start: .*(append only|AOF).* \(exit code 1\)", message, re.I)
    assert message.endswith(f"(log: {tmp_path}/store/valkey.log)")
    assert not is_locked(tmp_path)
    # Once it is repaired, the same directory starts.
    path.write_bytes(content)
    async with EmbeddedServer(tmp_path) as server, connected(server) as connections:
        assert await connections.reads.dbsize() == 10


async def test_half_a_record_at_the_end_is_cut_off(tmp_path: Path) -> None:
    async with EmbeddedServer(tmp_path) as server, connected(server) as connections:
        await connections.writes.set("key", "value")
    with (tmp_path / "store" / "appendonlydir" / "appendonly.aof.1.incr.aof").open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    async with EmbeddedServer(tmp_path) as server, connected(server) as connections:
        assert await connections.reads.get("key") == "value"


async def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "store" / "valkey.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (MAX_BYTES + 1))
    async with EmbeddedServer(tmp_path):
        assert log.stat().st_size < MAX_BYTES
        assert (tmp_path / "store" / "valkey.log.1").stat().st_size > MAX_BYTES


async def test_opening_the_embedded_store_gives_connections_and_facts(tmp_path: Path) -> None:
    opened = await open_connections("embedded", tmp_path, None)
    assert opened.durability is Durability.FSYNC
    assert opened.location == f"embedded in {tmp_path}"
    assert opened.facts.product == "valkey"
    assert opened.facts.warnings == ()
    assert await opened.connections.writes.set("key", "value")
    await opened.aclose()
    assert not is_locked(tmp_path)


async def test_the_embedded_store_has_one_durability(tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match="--durability none is for a store of your own"):
        await open_connections("embedded", tmp_path, Durability.NONE)
