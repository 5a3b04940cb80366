"""Prompts of every kind through a real service: registered, read by an agent, filled in, included, refused."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

import promptwire
from promptwire import Move, Register
from promptwire.cli.app import app
from promptwire.domain.includes import DEPTH_MAX
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess, running_service

CHAT = [
    {"role": "system", "content": "You help {{customer}}."},
    {"type": "placeholder", "name": "history"},
    {"role": "user", "content": [{"type": "text", "text": "{{question}}"}]},
]
JINJA = "{% for one in documents %}- {{ one.title }}\n{% endfor %}"

Run = Callable[..., Result]


@pytest.fixture
def run(service: ServiceProcess, namespace: str) -> Run:
    def run(*arguments: object, input: str | None = None) -> Result:
        line = ["--target", service.target, "--namespace", namespace, *map(str, arguments)]
        return CliRunner().invoke(app, line, input=input)

    return run


@pytest.fixture
def stub(service: ServiceProcess) -> pb_grpc.PromptServiceStub:
    return pb_grpc.PromptServiceStub(grpc.insecure_channel(service.target))


def test_a_chat_prompt_reaches_an_agent_as_it_was_given(
    client: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    made = client.register_prompt("chat", CHAT, "first")
    assert (made.template, made.variables) == (CHAT, ("customer", "history", "question"))
    with promptwire.Client(service.target, namespace=namespace) as agent:
        prompt = agent.load_prompt("chat@latest")
        assert prompt == made
        assert prompt.is_chat
        filled = prompt.format(customer="Ana", history=[{"role": "user", "content": "Hi"}], question="Why?")
    assert [message["content"] for message in filled] == ["You help Ana.", "Hi", [{"type": "text", "text": "Why?"}]]


def test_a_jinja_prompt_reaches_an_agent_and_is_filled_in(client: promptwire.Client) -> None:
    made = client.register_prompt("list", JINJA, syntax="jinja2")
    assert (made.syntax, made.variables) == ("jinja2", ("documents",))
    loaded = client.load_prompt("list@latest")
    assert loaded.format(documents=[{"title": "a"}, {"title": "b"}]) == "- a\n- b\n"
    with pytest.raises(promptwire.RenderError, match="needs a value for 'documents'"):
        loaded.format()
    # The same text without a syntax is text.
    assert client.register_prompt("list", JINJA).format(one={"title": "x"}) == JINJA.replace("{{ one.title }}", "x")


@pytest.mark.parametrize(
    ("template", "syntax", "field", "says"),
    [
        ("a\n{% if %}", "jinja2", "content.text", "line 2, column 7: Expected an expression"),
        ("a\n {{> b c }}", None, "content.text", "line 2, column 2: an include is {{> prompts:/name@alias }}"),
        ("{{> a//b }}", None, "content.text", "line 1, column 5: include: "),
        ([{"role": "user", "content": "{{ x }"}], "jinja2", "content.messages_json[0].content", "line 1, column 6"),
        ([{"role": "user"}], None, "content.messages_json[0].content", "got nothing"),
        ([], None, "content.messages_json", "got 0"),
        ("{% include 'x' %}", "jinja2", "content.text", "{{> prompts:/name@alias }} includes another prompt"),
        (
            "{{> nobody@production }}",
            None,
            "content.text",
            "line 1, column 1: prompts:/nobody@production: there is no prompt",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_leaves_nothing(
    client: promptwire.Client, template: Any, syntax: str | None, field: str, says: str
) -> None:
    with pytest.raises(promptwire.InvalidArgumentError) as refused:
        client.register_prompt("p", template, syntax=syntax)
    [(named, description)] = refused.value.violations
    assert named == field
    assert says in description
    with pytest.raises(promptwire.InvalidArgumentError) as refused:
        client.release("two", [Register(name="ok", template="x"), Register(name="p", template=template, syntax=syntax)])
    assert refused.value.violations[0][0] == f"steps[1].{field}"
    assert list(client.list_prompts()) == []


def test_jinja_that_is_mostly_text_may_be_as_large_as_any_content(client: promptwire.Client) -> None:
    text = "Say {this} and that.\n" * 49_000 + "{% if kind %}Be {{ kind }}.{% endif %}"
    assert len(text) > 1_000_000
    client.register_prompt("long", text, syntax="jinja2")
    assert client.load_prompt("long@latest").format(kind="brief").endswith("that.\nBe brief.")


def test_costly_templates_hold_nobody_else_up(client: promptwire.Client) -> None:
    """As costly as they may be, from many callers: others resolve and register meanwhile, and none waits for ever."""
    client.register_prompt("other", "x")
    costly = "{{ a|replace('b', 'c') }}{% if a in [1, 2] %}{% endif %}" * 150

    def register(number: int) -> str:
        try:
            client.register_prompt(f"costly-{number}", costly, syntax="jinja2")
        except promptwire.UnavailableError as error:
            return error.reason
        return "registered"

    with ThreadPoolExecutor(30) as pool:
        answers = [pool.submit(register, number) for number in range(60)]
        while not all(answer.done() for answer in answers):
            assert client.load_prompt("other", consistency="strong").template == "x"
            client.register_prompt("other", "x")
    assert {answer.result() for answer in answers} <= {"registered", "OVERLOADED"}
    client.register_prompt("honest", "{{ a }}", syntax="jinja2")


@pytest.mark.parametrize("template", [b"x", 1, None, {"role": "user"}, [object()]])
def test_a_template_that_is_none_is_refused_before_it_is_sent(client: promptwire.Client, template: Any) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="template"):
        client.register_prompt("p", template)
    with pytest.raises(promptwire.InvalidArgumentError, match="syntax"):
        client.register_prompt("p", "x", syntax="mustache")


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (common.Content(text="x", syntax=7), "content.syntax"),  # type: ignore[arg-type]
        (common.Content(text="x", source="y"), "content.source"),
        (common.Content(text="x", includes=[common.Include(name="a", version=1)]), "content.source"),
        (common.Content(messages_json="{"), "content.messages_json"),
        (common.Content(messages_json='[{"role": "user", "content": "\\ud800"}]', syntax=1), "content.messages_json"),  # type: ignore[arg-type]
        (common.Content(text="x", model_config_json='{"a": "\\udfff"}'), "content.model_config_json"),
    ],
)
def test_a_content_that_no_client_makes_is_refused(
    stub: pb_grpc.PromptServiceStub, namespace: str, content: common.Content, field: str
) -> None:
    write = common.WriteOptions(request_id="r")
    with pytest.raises(grpc.RpcError) as refused:
        stub.RegisterPrompt(pb.RegisterPromptRequest(namespace=namespace, name="p", content=content, write=write))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert field in refused.value.details()  # type: ignore[attr-defined]


def test_an_include_is_pinned_for_ever(client: promptwire.Client) -> None:
    client.register_prompt("tone", "Be kind, {{name}}.")
    client.set_prompt_alias("tone", "production", 1)
    made = client.register_prompt("letter", "Dear {{name}}:\n{{> prompts:/tone@production }} {{> tone@production}}\n")
    text = "Dear {{name}}:\nBe kind, {{name}}. Be kind, {{name}}.\n"
    assert (made.template, made.variables) == (text, ("name",))
    assert made.source == "Dear {{name}}:\n{{> prompts:/tone@production }} {{> tone@production}}\n"
    [include] = made.includes
    assert (include.name, include.version) == ("tone", 1)
    assert include.digest == client.load_prompt("tone/1").digest
    client.register_prompt("tone", "Be brief.")
    client.set_prompt_alias("tone", "production", 2)
    assert client.load_prompt("letter/1", consistency="strong") == made
    again = client.register_prompt("letter", made.source)
    assert (again.template, again.includes[0].version) == ("Dear {{name}}:\nBe brief. Be brief.\n", 2)
    assert [(one.version, one.by_name, one.by_version) for one in client.prompt_dependents("tone")] == [
        (2, "letter", 2),
        (1, "letter", 1),
    ]
    assert [one.by_version for one in client.prompt_dependents("tone", 1)] == [1]
    with pytest.raises(promptwire.ConflictError, match="included by letter/1"):
        client.delete_prompt_version("tone", 1)
    with pytest.raises(promptwire.ConflictError, match="included by letter/1, letter/2"):
        client.delete_prompt("tone")
    client.delete_prompt("letter")
    assert list(client.prompt_dependents("tone")) == []
    assert client.delete_prompt("tone")


def test_includes_work_in_chat_and_in_jinja(client: promptwire.Client) -> None:
    client.register_prompt("tone", "Be {{how}}.")
    chat = client.register_prompt("chat", [{"role": "system", "content": "{{> tone }} Help."}])
    assert chat.format(how="kind") == [{"role": "system", "content": "Be kind. Help."}]
    assert json.loads(chat.source) == [{"role": "system", "content": "{{> tone }} Help."}]
    client.register_prompt("row", "{% if x %}{{ x }};{% endif %}", syntax="jinja2")
    rows = client.register_prompt("rows", "{% for x in xs %}{{> row }}{% endfor %}", syntax="jinja2")
    assert client.load_prompt("rows@latest").format(xs=[1, 0, 2]) == "1;2;"
    assert rows.variables == ("xs",)


def test_what_cannot_be_included_is_refused(client: promptwire.Client) -> None:
    client.register_prompt("chat", [{"role": "user", "content": "x"}])
    client.register_prompt("jinja", "{{ x }}", syntax="jinja2")
    client.register_prompt("open", "{% if a %}", syntax=None)
    client.register_prompt("split", "one")
    client.register_prompt("split", "two")
    client.set_prompt_alias_split("split", "ab", {1: 1, 2: 1})
    client.register_prompt("gone", "x")
    client.register_prompt("gone", "y")
    client.delete_prompt_version("gone", 1)
    client.register_prompt("away", "x")
    client.delete_prompt("away")
    for written, says in {
        "chat": "is a chat prompt; only the text of text prompts can be included",
        "jinja": "is written in Jinja2, and cannot be part of what is written in {{variable}}",
        "split@ab": "is a split; an include is of one version",
        "split@nope": "there is no alias 'nope'",
        "split/3": "there is no version 3",
        "gone/1": "version 1 is deleted",
        "away": "prompt 'away' is deleted",
        "nobody": "there is no prompt 'nobody'",
    }.items():
        with pytest.raises(promptwire.InvalidArgumentError) as refused:
            client.register_prompt("p", f"a\n  {{{{> {written} }}}}")
        assert f"line 2, column 3: prompts:/{written.partition('/')[0].partition('@')[0]}" in str(refused.value)
        assert says in str(refused.value)
    client.register_prompt("half", "{% if a %}x", syntax=None)
    with pytest.raises(promptwire.InvalidArgumentError, match="is written in"):
        client.register_prompt("p", "{{> half }}", syntax="jinja2")
    with pytest.raises(promptwire.InvalidArgumentError, match="includes more than 100"):
        client.register_prompt("p", "{{> split/1 }}" * 101)
    client.register_prompt("large", "x" * 600_000)
    with pytest.raises(promptwire.InvalidArgumentError, match="at most 1,048,576 bytes"):
        client.register_prompt("p", "{{> large }}{{> large }}")
    with pytest.raises(promptwire.PromptNotFoundError):
        client.get_prompt("p")


def test_circles_and_long_chains_are_refused_with_their_way(client: promptwire.Client) -> None:
    client.register_prompt("a", "x")
    client.register_prompt("b", "{{> a }}")
    client.register_prompt("c", "{{> b }}")
    with pytest.raises(promptwire.InvalidArgumentError, match="leads back to the prompt itself: a > c/1 > b/1 > a/1"):
        client.register_prompt("a", "{{> c }}")
    with pytest.raises(promptwire.InvalidArgumentError, match="leads back to the prompt itself: a > a/1"):
        client.register_prompt("a", "{{> a/1 }}")
    client.register_prompt("d0", "x")
    for depth in range(DEPTH_MAX):
        client.register_prompt(f"d{depth + 1}", f"{{{{> d{depth} }}}}")
    with pytest.raises(promptwire.InvalidArgumentError, match="goes over 8 deep: top > d8/1 > d7/1"):
        client.register_prompt("top", f"{{{{> d{DEPTH_MAX} }}}}")


def test_a_repeat_gets_the_first_answer_whatever_the_alias_is_by_then(
    client: promptwire.Client, stub: pb_grpc.PromptServiceStub, namespace: str
) -> None:
    client.register_prompt("tone", "one")
    client.register_prompt("tone", "two")
    client.set_prompt_alias("tone", "production", 1)
    request = pb.RegisterPromptRequest(
        namespace=namespace,
        name="letter",
        content=common.Content(text="{{> tone@production }}"),
        write=common.WriteOptions(request_id="once"),
    )
    first = stub.RegisterPrompt(request)
    client.set_prompt_alias("tone", "production", 2)
    assert stub.RegisterPrompt(request) == first
    client.delete_prompt_alias("tone", "production")
    assert stub.RegisterPrompt(request) == first
    request.content.text = "{{> tone/2 }}"
    with pytest.raises(grpc.RpcError) as refused:
        stub.RegisterPrompt(request)
    assert "REQUEST_ID_REUSED" in str(refused.value) or "was used for a different write" in str(refused.value)
    assert client.get_prompt("letter").latest_version == 1


def test_a_release_includes_what_it_registers_and_moves(client: promptwire.Client) -> None:
    client.register_prompt("tone", "one")
    client.set_prompt_alias("tone", "production", 1)
    released = client.release(
        "Kinder",
        [
            Register(name="tone", template="two", aliases=["staging"]),
            Move(name="tone", alias="production", version=2),
            Register(name="by_alias", template="{{> tone@production }}"),
            Register(name="by_staging", template="{{> tone@staging }}"),
            Register(name="by_latest", template="{{> tone }}"),
            Register(name="by_number", template="{{> tone/1 }}{{> tone/2 }}"),
        ],
    )
    assert released.revision.number == client.get_prompt("by_alias").etag
    texts = [one.template for one in client.load_prompts(["by_alias", "by_staging", "by_latest", "by_number"])]
    assert texts == ["two", "two", "two", "onetwo"]
    with pytest.raises(promptwire.InvalidArgumentError, match=r"steps\[0\].*there is no version 3"):
        client.release("Too early", [Register(name="p", template="{{> tone/3 }}"), Register(name="tone", template="3")])
    planned = client.release("Dry", [Register(name="p", template="{{> tone }}")], dry_run=True)
    assert planned.problems == ()
    assert not [one for one in client.list_prompts() if one.name == "p"]


def test_what_others_register_meanwhile_is_never_mixed_in(client: promptwire.Client) -> None:
    """Each of two writers releases a snippet and what includes it; whoever is late is refused, not pinned to the
    other's text."""
    client.register_prompt("tone", "start")
    barrier = threading.Barrier(2)

    def write(who: str) -> int:
        barrier.wait()
        done = 0
        for number in range(15):
            steps = [
                Register(name="tone", template=f"{who} {number}"),
                Register(name=who, template=f"{who} {number}: {{{{> tone }}}}"),
            ]
            try:
                client.release("race", steps)
                done += 1
            except promptwire.ConflictError:
                continue
        return done

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(write, ["ana", "bo"]))
    assert all(done)
    for who, count in zip(["ana", "bo"], done, strict=True):
        versions = list(client.list_prompt_versions(who))
        assert len(versions) == count
        assert all(one.template.split(": ")[0] == one.template.split(": ")[1] for one in versions)


def test_the_snapshot_has_every_kind(tmp_path: Path) -> None:
    names = ["chat", "list", "letter"]
    snapshots = tmp_path / "snapshots"
    with running_service(tmp_path / "data") as service:
        target = service.target
        with promptwire.Client(target, timeout_seconds=30, snapshot_dir=snapshots) as client:
            client.register_prompt("tone", "Be {{how}}.")
            client.register_prompt("chat", CHAT)
            client.register_prompt("list", JINJA, syntax="jinja2")
            client.register_prompt("letter", "{{> tone }}")
            client.wait_for_ready(names)
            loaded = client.load_prompts(names)
    with promptwire.Client(target, timeout_seconds=30, snapshot_dir=snapshots) as client:
        assert client.load_prompts(names) == loaded


def test_the_command_line_registers_and_shows_every_kind(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    assert run("register", "chat", file, "--chat").stdout == (
        "registered chat version 1\nvariables: customer, history, question\n"
    )
    assert run("register", "tone", "--template", "Be kind.").exit_code == 0
    said = run("register", "letter", "--template", "{{> tone }} {{x}}").stdout
    assert said == "registered letter version 1\nvariables: x\nincludes: tone/1\n"
    assert run("register", "rows", "--syntax", "jinja2", "--template", JINJA).exit_code == 0
    refused = run("register", "rows", "--syntax", "jinja2", "--template", "{% if %}")
    assert (refused.exit_code, "line 1, column 7" in refused.stderr) == (1, True)
    assert json.loads(run("get", "chat", "-t").stdout) == CHAT
    shown = json.loads(run("get", "letter", "--json").stdout)
    assert (shown["template"], shown["source"]) == ("Be kind. {{x}}", "{{> tone }} {{x}}")
    assert [one["name"] for one in shown["includes"]] == ["tone"]
    assert json.loads(run("get", "chat", "--json").stdout)["template"] == CHAT
    assert json.loads(run("dependents", "tone", "--json").stdout) == [
        {"version": 1, "by_name": "letter", "by_version": 1}
    ]
    assert "nobody" in run("dependents", "nobody").stderr
    assert run("dependents", "tone@production").exit_code == 2
    assert [row["name"] for row in json.loads(run("search", "template LIKE '%You help%'", "--json").stdout)] == ["chat"]


def test_a_diff_is_by_message(client: promptwire.Client) -> None:
    client.register_prompt("chat", CHAT)
    client.register_prompt("chat", [*CHAT[:2], {"role": "user", "content": "{{question}} Please."}], syntax="jinja2")
    parts = {part.name for part in client.diff_prompt_versions("chat", 1, 2).parts}
    assert parts == {"messages[2]", "syntax"}


def test_every_kind_survives_as_code(run: Run, client: promptwire.Client, tmp_path: Path) -> None:
    client.register_prompt("tone", "Be {{how}}.")
    client.register_prompt("a-letter", "{{> prompts:/tone }}\nDear {{name}},\n")
    client.register_prompt("chat", [{"role": "system", "content": "{{> tone }}\nHelp.\n"}, *CHAT[1:]], "chat")
    client.register_prompt("list", JINJA, syntax="jinja2")
    client.register_prompt("tone", "Be very {{how}}.")
    client.set_prompt_alias_split("tone", "ab", {1: 90, 2: 10}, salt="s")
    assert run("export", tmp_path / "new").exit_code == 0
    assert (tmp_path / "new/chat.prompt.yaml").read_text() == (
        "name: chat\ncommit_message: chat\nmessages:\n  - role: system\n    content: |\n      {{> tone }}\n"
        "      Help.\n"
        "  - type: placeholder\n    name: history\n  - role: user\n    content:\n      - type: text\n"
        '        text: "{{question}}"\n'
    )
    assert run("plan", tmp_path / "new", "--check").exit_code == 0
    tone = tmp_path / "new/tone.prompt.yaml"
    tone.write_text(tone.read_text().replace("very", "most"))
    letter = tmp_path / "new/a-letter.prompt.yaml"
    letter.write_text(letter.read_text().replace("Dear", "Hello"))
    assert run("apply", tmp_path / "new").exit_code == 0
    assert client.load_prompt("a-letter", consistency="strong").template == "Be most {{how}}.\nHello {{name}},\n"
    assert run("export", tmp_path / "all", "--all-versions").exit_code == 0
    with_numbers = (tmp_path / "all/a-letter.prompt.yaml").read_text()
    assert "{{> prompts:/tone/1 }}" in with_numbers
    assert "{{> prompts:/tone/3 }}" in with_numbers
    restored = run("--namespace", "restored-" + tmp_path.name, "import", tmp_path / "all")
    assert restored.exit_code == 0, restored.stderr
    again = run("--namespace", "restored-" + tmp_path.name, "export", tmp_path / "again", "--all-versions")
    assert again.exit_code == 0
    files = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert [(tmp_path / "again" / name).read_bytes() for name in files] == [
        (tmp_path / "all" / name).read_bytes() for name in files
    ]


def test_langchain_fills_in_the_same(client: promptwire.Client) -> None:
    text = client.register_prompt("text", 'Help {{who}} with {"json": {1}} and { braces }.')
    assert text.to_langchain().format(who="{Ana}") == text.format(who="{Ana}")
    chat = client.register_prompt("chat", CHAT)
    messages = (
        chat.to_langchain().invoke({"customer": "Ana", "history": [("user", "Hi")], "question": "Why?"}).to_messages()
    )
    assert [message.type for message in messages] == ["system", "human", "human"]
    assert [message.content for message in messages] == ["You help Ana.", "Hi", [{"type": "text", "text": "Why?"}]]
    jinja = client.register_prompt("list", JINJA, syntax="jinja2")
    assert jinja.to_langchain().format(documents=[{"title": "a"}]) == "- a\n"
    dotted = client.register_prompt("dotted", "{{user.name}}")
    with pytest.raises(promptwire.RenderError, match=r"no variable with a dot, 'user\.name'"):
        dotted.to_langchain()
    tool = client.register_prompt("tool", [{"role": "tool", "content": "x", "tool_call_id": "1"}])
    with pytest.raises(promptwire.RenderError, match="no message of role 'tool'"):
        tool.to_langchain()
