"""Answers as a parser of another language reads them: no singular field twice, no message over 4 MiB."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from promptwire.v1 import admin_service_pb2 as admin
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import metrics_service_pb2 as metrics
from promptwire.v1 import prompt_service_pb2 as pb
from tests.support.wire import repeated_singular_fields

SECONDS = 20.0
DEFAULT_RECEIVE_MAX_BYTES = 4 << 20
METHODS = {
    f"{service.name}/{method.name}": method
    for module in (pb, admin, metrics)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Wire:
    """Calls every method and looks at the bytes of each answer."""

    def __init__(self, channel: grpc.Channel, namespace: str) -> None:
        self.called: set[str] = set()
        self._channel = channel
        self._namespace = namespace

    def call(self, name: str, /, **fields: Any) -> Any:
        method = METHODS[name]
        request = GetMessageClass(method.input_type)(namespace=self._namespace, **fields)
        if "write" in method.input_type.fields_by_name:
            request.write.request_id = uuid.uuid4().hex
            request.write.actor = "t"
        path = f"/promptwire.v1.{name}"
        if method.server_streaming:
            data = next(self._channel.unary_stream(path, None, None)(request.SerializeToString(), timeout=SECONDS))
        else:
            data = self._channel.unary_unary(path, None, None)(request.SerializeToString(), timeout=SECONDS)
        return self.checked(name, method, data)

    def watch(self, requests: Iterator[bytes]) -> Iterator[pb.WatchResponse]:
        name = "PromptService/Watch"
        call = self._channel.stream_stream(f"/promptwire.v1.{name}", None, None)(requests, timeout=SECONDS)
        for data in call:
            yield self.checked(name, METHODS[name], data)

    def checked(self, name: str, method: MethodDescriptor, data: bytes) -> Message:
        self.called.add(name)
        assert repeated_singular_fields(data, method.output_type) == []
        assert len(data) <= DEFAULT_RECEIVE_MAX_BYTES
        answer: Message = GetMessageClass(method.output_type).FromString(data)
        return answer


def test_a_repeated_singular_field_is_found() -> None:
    def encoded(**info: Any) -> bytes:
        return pb.ResolveResponse(info=common.ReadInfo(**info)).SerializeToString()

    twice = encoded(revision=common.Revision(epoch="e", number=1)) + encoded(max_age={"nanos": 1})
    assert repeated_singular_fields(twice, pb.ResolveResponse.DESCRIPTOR) == ["ResolveResponse.info"]
    outcome = pb.ResolveOutcome(version=common.PromptVersion(name="a"), reference="a").SerializeToString()
    outcome += pb.ResolveOutcome(problem=pb.Problem(code=5)).SerializeToString()
    batch = pb.BatchResolveResponse.DESCRIPTOR
    wrapped = b"\x0a" + bytes([len(outcome)]) + outcome
    assert repeated_singular_fields(wrapped, batch) == ["BatchResolveResponse.ResolveOutcome.problem"]
    assert repeated_singular_fields(wrapped + wrapped, batch) == ["BatchResolveResponse.ResolveOutcome.problem"] * 2


def test_no_answer_of_any_method_repeats_a_singular_field(channel: grpc.Channel, namespace: str) -> None:
    wire = Wire(channel, namespace)
    call: Callable[..., Any] = wire.call
    for text in ("Hi {{name}}", "Hello {{name}}"):
        call("PromptService/RegisterPrompt", name="p", content={"text": text}, tags={"a": "b"}, commit_message="m")
    call("PromptService/RegisterPrompt", name="q", content={"text": "Says {{> prompts:/p/1 }}"})
    at = call("PromptService/SetAlias", name="p", alias="production", version=1).revision
    call("PromptService/SetAlias", name="p", alias="production", version=2)
    call("PromptService/RollbackAlias", name="p", alias="production")
    call("PromptService/SetAliasSplit", name="p", alias="ab", weights={1: 1.0, 2: 1.0})
    call("PromptService/SetTags", name="p", tags={"team": "x"})
    call("PromptService/DeleteTags", name="p", keys=["team"])
    released = call(
        "PromptService/Release", title="r", steps=[{"move": {"name": "p", "alias": "staging", "version": 2}}]
    )
    call("PromptService/UndoRelease", number=released.revision.number)
    for reference in ("p@production", "p@ab", "p"):
        for read in ({}, {"min_revision": at}, {"consistency": common.CONSISTENCY_STRONG}):
            for _ in range(3):  # the first from the store, then from the caches, then an answer that was given before
                answer = call("PromptService/Resolve", reference=reference, read=read)
                assert answer.info.revision.number > at.number
                assert answer.info.HasField("max_age")
    call(
        "PromptService/Resolve",
        reference="p@production",
        at=call("PromptService/GetPrompt", name="p").prompt.update_time,
    )
    call("PromptService/BatchResolve", references=["p@ab", "p/1", "nobody"])
    call("PromptService/GetPromptVersion", name="p", version=1)
    call("PromptService/DiffVersions", name="p", before="1", after="2")
    call("PromptService/ListDependents", name="p")
    for listing in ("ListPrompts", "SearchVersions", "SearchPrompts", "ListReleases", "ListAudit"):
        call(f"PromptService/{listing}")
    call("PromptService/ListPromptVersions", name="p")
    call("PromptService/ListAliasHistory", name="p", alias="production")
    call("PromptService/StreamChanges", after={"epoch": at.epoch, "number": 0}, stop_at_end=True)
    call("AdminService/GetStatus")
    call("AdminService/GetConvergence")
    observed = {"name": "p", "version": 1, "values": {"quality": 1.0}}
    call("MetricsService/LogMetrics", observations=[observed], request_id="m1")
    call("MetricsService/QueryMetrics", name="p")
    hello = pb.WatchRequest(
        hello=pb.WatchHello(namespace=namespace, subscriptions=[pb.Subscription(name="p", aliases=["ab", "latest"])])
    )
    renew = pb.WatchRequest(renew=pb.WatchRenew(nonce=1))
    kinds = [
        one.WhichOneof("message") for one in wire.watch(iter([hello.SerializeToString(), renew.SerializeToString()]))
    ]
    assert kinds[0] == "update"
    call("PromptService/DeleteAlias", name="p", alias="ab")
    call("PromptService/DeletePrompt", name="q")
    call("PromptService/ListDeleted")
    call("PromptService/UndeletePrompt", name="q")
    call("PromptService/DeletePrompt", name="q")
    call("PromptService/RegisterPrompt", name="r", content={"text": "x"})
    call("PromptService/RegisterPrompt", name="r", content={"text": "y"})
    call("PromptService/DeleteVersion", name="r", version=1)
    call("PromptService/UndeleteVersion", name="r", version=1)
    assert wire.called == METHODS.keys(), "a method is not tried"
