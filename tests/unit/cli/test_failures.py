"""Exit codes, and what is said when something cannot be done."""

import io
import json

import pytest

from promptwire import errors
from promptwire.cli.failures import exit_code, refusal
from promptwire.cli.output import Output
from tests.unit.cli.conftest import Cli, StubClient


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PromptNotFoundError("x", "PROMPT_NOT_FOUND"), 1),
        (errors.InvalidArgumentError("x"), 1),
        (errors.ConflictError("x", "ALIAS_CONFLICT"), 1),
        (errors.PermissionDeniedError("x"), 1),
        (errors.PromptwireError("x", "INTERNAL"), 1),
        (errors.UnavailableError("x", "STORE_FULL", code="RESOURCE_EXHAUSTED"), 1),
        (errors.UnavailableError("x", code="UNAVAILABLE"), 3),
        (errors.UnavailableError("x", "STORE_UNAVAILABLE", code="UNAVAILABLE"), 3),
        (errors.UnavailableError("x", code="DEADLINE_EXCEEDED"), 3),
        (errors.StaleError("x"), 3),
    ],
)
def test_refused_is_1_and_out_of_reach_is_3(error: errors.PromptwireError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_one_line_and_a_hint_on_stderr(cli: Cli, client: StubClient) -> None:
    client.fails = errors.AliasNotFoundError(
        "prompt 'telco' has no alias 'p[/]\n\x1b'", "ALIAS_NOT_FOUND", {"name": "telco", "alias": "p"}, "NOT_FOUND"
    )
    result = cli("get", "telco@p")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        r"error: prompt 'telco' has no alias 'p[/]\n\x1b'",
        "`promptwire alias list telco` shows the aliases there are",
    ]


def test_a_hint_without_what_it_needs_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    refusal(Output(json=False), errors.AliasNotFoundError("gone", "ALIAS_NOT_FOUND"))
    assert capsys.readouterr().err == "error: gone\n"


def test_with_json_an_error_is_an_object_on_stderr(cli: Cli, client: StubClient) -> None:
    client.fails = errors.InvalidArgumentError(
        "name: must not be empty", metadata={"k": "v"}, violations=[("name", "must not be empty")]
    )
    for arguments in (["--json", "get", "x"], ["get", "x", "--json"]):
        result = cli(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert json.loads(result.stderr) == {
            "error": {
                "reason": "INVALID_ARGUMENT",
                "message": "name: must not be empty",
                "metadata": {"k": "v"},
                "violations": [{"field": "name", "description": "must not be empty"}],
            }
        }


def test_an_error_without_a_reason_has_its_status_code_as_one(cli: Cli, client: StubClient) -> None:
    client.fails = errors.UnavailableError("gone", code="UNAVAILABLE")
    assert json.loads(cli("list", "--json").stderr)["error"]["reason"] == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get"], "missing argument 'REF'"),
        (["get", "x", "--bogus"], "no such option"),
        (["bogus"], "no such command 'bogus'"),
        (["alias", "bogus"], "no such command 'bogus'"),
        (["alias", "set", "a", "b", "1", "--expect", "x"], "invalid value for '--expect'"),
        (["list", "--timeout", "x"], "invalid value for '--timeout'"),
    ],
)
def test_wrong_usage_is_one_line_and_where_to_look(cli: Cli, arguments: list[str], said: str) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert second.startswith("promptwire")
    assert second.endswith("--help shows how it is used")
    as_json = json.loads(cli(*arguments, "--json").stderr)["error"]
    assert as_json["reason"] == "USAGE"
    assert said in as_json["message"]


@pytest.mark.parametrize("arguments", [[], ["alias"], ["tag"]])
def test_without_a_command_there_is_help_and_exit_code_2(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Usage: promptwire" in result.stdout
    assert result.stderr == ""


def test_an_invalid_reference_is_refused_before_anything_is_sent(cli: Cli, client: StubClient) -> None:
    result = cli("get", "bad name@x")
    assert result.exit_code == 1
    assert "reference: " in result.stderr
    assert client.asked == []


def test_an_unexpected_failure_is_a_line_too(cli: Cli, client: StubClient) -> None:
    client.fails = KeyError("oops")
    result = cli("list")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: unexpected KeyError: 'oops'",
        "this is a bug; PROMPTWIRE_DEBUG=1 shows where it is",
    ]


def test_debug_shows_the_traceback(cli: Cli, client: StubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTWIRE_DEBUG", "1")
    client.fails = errors.UnavailableError("gone")
    assert "Traceback (most recent call last)" in cli("list").stderr


def test_ctrl_c_is_quiet(cli: Cli, client: StubClient) -> None:
    client.fails = KeyboardInterrupt()
    result = cli("list")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_an_error_on_a_terminal_is_red_and_its_hint_is_dim(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def told() -> str:
        stderr = Terminal()
        monkeypatch.setattr("sys.stderr", stderr)
        refusal(Output(json=False), errors.UnavailableError(f"[b]{'long ' * 40}[/b]"))
        return stderr.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    message = f"error: [b]{'long ' * 40}[/b]"
    assert told() == f"\x1b[31m{message}\x1b[0m\n\x1b[2mis the service running? promptwire serve\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in told()
