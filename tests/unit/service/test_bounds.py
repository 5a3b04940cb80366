"""What a request may hold: every text, list and map has a limit, which is checked before anything is done."""

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from promptwire.domain import limits
from promptwire.v1 import metrics_service_pb2 as metrics_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.rpc.admission import Admission
from promptwire_service.rpc.binding import bind
from promptwire_service.rpc.bounds import VIOLATIONS_MAX, Checker
from promptwire_service.server import ADMIN, METRICS, PROMPTS
from tests.unit.service.fakes import Below
from tests.unit.service.serving import Told, call, serving

METHODS = [method for service in (PROMPTS, ADMIN, METRICS) for method in service.methods]
TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def overfull(descriptor: Descriptor, path: str = "") -> Iterator[tuple[Message, str]]:
    """Messages of a kind, each with one field that holds far too much, and the field's name."""
    for field in descriptor.fields:
        message = GetMessageClass(descriptor)()
        if is_map(field):
            key, value = field.message_type.fields
            entries = getattr(message, field.name)
            for number in range(20_001):
                index = number if key.type not in TEXTS else str(number)
                entries[index] = "" if value.type in TEXTS else 1
            yield message, f"{path}{field.name}"
        elif field.is_repeated and field.message_type is not None:
            for _ in range(20_001):
                getattr(message, field.name).add()
            yield message, f"{path}{field.name}"
            for inner, name in overfull(field.message_type, f"{path}{field.name}[0]."):
                whole = GetMessageClass(descriptor)()
                getattr(whole, field.name).add().CopyFrom(inner)
                yield whole, name
        elif field.is_repeated:
            items = getattr(message, field.name)
            one = b"x" if field.type == FieldDescriptor.TYPE_BYTES else "x"
            items.extend([one] * 20_001 if field.type in TEXTS else range(1, 20_002))
            yield message, f"{path}{field.name}"
            if field.type in TEXTS:
                whole = GetMessageClass(descriptor)()
                getattr(whole, field.name).append(one * 2_000_000)
                yield whole, f"{path}{field.name}"
        elif field.message_type is not None:
            for inner, name in overfull(field.message_type, f"{path}{field.name}."):
                whole = GetMessageClass(descriptor)()
                getattr(whole, field.name).CopyFrom(inner)
                yield whole, name
        elif field.type in TEXTS:
            setattr(message, field.name, "x" * 2_000_000)
            yield message, f"{path}{field.name}"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_text_list_and_map_of_every_request_has_a_limit(method: MethodDescriptor) -> None:
    checker = Checker(method.input_type)
    for message, field in overfull(method.input_type):
        found = checker.violations(message, message.ByteSize())
        assert found[0].field == field
        assert "at most" in found[0].description
        assert "got " in found[0].description


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_an_empty_request_needs_no_check(method: MethodDescriptor) -> None:
    assert Checker(method.input_type).violations(GetMessageClass(method.input_type)(), 0) == []


def test_a_resolve_of_ordinary_size_is_not_looked_at() -> None:
    request = pb.ResolveRequest(namespace="default", reference="prompts:/team/greeting@production")
    assert request.ByteSize() <= Checker(pb.ResolveRequest.DESCRIPTOR).over_bytes


async def test_a_field_without_a_limit_is_an_error_at_start() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="unlimited.proto", package="unlimited", syntax="proto3")
    message = file.message_type.add(name="UnlimitedRequest")
    message.field.add(name="colours", number=1, label=3, type=9)
    service = file.service.add(name="UnlimitedService")
    service.method.add(
        name="Paint", input_type=".unlimited.UnlimitedRequest", output_type=".unlimited.UnlimitedRequest"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    class Handlers:
        async def paint(self, request: object, context: object) -> bytes:
            return b""

    with pytest.raises(TypeError, match=r"unlimited\.UnlimitedRequest\.colours has no limit"):
        bind(grpc.aio.server(), Admission(), pool.FindServiceByName("unlimited.UnlimitedService"), Handlers())


def test_the_entries_of_a_list_s_items_are_counted_together() -> None:
    within = [pb.Subscription(name=name, versions=range(1, 10_001)) for name in "abc"]
    checker = Checker(pb.WatchRequest.DESCRIPTOR)
    request = pb.WatchRequest(subscribe=pb.WatchSubscribe(subscriptions=within))
    assert checker.violations(request, request.ByteSize()) == []
    request.subscribe.subscriptions.add(name="d", aliases=["production"])
    (found,) = checker.violations(request, request.ByteSize())
    assert found.field == "subscribe.subscriptions"
    assert "at most 30,000 entries" in found.description
    assert "got 30,001 in the first 4" in found.description


def test_a_request_with_much_too_much_is_not_read_to_its_end() -> None:
    request = metrics_pb.LogMetricsRequest(observations=[{"name": "x" * 1_000}] * limits.BATCH_MAX)
    found = Checker(metrics_pb.LogMetricsRequest.DESCRIPTOR).violations(request, request.ByteSize())
    assert [violation.field for violation in found] == [
        f"observations[{index}].name" for index in range(VIOLATIONS_MAX)
    ]


@pytest.fixture
async def channel(below: Below) -> AsyncIterator[grpc.aio.Channel]:
    async with serving(below) as opened:
        yield opened


async def test_a_caller_is_told_field_rule_and_count(channel: grpc.aio.Channel) -> None:
    request = pb.SearchVersionsRequest(order_by=["name"] * 40_000)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, "PromptService/SearchVersions", request, pb.SearchVersionsResponse)
    told = Told(caught.value)
    assert (told.code, told.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert (told.fields, told.descriptions) == (["order_by"], ["must be at most 8; got 40,000"])


async def test_a_stream_s_request_is_checked_as_well(channel: grpc.aio.Channel) -> None:
    request = pb.StreamChangesRequest(names=["x"] * 10_001)
    changes = channel.unary_stream(
        "/promptwire.v1.PromptService/StreamChanges", pb.StreamChangesRequest.SerializeToString
    )(request, timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await changes.read()
    assert Told(caught.value).fields == ["names"]
