"""Methods over a real socket: what a request means to its command, what an answer says, how an error travels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from promptwire.domain.violations import Violation
from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire.v1 import common_pb2
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.errors import (
    Code,
    RegistryError,
    alias_conflict,
    invalid,
    store_unavailable,
)
from promptwire_service.domain.operations import DeleteAlias, DeleteTags, Register, SetAlias, SetTags
from promptwire_service.domain.reads import CACHED, Freshness
from promptwire_service.domain.records import Revision
from promptwire_service.rpc.admission import Admission
from promptwire_service.rpc.binding import bind
from promptwire_service.server import PROMPTS
from tests.unit.service.fakes import Below, a_prompt, a_version
from tests.unit.service.serving import SECONDS, NoStreams, Told, call, serving

WRITE = common_pb2.WriteOptions(request_id="r-1", actor="ana", reason="why")
EPOCH = "epoch"

Caller = Callable[..., Awaitable[Any]]


@pytest.fixture
async def channel(below: Below) -> AsyncIterator[grpc.aio.Channel]:
    below.store.add(a_prompt(production=2, canary=2), a_version(1), a_version(2, tags="x"), a_version(3, etag=39))
    async with serving(below) as opened:
        yield opened


@pytest.fixture
def prompts(channel: grpc.aio.Channel) -> Caller:
    """Calls a method of PromptService by its name, with the fields of its request."""

    async def call_by_name(method: str, **request: Any) -> Any:
        message = getattr(pb, f"{method}Request")(**request)
        return await call(channel, f"PromptService/{method}", message, getattr(pb, f"{method}Response"))

    return call_by_name


async def told(awaitable: Awaitable[Any]) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return Told(caught.value)


async def test_resolve_tells_the_version_whole(prompts: Caller) -> None:
    answer = await prompts("Resolve", reference="team/greeting@production")
    record = a_version(2, tags="x")
    assert answer.version == common_pb2.PromptVersion(
        name="team/greeting",
        version=2,
        content=common_pb2.Content(text="Hello {{name}}"),
        digest=record.digest,
        commit_message="why",
        tags={"tags": "x"},
        aliases=["canary", "production"],
        variables=["name"],
        author="ana",
        create_time=Timestamp(seconds=1_700_000_000, nanos=123_000_000),
        etag=17,
        token=record.token,
    )
    assert answer.info.revision == common_pb2.Revision(epoch=EPOCH, number=40)
    assert answer.info.max_age.ToMilliseconds() == 250


async def test_an_absent_read_means_cached_and_an_empty_namespace_default(below: Below, prompts: Caller) -> None:
    await prompts("GetPrompt", name="team/greeting")
    assert below.reader.asked == [("prompt", "default", "team/greeting", CACHED)]


async def test_read_options_reach_the_reader(below: Below, prompts: Caller) -> None:
    read = common_pb2.ReadOptions(
        consistency=common_pb2.CONSISTENCY_STRONG, min_revision=common_pb2.Revision(epoch="e", number=7)
    )
    await prompts("GetPrompt", namespace="blue", name="team/greeting", read=read)
    freshness = Freshness(strong=True, min_revision=Revision("e", 7))
    assert below.reader.asked == [("prompt", "blue", "team/greeting", freshness)]


async def test_a_consistency_that_does_not_exist_is_refused(prompts: Caller) -> None:
    error = await told(prompts("GetPrompt", name="team/greeting", read=common_pb2.ReadOptions(consistency=9)))
    assert (error.code, error.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["read.consistency"])


async def test_get_prompt_tells_the_prompt(prompts: Caller) -> None:
    answer = await prompts("GetPrompt", name="team/greeting")
    assert answer.prompt == common_pb2.Prompt(
        name="team/greeting",
        latest_version=3,
        aliases={"production": 2, "canary": 2},
        author="ana",
        create_time=Timestamp(seconds=1_700_000_000, nanos=123_000_000),
        update_time=Timestamp(seconds=1_700_000_000, nanos=456_000_000),
        etag=17,
    )


async def test_get_prompt_version_tells_the_version(prompts: Caller) -> None:
    answer = await prompts("GetPromptVersion", name="team/greeting", version=2)
    assert (answer.version.version, list(answer.version.aliases)) == (2, ["canary", "production"])
    assert answer.info.revision.number == 40


async def test_lists_tell_rows_and_the_next_page(prompts: Caller) -> None:
    page = await prompts("ListPromptVersions", name="team/greeting", page_size=2)
    assert [(row.version, list(row.aliases)) for row in page.versions] == [(3, []), (2, ["canary", "production"])]
    page = await prompts("ListPromptVersions", name="team/greeting", page_token=page.next_page_token)
    assert ([row.version for row in page.versions], page.next_page_token) == ([1], "")
    page = await prompts("ListPrompts", name_prefix="team/")
    assert ([row.name for row in page.prompts], page.info.revision.number) == (["team/greeting"], 40)
    assert not page.info.max_age.ToMilliseconds()


async def test_batch_resolve_tells_versions_and_problems(prompts: Caller) -> None:
    answer = await prompts("BatchResolve", references=["team/greeting", "nobody", "//"])
    kinds = [(outcome.reference, outcome.WhichOneof("outcome")) for outcome in answer.outcomes]
    assert kinds == [("team/greeting", "version"), ("nobody", "problem"), ("//", "problem")]
    problem = answer.outcomes[1].problem
    assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND.value[0], "PROMPT_NOT_FOUND")
    assert answer.info.revision.number == 40


async def test_register_tells_what_was_made(below: Below, prompts: Caller) -> None:
    content = common_pb2.Content(text="Hi", response_format_json="{}", model_config_json='{"t":1}')
    answer = await prompts("RegisterPrompt", name="new", content=content, tags={"a": "b"}, write=WRITE)
    assert (answer.version.version, answer.version.content, answer.revision.number) == (4, content, 41)
    operation = below.store.writes[0][1].operations[0]
    assert isinstance(operation, Register)
    assert operation.digest == answer.version.digest


@pytest.mark.parametrize(
    ("method", "request_fields", "operation"),
    [
        (
            "SetAlias",
            {"alias": "a", "version": 1},
            SetAlias(name="team/greeting", alias="a", target=1, expected=None),
        ),
        (
            "SetAlias",
            {"alias": "a", "version": 1, "expected_version": 0},
            SetAlias(name="team/greeting", alias="a", target=1, expected=0),
        ),
        (
            "DeleteAlias",
            {"alias": "a", "expected_version": 2, "allow_missing": True},
            DeleteAlias(name="team/greeting", alias="a", expected=2, allow_missing=True),
        ),
        ("SetTags", {"tags": {"a": "b"}}, SetTags(name="team/greeting", version=None, tags={"a": "b"})),
        ("SetTags", {"tags": {"a": "b"}, "version": 2}, SetTags(name="team/greeting", version=2, tags={"a": "b"})),
        ("DeleteTags", {"keys": ["a"]}, DeleteTags(name="team/greeting", version=None, keys=("a",))),
    ],
)
async def test_writes_reach_the_store_and_tell_their_revision(
    below: Below, prompts: Caller, method: str, request_fields: dict[str, Any], operation: Any
) -> None:
    below.store.previous_version = 2
    answer = await prompts(method, name="team/greeting", write=WRITE, **request_fields)
    assert answer.revision == common_pb2.Revision(epoch=EPOCH, number=41)
    assert getattr(answer, "previous_version", 2) == 2
    namespace, write = below.store.writes[0]
    assert (namespace, write.operations, write.request_id, write.actor, write.reason, write.expected_etag) == (
        "default",
        (operation,),
        "r-1",
        "ana",
        "why",
        None,
    )


async def test_an_expected_etag_of_zero_is_not_an_absent_one(below: Below, prompts: Caller) -> None:
    write = common_pb2.WriteOptions(request_id="r-1", expected_etag=0)
    await prompts("RegisterPrompt", name="new", content=common_pb2.Content(text="x"), write=write)
    assert below.store.writes[0][1].expected_etag == 0


async def test_status_tells_store_and_revision(below: Below, channel: grpc.aio.Channel) -> None:
    below.store.failure = store_unavailable("it is away")
    request = admin_pb.GetStatusRequest()
    answer = await call(channel, "AdminService/GetStatus", request, admin_pb.GetStatusResponse)
    assert (answer.store.location, answer.store.reachable) == ("memory", False)
    assert "it is away" in answer.store.problem
    assert (answer.revision.number, answer.checked_time.seconds) == (40, 1_700_000_000)


async def test_an_error_carries_code_reason_and_metadata(below: Below, prompts: Caller) -> None:
    below.store.failure = alias_conflict("team/greeting", "production", 2, 3)
    error = await told(prompts("SetAlias", name="team/greeting", alias="production", version=1, write=WRITE))
    assert error.code is grpc.StatusCode.ABORTED
    assert (error.info.domain, error.info.reason) == ("promptwire", "ALIAS_CONFLICT")
    assert error.info.metadata["actual_version"] == "3"
    assert "points at version 3" in error.message


async def test_every_violation_travels_with_its_field(prompts: Caller) -> None:
    error = await told(prompts("SetAlias", name="a//b", alias="latest"))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.fields == ["name", "alias", "version", "write.request_id"]


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.name)
async def test_every_code_is_grpc_s_of_the_same_name(below: Below, prompts: Caller, code: Code) -> None:
    below.store.failure = RegistryError(code, "WHY", "because")
    error = await told(prompts("GetPrompt", name="team/greeting"))
    assert (error.code.name, error.info.reason, error.message) == (code.name, "WHY", "because")


async def test_words_of_any_script_travel_in_errors(below: Below, prompts: Caller) -> None:
    words = "100% ünïcode\n→ \x00\x7f 提示 🙂"
    below.store.failure = invalid(Violation(f"tags['{words}']", words))
    error = await told(prompts("GetPrompt", name="team/greeting"))
    assert (error.message, error.fields) == (f"tags['{words}']: {words}", [f"tags['{words}']"])


async def test_an_error_larger_than_clients_accept_is_cut_not_lost(below: Below, prompts: Caller) -> None:
    violations = tuple(Violation(f"field_{number}", "提" * 200) for number in range(500))
    below.store.failure = invalid(*violations)
    error = await told(prompts("GetPrompt", name="team/greeting"))
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message.endswith("...")
    assert error.fields[0] == "field_0"
    assert 1 <= len(error.fields) < 500


async def test_an_unexpected_exception_tells_its_id_and_nothing_else(below: Below, prompts: Caller) -> None:
    below.store.failure = ZeroDivisionError("secret words of a driver")
    with structlog.testing.capture_logs() as logged:
        error = await told(prompts("GetPrompt", name="team/greeting"))
    assert (error.code, error.info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    error_id = error.info.metadata["error_id"]
    assert error_id in error.message
    assert "secret" not in str(error.status)
    entry = next(entry for entry in logged if entry.get("error_id") == error_id)
    assert isinstance(entry["exc_info"], ZeroDivisionError)


async def test_a_cancelled_call_is_no_failure(
    below: Below, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(below.reader, "prompt", hang)
    with structlog.testing.capture_logs() as logged:
        waiting = channel.unary_unary("/promptwire.v1.PromptService/GetPrompt")(
            pb.GetPromptRequest(name="a").SerializeToString()
        )
        task = asyncio.ensure_future(waiting)
        await asyncio.wait_for(begun.wait(), SECONDS)
        waiting.cancel()
        await asyncio.wait_for(ended.wait(), SECONDS)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not logged


async def test_a_service_with_a_method_missing_cannot_be_bound(below: Below) -> None:
    with pytest.raises(TypeError, match=r"RegisterPrompt: no part has register_prompt"):
        bind(grpc.aio.server(), Admission(), PROMPTS, NoStreams())
