"""Options of every command: before or after its name, the nearer one counts."""

import pytest
from typer.testing import CliRunner

from promptwire.cli import session
from promptwire.cli.app import app
from promptwire.cli.session import Globals
from tests.unit.cli.conftest import Cli, StubClient, a_prompt

GIVEN = ["--target", "t:1", "--namespace", "ns", "--token", "s3cret", "--actor", "ana", "--timeout", "2.5"]
MEANT = Globals(target="t:1", namespace="ns", token="s3cret", actor="ana", timeout=2.5)


@pytest.mark.parametrize(
    "arguments",
    [
        [*GIVEN, "list"],
        ["list", *GIVEN],
        [*GIVEN[:4], "list", *GIVEN[4:]],
        ["alias", "list", "telco", *GIVEN],
        ["alias", *GIVEN, "list", "telco"],
        [*GIVEN, "alias", "list", "telco"],
        [*GIVEN[:2], "alias", *GIVEN[2:6], "list", "telco", *GIVEN[6:]],
    ],
)
def test_they_stand_anywhere(cli: Cli, client: StubClient, arguments: list[str]) -> None:
    client.prompts = [a_prompt()]
    assert cli(*arguments).exit_code == 0
    assert client.given == MEANT


def test_the_nearer_one_counts(cli: Cli, client: StubClient) -> None:
    cli("--target", "far:1", "--actor", "ana", "list", "--target", "near:1")
    assert (client.given.target, client.given.actor) == ("near:1", "ana")


def test_what_is_not_given_is_left_to_the_client(cli: Cli, client: StubClient) -> None:
    cli("list")
    assert client.given == Globals()


def test_a_token_is_never_echoed(cli: Cli, client: StubClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTWIRE_DEBUG", "1")
    client.fails = RuntimeError("oops")
    for result in (cli("list", "--token", "s3cret"), cli("--token", "s3cret", "list", "--bogus")):
        assert result.exit_code != 0
        assert "s3cret" not in result.output
    assert "s3cret" not in repr(MEANT)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--timeout", "0"], "timeout_seconds"),
        (["--namespace", "a b"], "namespace"),
        (["--target", "http://x"], "target"),
        (["--token", "sécret"], "token"),
    ],
)
def test_options_that_no_client_takes_are_wrong_usage(arguments: list[str], field: str) -> None:
    """With the real client, which connects only when it is first used."""
    result = CliRunner().invoke(app, ["list", *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {field}: ")
    assert "sécret" not in result.output


def test_the_client_is_made_of_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TARGET", "NAMESPACE", "TOKEN", "ACTOR"):
        monkeypatch.delenv(f"PROMPTWIRE_{name}", raising=False)
    monkeypatch.setenv("PROMPTWIRE_NAMESPACE", "from-environment")
    with session.connect(Globals(target="t:1")) as client:
        status = client.status()
    assert (status.target, status.namespace) == ("t:1", "from-environment")


@pytest.mark.parametrize("command", [["list"], ["alias", "set"], ["tag", "rm"], ["watch"]])
def test_help_of_a_command_says_where_they_are_described(cli: Cli, command: list[str]) -> None:
    shown = " ".join(cli(*command, "--help").stdout.split())
    assert "Also takes --target, --namespace, --token, --actor, --timeout, --json: see promptwire --help." in shown
    assert "PROMPTWIRE_TARGET" in cli("--help").stdout
