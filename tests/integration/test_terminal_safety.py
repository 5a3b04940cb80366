"""Nothing that somebody wrote into the registry drives the terminal of who reads it: every command, every field."""

import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import typer
from typer.testing import CliRunner, Result

import promptwire
from promptwire.cli.app import app
from promptwire.cli.output import Output
from promptwire.domain.hidden_text import find_hidden
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.service import ServiceProcess

NASTY = "N\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\u200b\U000e0041[red]"
TEMPLATE = f"{NASTY} {{{{who}}}}"
SEEN_ELSEWHERE = {"serve", "import"}
"""Commands that show nothing of a registry's: `serve` runs one, `import` has tests of its own."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What rich writes itself, where it takes the output for a terminal with colours."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


@pytest.fixture
def registry(service: ServiceProcess, namespace: str) -> Iterator[promptwire.Client]:
    """A namespace with escapes in every field that takes them."""
    with promptwire.Client(service.target, namespace=namespace, actor=NASTY) as client:
        for text in (TEMPLATE, f"{TEMPLATE} {NASTY}", "{{> prompts:/p/1 }}"):
            client.register_prompt(
                "p" if "p/1" not in text else "q",
                text,
                commit_message=NASTY,
                tags={NASTY: NASTY},
                response_format={NASTY: NASTY},
                model_config={NASTY: NASTY},
            )
        client.register_prompt("chat", [{"role": "user", "content": TEMPLATE, NASTY: NASTY}])
        client.register_prompt("gone", TEMPLATE, commit_message=NASTY)
        client.delete_prompt("gone", reason=NASTY)
        client.set_prompt_tag("p", NASTY, NASTY)
        client.set_prompt_alias("p", "production", 1, reason=NASTY)
        client.set_prompt_alias("p", "production", 2, reason=NASTY)
        client.set_prompt_alias_split("p", "ab", {1: 50, 2: 50}, reason=NASTY)
        client.release(NASTY, {"p@staging": 1}, reason=NASTY)
        client.log_prompt_metrics("p/1", {"quality": 1.0}, tags={NASTY: NASTY})
        client.log_prompt_metrics("p/2", {"quality": 2.0}, tags={NASTY: NASTY})
        client.flush_prompt_metrics()
        client.load_prompt("p@production")  # so that `status` has an agent to show
        yield client


def lines(folder: Path) -> list[list[str]]:
    """A command line for each command."""
    return [
        ["get", "p@production"],
        ["get", "p@production", "-t"],
        ["get", "chat"],
        ["get", f"p@{NASTY}"],
        ["search", f"tags.`{NASTY}` = '{NASTY}'"],
        ["search"],
        ["search", "--prompts"],
        ["versions", "p"],
        ["list"],
        ["dependents", "p"],
        ["diff", "p", "1", "2"],
        ["diff", "p", "1", "2", "--unified"],
        ["audit"],
        ["metrics", "report", "p"],
        ["metrics", "log", "p/1", f"{NASTY}=1"],
        ["metrics", "log", "p/1", "quality=1", "--tag", f"{NASTY}={NASTY}"],
        ["champion", "p", NASTY, "--candidates", "1,2"],
        ["export", str(folder)],
        ["plan", str(folder)],
        ["apply", str(folder), "--title", NASTY, "--reason", NASTY],
        ["register", "new", "--template", TEMPLATE, "-m", NASTY, "--tag", f"{NASTY}={NASTY}"],
        ["register", NASTY, "--template", "x"],
        ["deleted"],
        ["undelete", "gone"],
        ["delete", "gone", "--reason", NASTY],
        ["status"],
        ["watch", "--since", "0", "--no-follow"],
        ["alias", "set", "p", "production", "1", "--reason", NASTY],
        ["alias", "split", "p", "ab", "1=10", "2=90", "--reason", NASTY],
        ["alias", "history", "p", "production"],
        ["alias", "rollback", "p", "production", "--reason", NASTY],
        ["alias", "list", "p"],
        ["alias", "rm", "p", "staging", "--reason", NASTY],
        ["tag", "set", "p", f"{NASTY}={NASTY}"],
        ["tag", "rm", "p", NASTY],
        ["release", "plan", NASTY, "p@other=1"],
        ["release", "run", NASTY, "p@other=1", "--reason", NASTY],
        ["release", "list"],
        ["release", "undo", "999"],
        ["alias", NASTY],
        [NASTY],
        ["get", "--target", NASTY, "p"],
        ["get", "--namespace", NASTY, "p"],
    ]


def names(command: typer.Typer) -> Iterator[str]:
    yield from (str(one.name) for one in command.registered_commands)
    yield from (str(one.name) for one in command.registered_groups)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_no_command_hands_on_what_would_drive_a_terminal_or_stay_unseen(
    service: ServiceProcess,
    registry: promptwire.Client,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    json: bool,
) -> None:
    monkeypatch.setattr(Output, "for_people", terminal)
    shown = 0
    for line in lines(folder):
        verbatim = "-t" in line and not terminal and not json
        result = run(service, registry.status().namespace, line, json=json)
        for stream in (result.stdout, result.stderr):
            text = COLOURS.sub("", stream)
            if not verbatim:
                assert find_hidden(text) is None, (line, text)
            shown += text.count("\\u200b")
        assert "this is a bug" not in result.stderr, line
        if line[:2] == ["plan", str(folder)] and not json:
            (folder / "p.prompt.yaml").write_text(f'name: p\ntemplate: "{NASTY.encode("unicode_escape").decode()}"\n')
    assert shown > 40


def test_every_command_is_among_them(folder: Path) -> None:
    assert {line[0] for line in lines(folder)} >= set(names(app)) - SEEN_ELSEWHERE


def test_hidden_text_is_accepted_with_a_warning(
    service: ServiceProcess, namespace: str, channel: grpc.Channel, tmp_path: Path
) -> None:
    """By any client, at the command line, and by `plan` before it is done."""
    expected = "line 1, column 3: U+200B ZERO WIDTH SPACE, which readers do not see"
    request = pb.RegisterPromptRequest(
        namespace=namespace, name="p", content={"text": "Hi\u200b"}, write={"request_id": "r1"}
    )
    answer = pb_grpc.PromptServiceStub(channel).RegisterPrompt(request)
    assert [(one.field, one.description) for one in answer.warnings] == [("content.text", expected)]
    registered = run(service, namespace, ["register", "p", "--template", "Hi\u200b"], json=False)
    assert (registered.exit_code, registered.stderr) == (0, f"warning: content.text: {expected}\n")
    (tmp_path / "q.prompt.yaml").write_text('name: q\ntemplate: "Hi\u200b"\n')
    for command in ("plan", "apply"):
        result = run(service, namespace, [command, str(tmp_path)], json=False)
        assert result.exit_code == 0
        assert f"warning: {tmp_path}/q.prompt.yaml: content.text: {expected}\n" in result.stderr
    shown = run(service, namespace, ["get", "q"], json=False)
    assert "Hi\\u200b" in shown.stdout
    assert expected in shown.stderr


def run(service: ServiceProcess, namespace: str, line: list[str], *, json: bool) -> Result:
    words = [
        "--target",
        service.target,
        "--namespace",
        namespace,
        "--actor",
        NASTY,
        *(["--json"] if json else []),
        *line,
    ]
    return CliRunner().invoke(app, words, prog_name="promptwire")
