"""The service as a process: how it starts, how it ends, and what it says of both."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire_service import main, process, server
from promptwire_service.config import Settings
from promptwire_service.server import serve
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.problems import StoreRefusedError, StoreUnreachableError
from tests.support.servers import until
from tests.unit.service.serving import SECONDS, call

SERVING = health_pb2.HealthCheckResponse.SERVING


def taken(host: str = "127.0.0.1") -> socket.socket:
    listener = socket.create_server((host, 0))
    listener.listen()
    return listener


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that `serve` opens."""
    store = MemoryStore()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryStore]:
        yield store

    monkeypatch.setattr(server, "opened_store", opened)
    return store


async def started(**settings: Any) -> tuple[asyncio.Task[int], str]:
    """`serve` once it is ready, and its address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(serve(Settings(listen="127.0.0.1:0", **settings), ready=ready.set_result))
    async with asyncio.timeout(SECONDS):
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
    return running, ready.result()


async def exit_code(running: asyncio.Task[int]) -> int:
    async with asyncio.timeout(SECONDS):
        return await running


class Stuck:
    """A store's status that does not come, and a call that waits for it."""

    def __init__(self, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        info = memory.info

        async def stuck() -> Any:
            self.asked.set()
            await self.go_on.wait()
            return await info()

        monkeypatch.setattr(memory, "info", stuck)

    async def call(self, channel: grpc.aio.Channel) -> asyncio.Task[Any]:
        """A call that is under way."""
        request = admin_pb.GetStatusRequest()
        calling = asyncio.create_task(call(channel, "AdminService/GetStatus", request, admin_pb.GetStatusResponse))
        async with asyncio.timeout(SECONDS):
            await self.asked.wait()
        return calling


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(memory: MemoryStore, number: signal.Signals) -> None:
    running, _ = await started()
    os.kill(os.getpid(), number)
    assert await exit_code(running) == 0


async def test_a_sighup_is_answered_in_the_log_and_ends_nothing(memory: MemoryStore) -> None:
    with structlog.testing.capture_logs() as logged:
        running, address = await started()
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(SECONDS):
            await until(lambda: any("--workers 2 or more" in entry["event"] for entry in logged))
        async with grpc.aio.insecure_channel(address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            assert (await check).status == SERVING
        os.kill(os.getpid(), signal.SIGTERM)
        assert await exit_code(running) == 0


async def test_a_call_under_way_is_finished_before_it_ends(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, address = await started(drain_seconds=60)
    stuck = Stuck(memory, monkeypatch)
    async with grpc.aio.insecure_channel(address) as channel:
        calling = await stuck.call(channel)
        os.kill(os.getpid(), signal.SIGTERM)
        await refused(address)
        assert not running.done()
        stuck.go_on.set()
        assert (await calling).store.reachable
        assert await exit_code(running) == 0


async def refused(address: str) -> None:
    """Returns once new calls are refused."""
    async with asyncio.timeout(SECONDS), grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while True:
            try:
                await check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.aio.AioRpcError:
                return
            await asyncio.sleep(0.01)


async def test_a_call_that_does_not_end_is_waited_for_no_longer_than_the_drain(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "CLOSE_SECONDS", 60.0)
    running, address = await started(drain_seconds=0.05)
    stuck = Stuck(memory, monkeypatch)
    async with grpc.aio.insecure_channel(address) as channel:
        calling = await stuck.call(channel)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await exit_code(running) == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await calling


async def test_a_second_signal_does_not_wait_for_the_drain(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, address = await started(drain_seconds=3_600)
    stuck = Stuck(memory, monkeypatch)
    async with grpc.aio.insecure_channel(address) as channel:
        calling = await stuck.call(channel)
        os.kill(os.getpid(), signal.SIGTERM)
        await refused(address)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await exit_code(running) == 128 + signal.SIGTERM
        with pytest.raises(grpc.aio.AioRpcError):
            await calling


async def test_a_store_that_does_not_close_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryStore]:
        yield MemoryStore()
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "opened_store", opened)
    monkeypatch.setattr(process, "CLOSE_SECONDS", 0.05)
    running, _ = await started(drain_seconds=0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await exit_code(running) == 0


async def test_a_signal_while_the_store_opens_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = asyncio.Event()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryStore]:
        opening.set()
        await asyncio.Event().wait()
        yield MemoryStore()

    monkeypatch.setattr(server, "opened_store", opened)
    running = asyncio.create_task(serve(Settings(listen="127.0.0.1:0")))
    async with asyncio.timeout(SECONDS):
        await opening.wait()
    os.kill(os.getpid(), signal.SIGINT)
    assert await exit_code(running) == 0


@pytest.mark.parametrize(("error", "code"), [(StoreRefusedError, 1), (StoreUnreachableError, 3)])
async def test_a_store_that_will_not_do_is_one_line_and_its_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Any, code: int
) -> None:
    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[MemoryStore]:
        raise error("redis://h:1/0 will not do")
        yield MemoryStore()

    monkeypatch.setattr(server, "opened_store", opened)
    assert await serve(Settings(listen="127.0.0.1:0")) == code
    assert capsys.readouterr() == ("", "error: redis://h:1/0 will not do\n")


async def test_a_taken_port_is_one_line_before_the_store_is_opened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "opened_store", None)
    with taken() as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert await serve(Settings(listen=address)) == 1
    assert capsys.readouterr() == ("", f"error: cannot listen on {address}: address in use\n")


async def test_cancelled_it_ends_in_order(memory: MemoryStore) -> None:
    running, address = await started(drain_seconds=0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exit_code(running)
    await refused(address)


def test_a_bad_setting_is_one_line_and_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMPTWIRE_DRAIN_SECONDS", "soon")
    assert main.run(store=None) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: PROMPTWIRE_DRAIN_SECONDS: ")
    assert err.count("\n") == 1


async def test_the_process_tells_one_line_serves_and_ends(tmp_path: Path) -> None:
    """With the embedded store, by the address that it prints."""
    program = "import sys; from promptwire_service.main import run; sys.exit(run(listen='127.0.0.1:0'))"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PROMPTWIRE_DATA_DIR": str(tmp_path / "data")},
    )
    assert process.stdout
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("promptwire ")
        assert line.endswith(f" (store embedded in {tmp_path / 'data'}, durability fsync)\n")
        address = line.split(" serving on ")[1].split(" ")[0]
        async with grpc.aio.insecure_channel(address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
            assert (await check).status == SERVING
        process.terminate()
        out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err


async def test_a_thread_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    """As a look-up of a host name may."""
    program = """
import asyncio, sys, time
from promptwire_service import main, process, server
started = server.Service.start
async def start(service, address):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
    return await started(service, address)
server.Service.start = start
sys.exit(main.run(listen="127.0.0.1:0"))
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PROMPTWIRE_DATA_DIR": str(tmp_path / "data")},
    )
    assert process.stdout
    async with asyncio.timeout(60):
        assert await process.stdout.readline()
        process.terminate()
        assert await process.wait() == 0
