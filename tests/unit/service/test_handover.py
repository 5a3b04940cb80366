"""Leaving a port: nobody in the queue is hurt, and each client goes elsewhere by itself."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from promptwire_service.rpc import handover
from tests.unit.service.serving import SECONDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")


@asynccontextmanager
async def serving(asked: asyncio.Event | None = None, answer: asyncio.Event | None = None) -> AsyncIterator[int]:
    """The port of a server that answers with the caller's address, once `answer` is set if it is given."""

    async def peer(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        if asked and answer:
            asked.set()
            await answer.wait()
        return context.peer().encode()

    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    method = grpc.unary_unary_rpc_method_handler(peer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Test", {"Peer": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def peer(channel: grpc.aio.Channel) -> bytes:
    answer: bytes = await channel.unary_unary("/Test/Peer")(b"", timeout=SECONDS)
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_newcomers_are_ignored_and_those_who_wait_are_not(host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        address = listener.getsockname()[:2]
        with socket.create_connection(address) as waiting:
            handover._ignore_newcomers(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.2)
            accepted, _ = listener.accept()
            with accepted:
                waiting.sendall(b"here")
                assert accepted.recv(4) == b"here"


async def test_a_client_that_is_sent_away_makes_its_next_call_on_another_connection() -> None:
    async with serving() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        before = await peer(channel)
        assert await peer(channel) == before
        async with asyncio.timeout(SECONDS):
            await handover.send_away(port)
            while await peer(channel) == before:
                pass  # it has not heard of it yet, and is still served


async def test_a_call_under_way_is_answered_and_then_the_client_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "HANDSHAKE_SECONDS", 0.05)
    asked, answer = asyncio.Event(), asyncio.Event()
    async with serving(asked, answer) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calling = asyncio.create_task(peer(channel))
        async with asyncio.timeout(SECONDS):
            await asked.wait()
            await handover.close_listeners(port)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            await handover.send_away(port)
            leaving = asyncio.create_task(handover.all_left(port))
            await asyncio.sleep(0)
            assert not leaving.done()
            answer.set()
            assert await calling
            await leaving


async def test_a_connection_that_was_never_spoken_on_holds_up_until_it_ends() -> None:
    """It has not had gRPC's first frame, before which none of ours may come."""
    async with serving() as port:
        with socket.create_connection(("127.0.0.1", port)):
            sending = asyncio.create_task(handover.send_away(port))
            async with asyncio.timeout(SECONDS):
                await asyncio.wait({sending}, timeout=0.05)
        async with asyncio.timeout(SECONDS):
            await sending
            await handover.all_left(port)
