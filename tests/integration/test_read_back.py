"""Whatever registration accepts is read back byte for byte: from files, imported elsewhere, a snapshot, JSON output."""

import itertools
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import promptwire
from promptwire._core import decoding, snapshot
from promptwire.cli.forms import version as version_form
from promptwire.cli.text import json_text
from promptwire.domain.names import check_prompt_name
from promptwire.files import registry, restore
from promptwire.files.prompt_file import read, write
from promptwire.v1 import common_pb2, prompt_service_pb2, prompt_service_pb2_grpc
from tests.support.service import ServiceProcess

_numbers = itertools.count(1)

EDGES = (
    "\r",
    "\r\n",
    "\n\r",
    "a\r",
    "\n",
    "\n\n",
    " ",
    "x ",
    " x",
    "\t",
    "\0",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ufeffx",
    "\u200b",
    "\u202e",
    "\U000e0041",
    "\U0001f600",
    "\ufffe",
    "\uffff",
    "e\u0301",
    "é",
    "null",
    "~",
    "true",
    "no",
    "1.10",
    "0x1f",
    "1e3",
    "---",
    "...",
    "- a",
    "? a",
    "a: b",
    "# a",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%",
    "@",
    "`",
    "'",
    '"',
    "\\",
    "\\n",
    "{a}",
    "[a]",
    "{{ name }}",
    "{{name}}",
    "{# a #}",
)
TEXTS = st.lists(st.sampled_from(EDGES) | st.text(max_size=8), max_size=4).map("".join)
TEMPLATES = TEXTS.map(lambda text: text.replace("{{>", "{ {>")).filter(bool)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.1, 1e16, 1e-7, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 1])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": TEXTS.filter(lambda role: 1 <= len(role) <= 64), "content": TEMPLATES}, optional={"name": JSON}
    )
    | st.just({"type": "placeholder", "name": "history"}),
    min_size=1,
    max_size=3,
)
TAGS = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3)
NAMES = st.sampled_from(["p", "null", "true", "1a", "a/b", "telco/support.v2/x_1-2", "a" * 256, "A/a", "-", "..."])


def _json_text(draw: st.DrawFn, value: Any) -> str:
    """In one of the forms in which others write it."""
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 1]))
    return json.dumps(value, ensure_ascii=ascii_only, indent=indent)


@st.composite
def contents(draw: st.DrawFn) -> common_pb2.Content:
    content = common_pb2.Content()
    if draw(st.booleans()):
        content.text = draw(TEMPLATES)
    else:
        content.messages_json = _json_text(draw, draw(MESSAGES))
    if draw(st.booleans()):
        content.model_config_json = _json_text(draw, draw(OBJECTS))
    if draw(st.booleans()):
        content.response_format_json = _json_text(draw, draw(OBJECTS))
    if draw(st.booleans()):
        content.syntax = common_pb2.TEMPLATE_SYNTAX_JINJA2
    return content


Registered = list[common_pb2.PromptVersion]


@pytest.fixture(scope="module")
def stub(service: ServiceProcess) -> Any:
    with grpc.insecure_channel(service.target) as channel:
        yield prompt_service_pb2_grpc.PromptServiceStub(channel)


def register(
    stub: Any, namespace: str, name: str, some: list[common_pb2.Content], tags: Any, message: str
) -> Registered:
    """What the service accepts of these, as a client in any language sends them."""
    registered: Registered = []
    for content in some:
        request = prompt_service_pb2.RegisterPromptRequest(
            namespace=namespace,
            name=name,
            content=content,
            tags=tags,
            commit_message=message,
            write=common_pb2.WriteOptions(request_id=uuid.uuid4().hex, actor="ana"),
        )
        try:
            registered.append(stub.RegisterPrompt(request).version)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:  # type: ignore[attr-defined]
                raise
    return registered


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(NAMES, st.lists(contents(), min_size=1, max_size=3), TAGS, TEXTS, TAGS)
def test_what_is_accepted_is_read_back_everywhere(
    service: ServiceProcess, stub: Any, name: str, some: list[common_pb2.Content], tags: dict[str, str], message: str,
    prompt_tags: dict[str, str],
) -> None:  # fmt: skip
    assert check_prompt_name(name) is None
    source = f"read-back-{next(_numbers)}"
    registered = register(stub, source, name, some, tags, message)
    if not registered:
        return
    with promptwire.Client(service.target, namespace=source) as client:
        client.set_prompt_alias(name, "production", registered[0].version)
        if prompt_tags:
            client.set_prompt_tags(name, prompt_tags)
        loaded = [client.load_prompt(name, version=one.version) for one in registered]
        for one, version in zip(registered, loaded, strict=True):
            assert (version.digest, dict(version.tags), version.commit_message) == (one.digest, tags, message)
            told = json.loads(json_text(version_form(version)), parse_constant=pytest.fail)
            assert (told["digest"], told["tags"], told["commit_message"]) == (one.digest, tags, message)
            assert told["template"] == (json.loads(one.content.messages_json) if version.is_chat else one.content.text)
        (held,) = registry.prompts(client).values()
        text = write(registry.whole_file(client, held))
    with promptwire.Client(service.target, namespace=f"{source}-copy") as client:
        restore.restore(client, [read(text, "f")], lambda _: None)
        copied = [client.load_prompt(name, version=one.version) for one in registered]
        (copy,) = registry.prompts(client).values()
        assert write(registry.whole_file(client, copy)) == text
        assert dict(copy.tags) == prompt_tags
    for one, version in zip(registered, copied, strict=True):
        assert version.digest == one.digest
        assert (dict(version.tags), version.commit_message) == (tags, message)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(contents(), TAGS, TEXTS)
def test_what_is_accepted_is_read_back_from_a_snapshot(
    service: ServiceProcess, stub: Any, tmp_path: Path, content: common_pb2.Content, tags: dict[str, str], message: str
) -> None:
    namespace = f"kept-{next(_numbers)}"
    if not (registered := register(stub, namespace, "p", [content], tags, message)):
        return
    held = stub.GetPrompt(prompt_service_pb2.GetPromptRequest(namespace=namespace, name="p")).prompt
    at = promptwire.Revision("e", 1)
    entry = snapshot.entry("p", held, [decoding.prompt_version(registered[0])], ["latest"], at, 1.0)
    path = tmp_path / f"{namespace}.snapshot"
    path.touch(0o600)
    path.write_bytes(snapshot.pack({"p": entry}, "t", namespace, at, 2.0))
    found = snapshot.read(path, "t", namespace, 2.0)["p"].version("latest")
    assert isinstance(found, promptwire.PromptVersion)
    assert (found.digest, dict(found.tags), found.commit_message) == (registered[0].digest, tags, message)


def test_a_file_name_or_tag_that_needs_care_goes_through_the_commands(service: ServiceProcess, tmp_path: Path) -> None:
    """The same with processes of their own, a folder and pipes between them."""
    text = "a\r\n\0 \ufeff\u2028\U0001f600 \n\n"
    with promptwire.Client(service.target, namespace="commands") as client:
        client.register_prompt(
            "aux/.x/" + "n" * 200, text, tags={"\x1b]0;x\x07": text, "no": "1.10"}, commit_message=text
        )
    for words in (("export", "--all-versions"), ("--namespace", "commands-copy", "import")):
        command = [
            sys.executable,
            "-m",
            "promptwire.cli",
            "--target",
            service.target,
            "--namespace",
            "commands",
            *words,
        ]
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    with promptwire.Client(service.target, namespace="commands-copy") as client:
        (copy,) = client.list_prompts()
        found = client.load_prompt(copy.name)
    assert (found.template, dict(found.tags)["\x1b]0;x\x07"], found.commit_message) == (text, text, text)
