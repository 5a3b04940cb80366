"""Streams end by themselves when their connection is old, and before gRPC cuts them."""

import asyncio

import grpc
import pytest

from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.rpc.connection_age import ConnectionAge
from promptwire_service.server import Service
from promptwire_service.storage.memory import MemoryStore
from tests.unit.service.serving import SECONDS

GRPC_JITTER = 0.1
LEAVE_SECONDS = 1.0


@pytest.mark.parametrize("seconds", [1.0, 600.0, 86_400.0])
def test_a_stream_ends_after_its_connection_s_age_and_before_the_grace_is_over(seconds: float) -> None:
    options = dict(ConnectionAge(seconds).options())
    age, grace = (options[f"grpc.max_connection_{name}_ms"] / 1000 for name in ("age", "age_grace"))
    earliest, latest = (
        ConnectionAge(seconds, uniform).stream_seconds() for uniform in (lambda a, b: a, lambda a, b: b)
    )
    assert earliest >= age * (1 + GRPC_JITTER)
    assert latest + LEAVE_SECONDS < grace
    assert latest - earliest >= 0.3 * age


def test_without_an_age_nothing_ends() -> None:
    age = ConnectionAge(0.0)
    assert (age.options(), age.stream_seconds()) == ((), float("inf"))
    with age.at_end_of_stream(pytest.fail, 0):  # needs no event loop, for it sets no timer
        pass


async def test_an_old_watch_is_told_goodbye_and_its_next_stream_takes_another_connection() -> None:
    service = Service(MemoryStore(), connection_age_seconds=0.2)
    address = await service.start("127.0.0.1:0")
    peers = []
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(SECONDS):
            for _ in range(2):
                watch = channel.stream_stream("/promptwire.v1.PromptService/Watch", None, pb.WatchResponse.FromString)
                call = watch()
                await call.write(pb.WatchRequest(hello=pb.WatchHello()).SerializeToString())
                frames = [(await call.read()).WhichOneof("message")]
                peers.append((await service._coherence.space("default")).hub.watchers.copy().pop().peer)
                frames.append((await call.read()).WhichOneof("message"))
                assert frames == ["update", "goodbye"]
                call.cancel()
        assert len(set(peers)) == 2
    finally:
        await service.stop(0)


async def test_an_old_change_feed_ends_without_an_error() -> None:
    service = Service(MemoryStore(), connection_age_seconds=0.2)
    address = await service.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(SECONDS):
            follow = channel.unary_stream("/promptwire.v1.PromptService/StreamChanges")
            assert len([reply async for reply in follow(b"")]) == 1
    finally:
        await service.stop(0)
