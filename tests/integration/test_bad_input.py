"""Bad input gets INVALID_ARGUMENT that names the field and the rule, one inside each limit is taken, and nothing
is half done.
"""

import uuid
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import promptwire
from promptwire.domain import limits
from promptwire.domain.names import tags_size_bytes
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc


def write(**options: Any) -> common.WriteOptions:
    return common.WriteOptions(**{"request_id": uuid.uuid4().hex, "actor": "ana@laptop", **options})


def content(text: str = "Hello", **fields: str) -> common.Content:
    return common.Content(text=text, **fields)


@pytest.fixture
def stub(channel: grpc.Channel) -> pb_grpc.PromptServiceStub:
    return pb_grpc.PromptServiceStub(channel)


def details(error: grpc.RpcError) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    status: status_pb2.Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    return info, bad


def refused_field(call: Any, request: Any) -> str:
    """The field that an INVALID_ARGUMENT names."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value  # type: ignore[attr-defined]
    info, bad = details(caught.value)
    assert (info.domain, info.reason) == ("promptwire", "INVALID_ARGUMENT")
    assert bad.field_violations
    assert all(violation.description for violation in bad.field_violations)
    return bad.field_violations[0].field


GOOD_NAMES = ["a", "a" * 256, "telco/support.v2/tech-nical_1", "3a", "1/a", "A", "..."]
BAD_NAMES = [
    "",
    "a" * 257,
    "a//b",
    "/a",
    "a/",
    ".",
    "a/../b",
    "a/12",
    "12",
    "a b",
    "a@b",
    "é",
    "a\n",
    "a\x00",
    "{a}",
    "a:b",
]
GOOD_ALIASES = ["production", "a" * 64, "v", "v1a", "1a", "Production", "-", "_"]
BAD_ALIASES = ["", "a" * 65, "latest", "LATEST", "Latest", "12", "v3", "V3", "a b", "a/b", "a.b", "a@b", "é", "a\n"]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_inside_the_rules_is_taken(stub: pb_grpc.PromptServiceStub, namespace: str, name: str) -> None:
    request = pb.RegisterPromptRequest(namespace=namespace, name=name, content=content(), write=write())
    assert stub.RegisterPrompt(request).version.name == name
    read = stub.Resolve(pb.ResolveRequest(namespace=namespace, reference=f"prompts:/{name}"))
    assert read.version.name == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_outside_the_rules_is_refused(stub: pb_grpc.PromptServiceStub, namespace: str, name: str) -> None:
    request = pb.RegisterPromptRequest(namespace=namespace, name=name, content=content(), write=write())
    assert refused_field(stub.RegisterPrompt, request) == "name"
    assert not stub.ListPrompts(pb.ListPromptsRequest(namespace=namespace)).prompts


@pytest.mark.parametrize("bad", ["a" * 65, "a b", "{x}", "é", "a/b"])
def test_a_namespace_outside_the_rules_is_refused(stub: pb_grpc.PromptServiceStub, bad: str) -> None:
    request = pb.RegisterPromptRequest(namespace=bad, name="p", content=content(), write=write())
    assert refused_field(stub.RegisterPrompt, request) == "namespace"


def test_aliases_keep_their_rules(stub: pb_grpc.PromptServiceStub, client: promptwire.Client, namespace: str) -> None:
    client.register_prompt("p", "Hello")
    for alias in GOOD_ALIASES:
        stub.SetAlias(pb.SetAliasRequest(namespace=namespace, name="p", alias=alias, version=1, write=write()))
        assert client.load_prompt(f"prompts:/p@{alias}").version == 1
    for alias in BAD_ALIASES:
        request = pb.SetAliasRequest(namespace=namespace, name="p", alias=alias, version=1, write=write())
        assert refused_field(stub.SetAlias, request) == "alias", alias
    assert set(client.get_prompt("p").aliases) == set(GOOD_ALIASES)


@pytest.mark.parametrize("version", [0, -1, -(2**63)])
def test_a_version_below_one_is_refused(stub: pb_grpc.PromptServiceStub, namespace: str, version: int) -> None:
    alias = pb.SetAliasRequest(namespace=namespace, name="p", alias="a", version=version, write=write())
    assert refused_field(stub.SetAlias, alias) == "version"
    read = pb.GetPromptVersionRequest(namespace=namespace, name="p", version=version)
    assert refused_field(stub.GetPromptVersion, read) == "version"
    tags = pb.SetTagsRequest(namespace=namespace, name="p", version=version, tags={"a": "b"}, write=write())
    assert refused_field(stub.SetTags, tags) == "version"


@pytest.mark.parametrize("version", [2, 2**53 + 1, 2**63 - 1])
def test_an_alias_to_a_version_that_is_not_there_is_refused(client: promptwire.Client, version: int) -> None:
    client.register_prompt("p", "Hello")
    with pytest.raises(promptwire.VersionNotFoundError, match=str(version)):
        client.set_prompt_alias("p", "production", version)
    with pytest.raises(promptwire.VersionNotFoundError):
        client.load_prompt("prompts:/p", version=version)
    assert client.get_prompt("p").aliases == {}


def test_content_is_not_empty_and_at_most_a_mebibyte(stub: pb_grpc.PromptServiceStub, namespace: str) -> None:
    def request(made: common.Content) -> pb.RegisterPromptRequest:
        return pb.RegisterPromptRequest(namespace=namespace, name="p", content=made, write=write())

    assert refused_field(stub.RegisterPrompt, request(content(""))) == "content.text"
    assert refused_field(stub.RegisterPrompt, request(common.Content())) == "content.text"
    assert (
        refused_field(stub.RegisterPrompt, request(content("é" * (limits.CONTENT_MAX_BYTES // 2) + "x"))) == "content"
    )
    for text in ("[1]", "not json", '{"a": NaN}', "null"):
        bad = content(response_format_json=text)
        assert refused_field(stub.RegisterPrompt, request(bad)) == "content.response_format_json"
    assert not stub.ListPrompts(pb.ListPromptsRequest(namespace=namespace)).prompts
    full = "é" * (limits.CONTENT_MAX_BYTES // 2)
    made = stub.RegisterPrompt(request(content(full))).version
    assert (made.version, made.content.text) == (1, full)


def test_tags_keep_their_limits(client: promptwire.Client) -> None:
    largest = {f"{index:03}{'k' * 247}": "é" * 1000 for index in range(limits.TAGS_MAX - 80)}
    largest["k"] = "é" * limits.TAG_VALUE_MAX_CHARS
    spare = limits.TAGS_MAX_BYTES - tags_size_bytes(largest)
    assert spare > 0
    client.set_prompt_tags(client.register_prompt("full", "Hello", tags=largest).name, largest)
    with pytest.raises(promptwire.InvalidArgumentError, match="tags: would bring"):
        client.set_prompt_tags("full", {"more": "x" * spare})
    made = client.register_prompt("p", "Hello", tags=largest)
    assert dict(client.load_prompt("p", version=made.version).tags) == largest
    for tags in (
        {"": "empty key"},
        {"k" * 251: "long key"},
        {"k": "v" * (limits.TAG_VALUE_MAX_CHARS + 1)},
        {str(index): "x" for index in range(limits.TAGS_MAX + 1)},
        {str(index): "é" * 50_000 for index in range(3)},
    ):
        for call in (
            lambda tags=tags: client.register_prompt("p", "Hello", tags=tags),
            lambda tags=tags: client.set_prompt_tags("p", tags),
        ):
            with pytest.raises(promptwire.InvalidArgumentError) as caught:
                call()
            assert caught.value.violations[0][0].startswith("tags")
    with pytest.raises(promptwire.InvalidArgumentError):
        client.set_prompt_version_tags("p", 1, {"one more": "x" * spare})
    prompt = client.get_prompt("p")
    assert (prompt.latest_version, prompt.tags) == (1, {})


def test_texts_around_a_write_keep_their_limits(stub: pb_grpc.PromptServiceStub, namespace: str) -> None:
    def request(message: str = "", **options: str) -> pb.RegisterPromptRequest:
        return pb.RegisterPromptRequest(
            namespace=namespace, name="p", content=content(), commit_message=message, write=write(**options)
        )

    assert refused_field(stub.RegisterPrompt, request("x" * 10_001)) == "commit_message"
    assert refused_field(stub.RegisterPrompt, request(reason="x" * 10_001)) == "write.reason"
    assert refused_field(stub.RegisterPrompt, request(actor="x" * 257)) == "write.actor"
    for request_id in ("", "x" * 129, "a b", "é"):
        assert refused_field(stub.RegisterPrompt, request(request_id=request_id)) == "write.request_id"
    made = stub.RegisterPrompt(request("x" * 10_000, reason="x" * 10_000, actor="x" * 256, request_id="x" * 128))
    assert made.version.author == "x" * 256


def test_every_violation_of_a_request_is_named(stub: pb_grpc.PromptServiceStub) -> None:
    request = pb.SetAliasRequest(namespace="a b", name="", alias="latest", version=0, write=write(request_id=""))
    with pytest.raises(grpc.RpcError) as caught:
        stub.SetAlias(request)
    _, bad = details(caught.value)
    assert {violation.field for violation in bad.field_violations} == {
        "namespace",
        "name",
        "alias",
        "version",
        "write.request_id",
    }


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"\x12\x03a\xffb", "name"),
        (b"\x1a\x05\x0a\x03a\xffb", "content.text"),
        (b"\x2a\x08\x0a\x01k\x12\x03a\xffb", "tags"),
    ],
)
def test_bytes_that_are_not_utf8_are_bad_input_not_a_failure(channel: grpc.Channel, data: bytes, field: str) -> None:
    call = channel.unary_unary("/promptwire.v1.PromptService/RegisterPrompt")
    assert refused_field(call, data).startswith(field)


def test_a_message_cut_short_is_bad_input(channel: grpc.Channel) -> None:
    refused_field(channel.unary_unary("/promptwire.v1.PromptService/RegisterPrompt"), b"\x12\x7fabc")
    refused_field(channel.unary_unary("/promptwire.v1.PromptService/Resolve"), b"\xff\xff\xff")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "prompts:/",
        "prompts:/@a",
        "@a",
        "p@",
        "p@a@b",
        "p/0",
        "p@latest@x",
        "p@12",
        "prompts://p",
        "p /1",
        "p@Latest",
    ],
)
def test_a_reference_outside_the_rules_is_refused(
    client: promptwire.Client, stub: pb_grpc.PromptServiceStub, namespace: str, reference: str
) -> None:
    with pytest.raises(promptwire.InvalidArgumentError):
        client.load_prompt(reference)
    request = pb.ResolveRequest(namespace=namespace, reference=reference)
    assert refused_field(stub.Resolve, request) == "reference"


def test_watching_bad_names_ends_the_stream_with_the_reason(stub: pb_grpc.PromptServiceStub, namespace: str) -> None:
    hello = pb.WatchHello(namespace=namespace, subscriptions=[pb.Subscription(name="a//b")])
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.Watch(iter([pb.WatchRequest(hello=hello)])))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.Watch(iter([pb.WatchRequest(renew=pb.WatchRenew(nonce=1))])))
    _, bad = details(caught.value)
    assert bad.field_violations[0].field == "hello"


def test_the_python_client_names_what_it_cannot_send(client: promptwire.Client) -> None:
    for call in (
        lambda: client.register_prompt("p", "\ud800 half a character"),
        lambda: client.register_prompt("p", b"bytes"),  # type: ignore[arg-type]
        lambda: client.register_prompt("p", None),  # type: ignore[arg-type]
        lambda: client.register_prompt("p", "x", tags={"k": 1}),  # type: ignore[dict-item]
        lambda: client.set_prompt_alias("p", "a", "1"),  # type: ignore[arg-type]
        lambda: client.set_prompt_alias("p", "a", 2**63),
        lambda: client.load_prompt(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(promptwire.InvalidArgumentError) as caught:
            call()
        assert caught.value.violations
