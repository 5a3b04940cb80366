"""Streams over a real socket: messages and encoded ones, failures, bytes that are no message, hanging up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.message import Message

from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.errors import (
    shutting_down,
)
from promptwire_service.rpc.watch_service import WatchService
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch.coherence import Coherence
from tests.unit.service.fakes import Below
from tests.unit.service.serving import SECONDS, NoStreams, Told, serving


async def told(awaitable: Awaitable[Any]) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return Told(caught.value)


@dataclass
class Streams(NoStreams):
    """Echoes nonces until told otherwise."""

    failure: Exception | None = None
    closed: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, requests: AsyncIterator[pb.WatchRequest], context: Any) -> AsyncIterator[Message | bytes]:
        try:
            async for request in requests:
                if self.failure:
                    raise self.failure
                reply = pb.WatchResponse(bookmark=pb.WatchBookmark(nonce=request.renew.nonce))
                yield reply if request.renew.nonce % 2 else reply.SerializeToString()
        finally:
            self.closed += 1
            self.closing.set()

    async def stream_changes(self, request: Any, context: Any) -> AsyncIterator[Message]:
        yield pb.StreamChangesResponse(actor="ana")
        if self.failure:
            raise self.failure


def renew(nonce: int) -> bytes:
    return pb.WatchRequest(renew=pb.WatchRenew(nonce=nonce)).SerializeToString()


async def test_streams_carry_messages_and_encoded_ones_alike(below: Below) -> None:
    async with serving(below, streams := Streams()) as channel:
        watch = channel.stream_stream("/promptwire.v1.PromptService/Watch", None, pb.WatchResponse.FromString)
        replies = [reply.bookmark.nonce async for reply in watch(iter([renew(1), renew(2), renew(3)]), timeout=SECONDS)]
    assert (replies, streams.closed) == ([1, 2, 3], 1)


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (shutting_down(), grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
        (ZeroDivisionError("secret"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    ],
)
async def test_a_stream_that_fails_ends_with_the_error(
    below: Below, failure: Exception, code: grpc.StatusCode, reason: str
) -> None:
    async with serving(below, streams := Streams(failure)) as channel:
        changes = channel.unary_stream("/promptwire.v1.PromptService/StreamChanges")(b"", timeout=SECONDS)
        assert await changes.read() == pb.StreamChangesResponse(actor="ana").SerializeToString()
        error = await told(changes.read())
        assert (error.code, error.info.reason) == (code, reason)
        watch = channel.stream_stream("/promptwire.v1.PromptService/Watch")(iter([renew(1)]), timeout=SECONDS)
        error = await told(watch.read())
        assert (error.code, error.info.reason, streams.closed) == (code, reason, 1)


async def test_a_malformed_message_on_a_stream_ends_it_by_its_field(below: Below) -> None:
    async with serving(below, streams := Streams()) as channel:
        bad = b"\x0a\x04\x0a\x02\xff\xfe"
        watch = channel.stream_stream("/promptwire.v1.PromptService/Watch")(iter([renew(1), bad]), timeout=SECONDS)
        await watch.read()
        error = await told(watch.read())
        assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["hello.namespace"])
        changes = channel.unary_stream("/promptwire.v1.PromptService/StreamChanges")(
            b"\x0a\x02\xff\xfe", timeout=SECONDS
        )
        error = await told(changes.read())
        assert (error.fields, streams.closed) == (["namespace"], 1)


async def test_a_watcher_that_hangs_up_is_let_go_of_at_once(below: Below) -> None:
    async with serving(below, streams := Streams()) as channel:
        watch = channel.stream_stream("/promptwire.v1.PromptService/Watch")()
        await watch.write(renew(1))
        await watch.read()
        watch.cancel()
        await asyncio.wait_for(streams.closing.wait(), SECONDS)


async def test_a_handler_may_end_a_call_itself(below: Below) -> None:
    class Aborting(NoStreams):
        async def stream_changes(self, request: Any, context: Any) -> AsyncIterator[Message]:
            await context.abort(grpc.StatusCode.NOT_FOUND, "mine")
            yield

    with structlog.testing.capture_logs() as logged:
        async with serving(below, Aborting()) as channel:
            changes = channel.unary_stream("/promptwire.v1.PromptService/StreamChanges")(b"", timeout=SECONDS)
            with pytest.raises(grpc.aio.AioRpcError, match="mine"):
                await changes.read()
    assert not logged


async def test_a_stream_that_opens_during_a_drain_is_refused(below: Below) -> None:
    coherence = Coherence(MemoryStore())
    try:
        async with serving(below, WatchService(coherence)) as channel:
            watch = channel.stream_stream("/promptwire.v1.PromptService/Watch", None, pb.WatchResponse.FromString)
            hello = pb.WatchRequest(hello=pb.WatchHello()).SerializeToString()
            assert (await watch(iter([hello]), timeout=SECONDS).read()).WhichOneof("message") == "update"
            await coherence.drain()
            refused = await told(watch(iter([hello]), timeout=SECONDS).read())
        assert refused.info.reason == "SHUTTING_DOWN"
    finally:
        await coherence.close()
