"""Calls past the bound of their class are refused, with a time to come again; other classes do not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.message import Message

from promptwire.domain import limits
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.rpc.admission import Admission, Bound, CallClass, Gate, class_of
from promptwire_service.rpc.binding import OWN_QUEUE, _unary
from promptwire_service.server import PROMPTS, SERVICES
from promptwire_service.storage.memory import MemoryStore
from tests.support.servers import until
from tests.unit.service.fakes import Below, a_prompt, a_version
from tests.unit.service.serving import SECONDS, Told, call, running_service, serving

READ = pb.GetPromptRequest(name="team/greeting")
WRITE = pb.SetTagsRequest(name="team/greeting", tags={"a": "b"}, write=common.WriteOptions(request_id="1", actor="ana"))
QUERY = pb.ListPromptsRequest()


class Held:
    """Calls of the store that wait for the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
        self.begun = 0
        self.ended = 0
        self.gate = asyncio.Event()
        real = getattr(target, name)

        async def held(*arguments: Any, **named: Any) -> Any:
            self.begun += 1
            try:
                await self.gate.wait()
                return await real(*arguments, **named)
            finally:
                self.ended += 1

        monkeypatch.setattr(target, name, held)


class Streams:
    """A Watch that says one thing, and then waits for its end."""

    async def watch(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Message]:
        yield pb.WatchResponse(bookmark=pb.WatchBookmark(nonce=1))
        async for _ in requests:
            pass

    async def stream_changes(self, request: Any, context: Any) -> AsyncIterator[Message]:
        yield pb.StreamChangesResponse()


@pytest.fixture
def below() -> Below:
    below = Below()
    below.store.add(a_prompt(), a_version())
    return below


@asynccontextmanager
async def bounded(below: Below, **most: Bound) -> AsyncIterator[grpc.aio.Channel]:
    admission = Admission(bounds={CallClass[kind]: bound for kind, bound in most.items()})
    async with serving(below, Streams(), admission) as channel:
        yield channel


async def read(channel: grpc.aio.Channel) -> pb.GetPromptResponse:
    answer: pb.GetPromptResponse = await call(channel, "PromptService/GetPrompt", READ, pb.GetPromptResponse)
    return answer


async def write(channel: grpc.aio.Channel) -> pb.SetTagsResponse:
    answer: pb.SetTagsResponse = await call(channel, "PromptService/SetTags", WRITE, pb.SetTagsResponse)
    return answer


async def query(channel: grpc.aio.Channel) -> pb.ListPromptsResponse:
    answer: pb.ListPromptsResponse = await call(channel, "PromptService/ListPrompts", QUERY, pb.ListPromptsResponse)
    return answer


def watch(channel: grpc.aio.Channel) -> Any:
    """A stream that stays open."""
    stream = channel.stream_stream("/promptwire.v1.PromptService/Watch", None, pb.WatchResponse.FromString)()
    return stream


async def test_a_full_class_is_refused_with_a_time_to_come_again_while_others_are_served(
    below: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, below.reader, "prompt")
    async with bounded(below, READS=Bound(2, 0.25)) as channel:
        inside = [asyncio.create_task(read(channel)) for _ in range(2)]
        await until(lambda: held.begun == 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read(channel)
        told = Told(caught.value)
        assert (told.code, told.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert told.info.metadata == {"calls": "reads"}
        assert told.retry.retry_delay.ToMilliseconds() == 250
        assert held.begun == 2
        await query(channel)
        await write(channel)
        stream = watch(channel)
        assert (await stream.read()).bookmark.nonce == 1
        stream.cancel()
        held.gate.set()
        await asyncio.gather(*inside)
        await read(channel)
        assert held.begun == held.ended == 3


async def test_a_flood_of_writes_leaves_reads_alone(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch, below.store, "write")
    async with bounded(below, WRITES=Bound(1, 0.25)) as channel:
        inside = asyncio.create_task(write(channel))
        await until(lambda: held.begun == 1)
        outcomes = await asyncio.gather(*(write(channel) for _ in range(50)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {grpc.aio.AioRpcError}
        await read(channel)
        held.gate.set()
        await inside
        await write(channel)


async def test_queries_wait_for_their_turn_and_one_whose_caller_has_gone_is_never_begun(
    below: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch, below.store, "list_prompts")
    admission = Admission(bounds={CallClass.QUERIES: Bound(3, 0.25, at_once=1)})
    gate = admission.gate(PROMPTS.methods_by_name["ListPrompts"])
    async with serving(below, Streams(), admission) as channel:
        first = asyncio.create_task(query(channel))
        await until(lambda: held.begun == 1)
        leaves = channel.unary_unary("/promptwire.v1.PromptService/ListPrompts")(QUERY.SerializeToString())
        stays = asyncio.create_task(query(channel))
        await until(lambda: gate.in_progress == 3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await query(channel)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        leaves.cancel()
        await until(lambda: gate.in_progress == 2)
        held.gate.set()
        await asyncio.gather(first, stays)
        assert held.begun == 2
        await until(lambda: gate.in_progress == 0)


async def test_streams_have_a_bound_of_their_own(below: Below) -> None:
    async with bounded(below, STREAMS=Bound(2, 1.0)) as channel:
        streams = [watch(channel) for _ in range(2)]
        for stream in streams:
            assert (await stream.read()).bookmark.nonce == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch(channel).read()
        assert Told(caught.value).info.reason == "OVERLOADED"
        await read(channel)
        streams.pop().cancel()
        async with asyncio.timeout(SECONDS):
            while True:  # until the service has seen that the stream is gone
                stream = watch(channel)
                try:
                    await stream.read()
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.01)
                else:
                    break
        stream.cancel()
        streams.pop().cancel()


class Late:
    """What a handler knows of a call whose deadline has passed."""

    def __init__(self) -> None:
        self.code: grpc.StatusCode | None = None

    def time_remaining(self) -> float:
        return 0.0

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.code = code
        raise grpc.aio.AbortError(details)


async def test_an_expired_call_never_reaches_its_command(below: Below) -> None:
    """gRPC cancels such a call as soon as it can; this is what is left when it comes out of a queue."""
    begun: list[object] = []

    async def command(request: object, context: object) -> bytes:
        begun.append(request)
        return b""

    gate = Gate(CallClass.READS, Bound(1, 0.1))
    late: Any = Late()
    with pytest.raises(grpc.aio.AbortError):
        await _unary("GetPrompt", command, gate)(READ, late)
    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert begun == []
    assert gate.in_progress == 0


async def test_refusals_are_one_line_a_minute_in_the_log(below: Below) -> None:
    times = [100.0]

    class Caller:
        async def abort_with_status(self, status: object) -> None:
            raise grpc.aio.AbortError

    gate = Gate(CallClass.READS, Bound(1, 0.1), clock=lambda: times[-1])
    caller: Any = Caller()
    with structlog.testing.capture_logs() as logged:
        for now in (100.0, 100.1, 159.9, 160.0):
            times.append(now)
            with pytest.raises(grpc.aio.AbortError):
                await gate.refuse(caller)
    assert [(entry["calls"], entry["refused"]) for entry in logged] == [("reads", 1), ("reads", 3)]


def test_every_method_has_a_class() -> None:
    methods = [method for service in SERVICES for method in service.methods]
    by_class = {kind: {method.name for method in methods if class_of(method) is kind} for kind in CallClass}
    assert by_class[CallClass.STREAMS] == {"Watch", "StreamChanges", "ServerReflectionInfo"}
    assert by_class[CallClass.PROBES] == {"Check", "List"}
    assert by_class[CallClass.READS] == {"Resolve", "BatchResolve", "GetPrompt", "GetPromptVersion", "GetStatus"}
    assert {"RegisterPrompt", "SetAlias", "Release", "UndoRelease", "LogMetrics"} <= by_class[CallClass.WRITES]
    assert {"SearchPrompts", "ListPrompts", "DiffVersions", "QueryMetrics"} <= by_class[CallClass.QUERIES]


def test_what_has_a_queue_of_its_own_exists() -> None:
    assert {method.name for service in SERVICES for method in service.methods} >= OWN_QUEUE


async def test_a_request_may_have_4_mib_and_a_release_16(below: Below) -> None:
    large = "x" * (limits.REQUEST_MAX_BYTES + 1)
    async with serving(below) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "PromptService/GetPrompt", pb.GetPromptRequest(name=large), pb.GetPromptResponse)
        told = Told(caught.value)
        assert (told.code, told.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["request"])
        assert f"at most {limits.REQUEST_MAX_BYTES:,} bytes" in told.message
        release = pb.ReleaseRequest(title=large)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "PromptService/Release", release, pb.ReleaseResponse)
        assert "title" in Told(caught.value).fields
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # by gRPC, which reads no more of it
            await call(channel, "PromptService/Release", pb.ReleaseRequest(title=large * 4), pb.ReleaseResponse)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_compressed_request_is_refused_before_it_is_taken_apart(below: Below) -> None:
    bomb = pb.GetPromptRequest(name="x" * (8 << 20)).SerializeToString()
    async with serving(below) as channel:
        method = channel.unary_unary("/promptwire.v1.PromptService/GetPrompt")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(bomb, timeout=SECONDS, compression=grpc.Compression.Gzip)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_caller_s_deadline_ends_the_store_s_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that caches share, and a write: neither waits on for a connection to the store."""
    store = MemoryStore()
    async with running_service(store) as address, grpc.aio.insecure_channel(address) as channel:
        # Of a namespace without a write, nothing would be read.
        first = pb.RegisterPromptRequest(
            name="another",
            content=common.Content(text="x"),
            write=common.WriteOptions(request_id="first", actor="ana"),
        )
        await call(channel, "PromptService/RegisterPrompt", first, pb.RegisterPromptResponse)
        reads = Held(monkeypatch, store, "read_prompts")
        writes = Held(monkeypatch, store, "write")
        for method, request, held in (("GetPrompt", READ, reads), ("SetTags", WRITE, writes)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/promptwire.v1.PromptService/{method}")(
                    request.SerializeToString(), timeout=0.3
                )
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda held=held: held.begun == held.ended)
        assert (reads.begun, writes.begun) == (1, 1)
