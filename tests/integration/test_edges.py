"""Times, durations, revisions, numbers and page tokens at and past every edge, in every request that has such a field:
taken or INVALID_ARGUMENT with that field, whatever the method, streams too. Found by walking the descriptors.
"""

import base64
import json
import math
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import promptwire
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.server import ADMIN, METRICS, PROMPTS
from tests.integration.test_bad_input import details
from tests.support.service import ServiceProcess

METHODS = [method for service in (PROMPTS, ADMIN, METRICS) for method in service.methods]
SECONDS = 20.0

TIMES = [(253_402_300_800, 0), (2**62, 0), (2**63 - 1, 0), (-(2**63), 0), (-1, 0), (-62_135_596_801, 0), (0, -1)]
TIMES += [(0, 1_000_000_000), (1_764_000_000, -1), (1_764_000_000, 2**31 - 1), (1_764_000_000, -(2**31))]
DURATIONS = [(10**14, 0), (2**62, 0), (2**63 - 1, 0), (-(2**63), 0), (-1, 0), (0, -1), (1, -1), (-1, 1)]
DURATIONS += [(315_576_000_001, 0), (0, 1_000_000_000), (1, 2**31 - 1), (0, -(2**31))]
REVISIONS = [("e", -1), ("e", -(2**63)), ("", 1), ("", 2**63 - 1), ("e" * 129, 1), ("\0" * 100_000, 0)]
LEGAL_TIMES = [(0, 0), (0, 999_999_999), (1, 0), (1_764_000_000, 1), (253_402_300_799, 999_999_999)]
LEGAL_REVISIONS = [("", 0), ("e", 0), ("e", 2**63 - 1), ("é\0\n{}", 1)]

Path = tuple[FieldDescriptor, ...]


def fields_of(descriptor: Descriptor, wanted: Callable[[FieldDescriptor], bool], path: Path = ()) -> Iterator[Path]:
    """The ways to every wanted field of a message, nested ones too."""
    for field in descriptor.fields:
        if field in path:
            continue
        if wanted(field):
            yield (*path, field)
        elif field.message_type and not field.message_type.GetOptions().map_entry:
            yield from fields_of(field.message_type, wanted, (*path, field))


def of_type(*names: str) -> Callable[[FieldDescriptor], bool]:
    return lambda field: field.message_type is not None and field.message_type.full_name in names


def edges() -> Iterator[Any]:
    kinds = {
        "google.protobuf.Timestamp": (TIMES, ("seconds", "nanos")),
        "google.protobuf.Duration": (DURATIONS, ("seconds", "nanos")),
        "promptwire.v1.Revision": (REVISIONS, ("epoch", "number")),
    }
    for method in METHODS:
        for kind, (values, names) in kinds.items():
            for path in fields_of(method.input_type, of_type(kind)):
                name = ".".join(field.name for field in path)
                for value in values:
                    values_by_name = dict(zip(names, value, strict=True))
                    shown = ",".join(str(part)[:20] for part in value)
                    yield pytest.param(method, path, values_by_name, id=f"{method.name}-{name}-{shown!a}")


def valid(method: MethodDescriptor, namespace: str) -> Message:
    """A request that is right but for what a test puts into it."""
    request = GetMessageClass(method.input_type)()
    names = {field.name for field in method.input_type.fields}
    common_values = {"namespace": namespace, "name": "p", "alias": "production", "reference": "p", "version": 1}
    common_values |= {"before": "1", "after": "1", "number": 1, "title": "t", "request_id": uuid.uuid4().hex}
    for name in names & common_values.keys():
        field = method.input_type.fields_by_name[name]
        if field.message_type is None and isinstance(common_values[name], str) == (
            field.cpp_type == field.CPPTYPE_STRING
        ):
            setattr(request, name, common_values[name])
    if "write" in names:
        request.write.request_id = uuid.uuid4().hex
    if "references" in names:
        request.references.append("p")
    return request


def put(message: Message, path: Path, values: dict[str, Any]) -> str:
    """Puts values into the message at the end of the path; what the error is to name."""
    told = []
    for field in path:
        if field.is_repeated:
            message = getattr(message, field.name).add()
            told.append(f"{field.name}[0]")
        else:
            message = getattr(message, field.name)
            told.append(field.name)
        message.SetInParent()
    for name, value in values.items():
        setattr(message, name, value)
    return ".".join(told)


def call(channel: grpc.Channel, method: MethodDescriptor, request: Message | bytes) -> grpc.RpcError | None:
    """Calls any method, and reads all of its answers but those of a stream that goes on; how it failed, if it did."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            hello = pb.WatchRequest(hello=pb.WatchHello(namespace="edges"))
            first = isinstance(request, pb.WatchRequest) and request.HasField("hello")
            for _ in channel.stream_stream(path)(
                iter([data] if first else [hello.SerializeToString(), data]), timeout=SECONDS
            ):
                pass
        elif method.server_streaming:
            for _ in channel.unary_stream(path)(data, timeout=SECONDS):
                pass
        else:
            channel.unary_unary(path)(data, timeout=SECONDS)
    except grpc.RpcError as error:
        return error
    return None


@pytest.fixture(scope="module")
def served(service: ServiceProcess) -> Iterator[grpc.Channel]:
    with promptwire.Client(service.target, namespace="edges") as client:
        client.register_prompt("p", "Hello")
        client.set_prompt_alias("p", "production", 1)
    with grpc.insecure_channel(service.target) as channel:
        yield channel
    assert "unexpected error" not in service.log_path.read_text()
    assert "Traceback" not in service.log_path.read_text()


@pytest.mark.parametrize(("method", "path", "values"), edges())
def test_past_an_edge_the_field_is_named(
    served: grpc.Channel, method: MethodDescriptor, path: Path, values: dict[str, Any]
) -> None:
    request = valid(method, "edges")
    field = put(request, path, values)
    error = call(served, method, request)
    assert error is not None, "it was taken"
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
    named = [violation.field for violation in details(error)[1].field_violations]
    assert any(one == field or one.startswith(f"{field}.") for one in named), (field, named)


def legal() -> Iterator[Any]:
    for method in METHODS:
        for path in fields_of(method.input_type, of_type("google.protobuf.Timestamp")):
            for value in LEGAL_TIMES:
                yield pytest.param(method, path, dict(zip(("seconds", "nanos"), value, strict=True)))
        for path in fields_of(method.input_type, of_type("promptwire.v1.Revision")):
            for revision in LEGAL_REVISIONS:
                yield pytest.param(method, path, dict(zip(("epoch", "number"), revision, strict=True)))


@pytest.mark.parametrize(("method", "path", "values"), legal())
def test_at_an_edge_nothing_breaks(
    served: grpc.Channel, method: MethodDescriptor, path: Path, values: dict[str, Any]
) -> None:
    request = valid(method, "edges")
    put(request, path, values)
    if method.name == "StreamChanges":
        request.stop_at_end = True  # type: ignore[attr-defined]
    error = call(served, method, request)
    assert error is None or error.code() in (
        grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    ), error  # fmt: skip


NUMBERS = [-(2**63), -(2**31), -1, 0, 1, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1]


def numbers() -> Iterator[Any]:
    integers = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    for method in METHODS:
        for path in fields_of(method.input_type, lambda field: field.cpp_type in integers):
            if path[-1].containing_type.full_name.startswith("google.protobuf."):
                continue
            for number in NUMBERS:
                if path[-1].cpp_type == FieldDescriptor.CPPTYPE_INT64 or -(2**31) <= number < 2**31:
                    name = ".".join(field.name for field in path)
                    yield pytest.param(method, path, number, id=f"{method.name}-{name}-{number}")


@pytest.mark.parametrize(("method", "path", "number"), numbers())
def test_no_whole_number_breaks_anything(
    served: grpc.Channel, method: MethodDescriptor, path: Path, number: int
) -> None:
    """What it means is its field's own rule; none of them is a failure."""
    request = valid(method, "edges")
    *above, last = path
    put(request, tuple(above), {})
    at: Any = request
    for field in above:
        at = getattr(at, field.name)
        at = at[0] if field.is_repeated else at
    if last.is_repeated:
        getattr(at, last.name).append(number)
    else:
        setattr(at, last.name, number)
    if method.name == "StreamChanges":
        request.stop_at_end = True  # type: ignore[attr-defined]
    error = call(served, method, request)
    assert error is None or error.code() not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), error


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324])
def test_no_double_breaks_anything(served: grpc.Channel, number: float) -> None:
    observation = {"name": "p", "version": 1, "values": {"m": number}}
    calls = [
        (METRICS.methods_by_name["LogMetrics"], {"observations": [observation], "request_id": uuid.uuid4().hex}),
        (
            PROMPTS.methods_by_name["SetAliasSplit"],
            {"name": "p", "alias": "split", "weights": {1: number}, "write": {"request_id": uuid.uuid4().hex}},
        ),
    ]
    for method, fields in calls:
        error = call(served, method, GetMessageClass(method.input_type)(namespace="edges", **fields))
        assert error is None or error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
        if not math.isfinite(number):
            assert error is not None


def tokens() -> Iterator[str]:
    """What is no token, and what looks like one: the beginnings of real ones, with cursors that are none."""
    yield from ("x", "=" * 5, "\0", "é", "-_" * 9_000, "\U0010ffff")
    arrays = [b"null", b"[]", b"{}", b"[" * 9_000, b"\xff\xfe", b"9" * 5_000, b'"\\ud800"', b"[1e999]", b"[NaN]"]
    for start in (["prompts", "edges", ""], ["versions", "edges", "p"], ["history", "edges", "p@production"]):
        cursors = ("\ud800", "a\0b", "", None, True, -1, 2**63, 10**30, 1e300, [], {}, "p" * 9_000)
        arrays += (json.dumps([*start, cursor]).encode() for cursor in cursors)
    yield from (base64.urlsafe_b64encode(one).decode().rstrip("=") for one in arrays)


@pytest.mark.parametrize(
    "method", [method for method in METHODS if "page_token" in method.input_type.fields_by_name], ids=lambda m: m.name
)
def test_a_forged_page_token_is_refused_or_means_a_page(served: grpc.Channel, method: MethodDescriptor) -> None:
    refused = 0
    for token in tokens():
        request: Any = valid(method, "edges")
        request.page_token = token
        if error := call(served, method, request):
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (token, error)
            assert [one.field for one in details(error)[1].field_violations] == ["page_token"]
            refused += 1
    assert refused


@pytest.mark.parametrize("method", ["SearchVersions", "SearchPrompts"])
@pytest.mark.parametrize("cursor", [
    '[[[1, "\\ud800"]], "p"]', '[[[1, NaN]], "p"]', "[[[1, " + "9" * 5_000 + ']], "p"]', "[" * 9_000,
    '[[[0, 1e999]], "p"]', '[[], "p"]', "[]", "null", '[[[1, 1]], "\\ud800"]',
])  # fmt: skip
def test_a_forged_cursor_of_a_sorted_search_is_refused(
    service: ServiceProcess, served: grpc.Channel, method: str, cursor: str
) -> None:
    called = PROMPTS.methods_by_name[method]
    with promptwire.Client(service.target, namespace="edges") as client:
        client.register_prompt("q", "Hello", tags={"t": "1"})
        client.set_prompt_tags("q", {"t": "1"})
        client.set_prompt_tags("p", {"t": "2"})
    request: Any = GetMessageClass(called.input_type)(namespace="edges", order_by=["tags.t"], page_size=1)
    path = f"/{PROMPTS.full_name}/{method}"
    answer = GetMessageClass(called.output_type).FromString(served.unary_unary(path)(request.SerializeToString()))
    kind, *bound, _ = json.loads(base64.urlsafe_b64decode(answer.next_page_token + "=="))
    forged = json.dumps([kind, *bound, cursor]).encode()
    request.page_token = base64.urlsafe_b64encode(forged).decode().rstrip("=")
    error = call(served, called, request)
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


GARBAGE = [b"\xff\xff\xff", b"\x0a\x03a\xffb", b"\x0a\x7fabc", b"\x00", b"\x0b" * 100, b"\x0a\xff\xff\xff\xff\xff\x0f"]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_for_health_is_bad_input(served: grpc.Channel, data: bytes) -> None:
    calls: list[Callable[[], object]] = [
        lambda: served.unary_unary("/grpc.health.v1.Health/Check")(data, timeout=SECONDS),
        lambda: next(served.unary_stream("/grpc.health.v1.Health/Watch")(data, timeout=SECONDS)),
    ]
    for one in calls:
        with pytest.raises(grpc.RpcError) as caught:
            one()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_for_reflection_is_bad_input(served: grpc.Channel, data: bytes) -> None:
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    with pytest.raises(grpc.RpcError) as caught:
        next(served.stream_stream(path)(iter([data]), timeout=SECONDS))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
