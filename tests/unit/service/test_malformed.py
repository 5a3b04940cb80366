"""Bytes that are no request: answered as bad input, by the field that is wrong, whatever they are."""

from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from promptwire.v1 import common_pb2
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.rpc.malformed import Malformed
from tests.unit.service.fakes import Below
from tests.unit.service.serving import Told, call, serving


def encoded(message: Message) -> bytes:
    """A message with two bytes that are not UTF-8 for each `<>`: protobuf itself refuses to make one."""
    return message.SerializeToString().replace(b"<>", b"\xff\xfe")


WHOLE = pb.RegisterPromptRequest(
    namespace="default",
    name="team/greeting",
    content=common_pb2.Content(text="Hello", response_format_json="{}"),
    tags={"use": "case"},
    write=common_pb2.WriteOptions(request_id="r-1"),
)


@pytest.fixture
async def channel(below: Below) -> AsyncIterator[grpc.aio.Channel]:
    async with serving(below) as opened:
        yield opened


async def told(channel: grpc.aio.Channel, method: str, data: bytes) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, f"PromptService/{method}", data, getattr(pb, f"{method}Response"))
    return Told(caught.value)


async def failure_of(calling: Awaitable[Message]) -> Told | None:
    """How a call failed; None when it did not."""
    try:
        await calling
    except grpc.aio.AioRpcError as error:
        return Told(error)
    return None


@pytest.mark.parametrize(
    ("method", "data", "field", "rule"),
    [
        ("Resolve", encoded(pb.ResolveRequest(reference="ab<>")), "reference", "byte 2 is not"),
        ("GetPrompt", encoded(pb.GetPromptRequest(name="<>")), "name", "must be UTF-8"),
        (
            "RegisterPrompt",
            encoded(pb.RegisterPromptRequest(name="a", content=common_pb2.Content(text="x<>"))),
            "content.text",
            "must be UTF-8",
        ),
        ("RegisterPrompt", encoded(pb.RegisterPromptRequest(tags={"a": "<>"})), "tags.value", "must be UTF-8"),
        ("RegisterPrompt", encoded(pb.RegisterPromptRequest(tags={"<>": "a"})), "tags.key", "must be UTF-8"),
        (
            "GetPrompt",
            encoded(pb.GetPromptRequest(read=common_pb2.ReadOptions(min_revision=common_pb2.Revision(epoch="<>")))),
            "read.min_revision.epoch",
            "must be UTF-8",
        ),
        ("BatchResolve", encoded(pb.BatchResolveRequest(references=["a", "<>"])), "references", "must be UTF-8"),
        ("RegisterPrompt", WHOLE.SerializeToString()[:-1], "request", "cut off"),
        ("RegisterPrompt", b"\x1a\x03\x0a\x05x", "content", "cut off"),
        ("GetPrompt", b"\x00", "request", "garbled"),
        ("GetPrompt", b"\x0f", "request", "garbled"),
        ("GetPrompt", b"\xff" * 20, "request", "garbled"),
    ],
)
async def test_malformed_bytes_are_refused_by_their_field(
    channel: grpc.aio.Channel, method: str, data: bytes, field: str, rule: str
) -> None:
    error = await told(channel, method, data)
    assert (error.code, error.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert error.fields == [field]
    assert rule in error.descriptions[0]


def test_a_packed_number_that_is_cut_off_is_named() -> None:
    subscription = b"\x0a\x01a\x1a\x02\x05\x80"
    data = b"\x12" + bytes([len(subscription) + 2]) + b"\x0a" + bytes([len(subscription)]) + subscription
    with pytest.raises(DecodeError):
        pb.WatchRequest.FromString(data)
    violation = Malformed(pb.WatchRequest.DESCRIPTOR, data).violation()
    assert violation.field == "subscribe.subscriptions.versions"


async def test_no_bytes_whatever_are_an_internal_error(channel: grpc.aio.Channel) -> None:
    """Every prefix of a request, and every request with one byte changed."""
    data = WHOLE.SerializeToString()
    changed = [
        data[:index] + bytes([data[index] ^ flip]) + data[index + 1 :]
        for index in range(len(data))
        for flip in (1, 128, 255)
    ]
    for mutant in [data[:index] for index in range(len(data))] + changed:
        failure = await failure_of(call(channel, "PromptService/RegisterPrompt", mutant, pb.RegisterPromptResponse))
        if failure is not None:
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT, mutant
            assert failure.fields, mutant


@given(
    data=st.binary(max_size=200),
    request=st.sampled_from(
        [pb.RegisterPromptRequest, pb.WatchRequest, pb.BatchResolveRequest, pb.StreamChangesRequest]
    ),
)
def test_a_violation_is_found_in_any_bytes(data: bytes, request: type[Message]) -> None:
    violation = Malformed(request.DESCRIPTOR, data).violation()
    assert violation.field
    assert violation.description
