"""A service that is used up: by sockets that say nothing, and by messages that are made to be large."""

import gzip
import os
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import psutil
import pytest

import promptwire
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess, running_service

DESCRIPTORS = 300
CLIENTS = DESCRIPTORS - DESCRIPTORS // 4
HANDSHAKE_SECONDS = 3

# `promptwire serve` with a shorter patience, under a limit that it finds and cannot raise.
SERVED = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS - 50}, {DESCRIPTORS}))
from promptwire_service import descriptors
from promptwire_service.rpc import transport
descriptors._LOOK_SECONDS = 0.1
transport.OPTIONS += (("grpc.server_handshake_timeout_ms", {HANDSHAKE_SECONDS * 1000}),)
from promptwire.cli import main
main()
"""


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service with few descriptors."""
    service = ServiceProcess(tmp_path / "data", python=("-c", SERVED))
    service.start()
    try:
        yield service
    finally:
        service.stop()


def is_closed(silent: socket.socket) -> bool:
    """What the service said, its SETTINGS, is read away."""
    try:
        while silent.recv(4096, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def test_more_sockets_than_there_may_be_do_not_touch_who_is_there_and_make_room_again(small: ServiceProcess) -> None:
    with ExitStack() as stack:
        agent = stack.enter_context(promptwire.Client(small.target, timeout_seconds=60))
        agent.register_prompt("p", "one")
        agent.register_prompt("p", "two")
        agent.set_prompt_alias("p", "production", 1)
        assert agent.load_prompt("p@production").version == 1
        assert psutil.Process(small.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
        host, _, port = small.target.partition(":")
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(2 * CLIENTS)]
        # Those past the bound are closed as they come, without a word.
        until(lambda: sum(map(is_closed, silent)) >= CLIENTS - 2, "what is past the bound is closed")
        agent.set_prompt_alias("p", "production", 2)
        until(lambda: agent.load_prompt("p@production").version == 2, "the agent still converges")
        until(lambda: "new clients are refused" in small.log_path.read_text(), "the log says so")
        newcomer = stack.enter_context(promptwire.Client(small.target, timeout_seconds=60))
        assert newcomer.load_prompt("p@production").version == 2
        until(lambda: all(map(is_closed, silent)), "who says nothing is not kept")
        assert agent.load_prompt("p@production").version == 2
    assert small.log_path.read_text().count("new clients are refused") == 1


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header that is not indexed: RFC 7541, 6.2.2."""
    return b"".join((b"\x00", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))


def bomb(megabytes: int) -> bytes:
    """A gRPC message of so many bytes, compressed a thousandfold."""
    squeezed = gzip.compress(pb.GetPromptRequest(name="x" * (megabytes << 20)).SerializeToString())
    return struct.pack(">BI", 1, len(squeezed)) + squeezed


def test_a_compressed_message_is_not_taken_apart(small: ServiceProcess) -> None:
    """Sent by hand: the headers, then the message without waiting for an answer."""
    headers = b"".join(
        literal(name, value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/promptwire.v1.PromptService/GetPrompt"),
            (":authority", "x"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-encoding", "gzip"),
        )
    )
    process = psutil.Process(small.process.pid)
    before, peak = process.memory_info().rss, 0
    data = bomb(64)
    assert len(data) < 65_535  # of HTTP/2's first window
    host, _, port = small.target.partition(":")
    with ExitStack() as stack:
        for _ in range(16):
            attacker = stack.enter_context(socket.create_connection((host, int(port))))
            attacker.sendall(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, headers))
            for start in range(0, len(data), 16_384):
                attacker.sendall(frame(0, int(start + 16_384 >= len(data)), 1, data[start : start + 16_384]))
        with promptwire.Client(small.target, timeout_seconds=60) as client:
            for number in range(50):
                client.register_prompt("p", f"version {number}")
                peak = max(peak, process.memory_info().rss)
    assert peak - before < 64 << 20


def test_a_message_larger_than_any_is_bad_input(small: ServiceProcess) -> None:
    with (
        promptwire.Client(small.target, timeout_seconds=60) as client,
        pytest.raises(promptwire.InvalidArgumentError),
    ):
        client.register_prompt("p", "x" * (20 << 20))


def test_workers_raise_their_limit_too(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    service = ServiceProcess(
        tmp_path / "data",
        "--workers",
        "2",
        python=(
            "-c",
            f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({hard // 2}, {hard}))\n"
            "from promptwire.cli import main; main()",
        ),
    )
    service.start()
    try:
        workers = [
            child
            for child in psutil.Process(service.process.pid).children()
            if "promptwire_service.workers.worker" in child.cmdline()
        ]
        assert [child.rlimit(psutil.RLIMIT_NOFILE)[0] for child in workers] == [min(hard, 1 << 20)] * 2
        with grpc.insecure_channel(service.target) as channel:
            grpc.channel_ready_future(channel).result(30)
    finally:
        service.stop()


FLEET = 400
"""More than gRPC lets wait to be accepted at a time."""


def test_a_fleet_that_comes_at_once_is_served(tmp_path: Path) -> None:
    """All of it while the service is paused, which finds it when it goes on. Who is refused asks again."""
    hello = pb.WatchHello(client_id="x", subscriptions=[pb.Subscription(name="p", aliases=["production"])])
    ended = threading.Event()

    def requests() -> Iterator[pb.WatchRequest]:
        yield pb.WatchRequest(hello=hello)
        ended.wait()

    def said(stub: pb_grpc.PromptServiceStub, call: Iterator[pb.WatchResponse]) -> pb.WatchResponse:
        while True:
            try:
                return next(call)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE):  # type: ignore[attr-defined]
                    raise
            call = stub.Watch(requests())

    with running_service(tmp_path / "data") as service, ExitStack() as stack:
        with promptwire.Client(service.target, timeout_seconds=60) as client:
            client.register_prompt("p", "one")
            client.set_prompt_alias("p", "production", 1)
        stack.callback(ended.set)
        os.kill(service.process.pid, signal.SIGSTOP)
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [stack.enter_context(grpc.insecure_channel(service.target, options)) for _ in range(FLEET)]
        stubs = [pb_grpc.PromptServiceStub(channel) for channel in channels]
        fleet = [(stub, stub.Watch(requests(), timeout=120)) for stub in stubs]
        os.kill(service.process.pid, signal.SIGCONT)
        assert {said(stub, call).update.states[0].name for stub, call in fleet} == {"p"}
