"""Commands that write: what they refuse before the store is asked, what they ask of it, what they answer."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from promptwire.domain.content import Content
from promptwire_service.commands.context import Registry
from promptwire_service.commands.delete_alias import delete_alias
from promptwire_service.commands.delete_tags import delete_tags
from promptwire_service.commands.options import WriteOptions
from promptwire_service.commands.register_prompt import register_prompt
from promptwire_service.commands.set_alias import set_alias
from promptwire_service.commands.set_tags import set_tags
from promptwire_service.domain.errors import Code, RegistryError, alias_conflict
from promptwire_service.domain.operations import DeleteAlias, DeleteTags, Register, SetAlias, SetTags, Write
from promptwire_service.domain.records import Revision
from tests.unit.service.fakes import Below, fields

OPTIONS = WriteOptions(request_id="r-1", actor="ana@laptop", reason="ticket 7", expected_etag=17)
GOOD: dict[Callable[..., Awaitable[Any]], dict[str, Any]] = {
    register_prompt: {"content": Content("Hi {{name}}"), "commit_message": "why", "tags": {"a": "b"}},
    set_alias: {"alias": "production", "version": 3, "expected_version": 2},
    delete_alias: {"alias": "production", "expected_version": 2, "allow_missing": True},
    set_tags: {"version": None, "tags": {"a": "b"}},
    delete_tags: {"version": 2, "keys": ["a", "b", "a"]},
}
COMMANDS = pytest.mark.parametrize("command", list(GOOD), ids=lambda command: command.__name__)


async def call(
    command: Callable[..., Awaitable[Any]], registry: Registry, options: WriteOptions = OPTIONS, **changed: Any
) -> Any:
    arguments = {"namespace": "default", "name": "team/greeting", **GOOD[command], **changed}
    return await command(registry, options=options, **arguments)


async def refusal(command: Callable[..., Awaitable[Any]], below: Below, **changed: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        await call(command, below.registry, **changed)
    assert not below.store.writes
    return caught.value


@pytest.mark.parametrize(
    ("command", "operation"),
    [
        (
            register_prompt,
            Register(
                name="team/greeting",
                content=Content("Hi {{name}}"),
                digest=Content("Hi {{name}}").digest,
                commit_message="why",
                tags={"a": "b"},
            ),
        ),
        (set_alias, SetAlias(name="team/greeting", alias="production", target=3, expected=2)),
        (
            delete_alias,
            DeleteAlias(name="team/greeting", alias="production", expected=2, allow_missing=True),
        ),
        (set_tags, SetTags(name="team/greeting", version=None, tags={"a": "b"})),
        (delete_tags, DeleteTags(name="team/greeting", version=2, keys=("a", "b"))),
    ],
)
async def test_a_write_reaches_the_store_whole(below: Below, command: Any, operation: Any) -> None:
    await call(command, below.registry)
    expected = Write(operations=(operation,), request_id="r-1", actor="ana@laptop", reason="ticket 7", expected_etag=17)
    assert below.store.writes == [("default", expected)]


@COMMANDS
async def test_without_an_actor_anonymous_writes(below: Below, command: Any) -> None:
    await call(command, below.registry, WriteOptions(request_id="r-1"))
    assert below.store.writes[0][1].actor == "anonymous"


@COMMANDS
async def test_every_violation_of_a_request_comes_back_at_once(below: Below, command: Any) -> None:
    options = WriteOptions(request_id="", expected_etag=-1)
    error = await refusal(command, below, options=options, namespace="no way", name="a//b")
    assert error.code is Code.INVALID_ARGUMENT
    assert fields(error) == [
        "namespace",
        "name",
        "write.request_id",
        "write.expected_etag",
    ]


@COMMANDS
async def test_what_the_store_refuses_goes_through(below: Below, command: Any) -> None:
    below.store.failure = alias_conflict("team/greeting", "production", 2, 3)
    with pytest.raises(RegistryError, match="points at version 3") as caught:
        await call(command, below.registry)
    assert caught.value.reason == "ALIAS_CONFLICT"


@pytest.mark.parametrize(
    ("command", "changed", "field"),
    [
        (register_prompt, {"content": Content("")}, "content.text"),
        (register_prompt, {"content": Content("x" * ((1 << 20) + 1))}, "content"),
        (register_prompt, {"content": Content("x", response_format_json="[]")}, "content.response_format_json"),
        (register_prompt, {"content": Content("x", model_config_json="{")}, "content.model_config_json"),
        (register_prompt, {"tags": {"": "x"}}, "tags"),
        (register_prompt, {"tags": {f"t{i}": "" for i in range(101)}}, "tags"),
        (register_prompt, {"tags": {"a": "x" * 100_001}}, "tags['a']"),
        (set_alias, {"alias": "latest"}, "alias"),
        (set_alias, {"alias": "V12"}, "alias"),
        (set_alias, {"version": 0}, "version"),
        (set_alias, {"expected_version": -1}, "expected_version"),
        (delete_alias, {"alias": "LATEST"}, "alias"),
        (delete_alias, {"expected_version": 0}, "expected_version"),
        (set_tags, {"tags": {}}, "tags"),
        (set_tags, {"version": 0}, "version"),
        (delete_tags, {"keys": []}, "keys"),
        (delete_tags, {"keys": ["x" * 251]}, "keys"),
        (delete_tags, {"version": -1}, "version"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    below: Below, command: Any, changed: dict[str, Any], field: str
) -> None:
    assert fields(await refusal(command, below, **changed)) == [field]


async def test_zero_as_expected_version_of_set_alias_means_a_new_alias(below: Below) -> None:
    await call(set_alias, below.registry, expected_version=0)
    operation = below.store.writes[0][1].operations[0]
    assert isinstance(operation, SetAlias)
    assert operation.expected == 0


async def test_register_answers_the_version_it_made_without_reading_it_back(below: Below) -> None:
    made = await call(register_prompt, below.registry)
    assert (made.version.version, made.version.etag, made.revision) == (4, 41, Revision("epoch", 41))
    assert (made.version.author, made.version.created_ms) == ("ana@laptop", 1_700_000_001_000)
    assert made.version.digest == Content("Hi {{name}}").digest
    assert made.version.variables == ("name",)
    assert not below.reader.asked


@pytest.mark.parametrize("command", [set_alias, delete_alias])
async def test_moving_an_alias_answers_what_it_pointed_at(below: Below, command: Any) -> None:
    below.store.previous_version = 2
    written = await call(command, below.registry)
    assert (written.results[0].previous, written.revision) == (2, Revision("epoch", 41))
