"""`register`, `alias` and `tag`: what is sent, and what is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from promptwire.domain.splits import Split
from promptwire.values import AliasChange
from tests.unit.cli.conftest import HERE, Cli, StubClient, a_prompt, a_version


def sent(client: StubClient) -> tuple[Any, ...]:
    [only] = client.asked
    return only


def test_register_sends_everything_that_was_given(cli: Cli, client: StubClient, tmp_path: Path) -> None:
    template, schema = tmp_path / "t.txt", tmp_path / "schema.json"
    template.write_bytes("Hëlp {{customer}}\r\n".encode())
    schema.write_text('{"type": "object"}')
    result = cli(
        *("register", "telco", str(template), "-m", "why", "--tag", "a=1", "--tag", "b=x=y", "--tag", "c="),
        *("--response-format", str(schema), "--model-config", '{"temperature": 0.2}'),
    )
    assert result.exit_code == 0, result.stderr
    tags = {"a": "1", "b": "x=y", "c": ""}
    text = "Hëlp {{customer}}\r\n"
    assert sent(client) == ("register", "telco", text, "why", tags, {"type": "object"}, {"temperature": 0.2}, None)
    assert result.stdout == "registered telco version 2\nvariables: customer\n"


def test_register_reads_stdin_for_a_dash(cli: Cli, client: StubClient) -> None:
    assert cli("register", "telco", "-", input=b"from stdin\n").exit_code == 0
    assert sent(client)[2] == "from stdin\n"


def test_register_takes_the_template_from_the_command_line(cli: Cli, client: StubClient) -> None:
    client.versions = [a_version(3, variables=())]
    result = cli("register", "telco", "--template", "inline")
    assert sent(client)[1:] == ("telco", "inline", None, {}, None, None, None)
    assert result.stdout == "registered telco version 3\nvariables: none\n"


def test_register_takes_messages_and_a_syntax(cli: Cli, client: StubClient) -> None:
    messages = [{"role": "user", "content": "{{q}}"}]
    assert cli("register", "telco", "--chat", "--syntax", "jinja2", "--template", json.dumps(messages)).exit_code == 0
    assert (sent(client)[2], sent(client)[-1]) == (messages, "jinja2")


@pytest.mark.parametrize("template", ["{", '{"role": "user"}'])
def test_messages_that_are_none_are_wrong_usage(cli: Cli, client: StubClient, template: str) -> None:
    result = cli("register", "telco", "--chat", "--template", template)
    assert (result.exit_code, client.asked) == (2, [])
    assert "the messages" in result.stderr


def test_register_answers_with_the_version_in_json(cli: Cli, client: StubClient) -> None:
    found = json.loads(cli("register", "telco", "--template", "x", "--json").stdout)
    assert (found["name"], found["version"], found["template"]) == ("telco", 2, "x")


def test_model_config_and_response_format_may_be_files_or_json(cli: Cli, client: StubClient, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"a": 1}')
    file = f"@{tmp_path / 'c.json'}"
    cli("register", "telco", "--template", "x", "--model-config", file, "--response-format", '{"b": 2}')
    assert sent(client)[-3:] == ({"b": 2}, {"a": 1}, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no template: name a file, or - for stdin, or use --template"),
        (["-", "--template", "x"], "the template is given twice: as stdin and with --template"),
        (["{dir}/missing"], "missing cannot be read: No such file or directory"),
        (["{dir}"], "cannot be read: Is a directory"),
        (["{dir}/latin1"], "latin1 is not UTF-8: byte 0xfc at offset 3"),
        (["{dir}/big"], "big is over 1,048,576 bytes, the most that a prompt may have"),
        (["--template", "x", "--tag", "novalue"], "a tag is KEY=VALUE, not 'novalue'"),
        (["--template", "x", "--tag", "=v"], "a tag is KEY=VALUE, not '=v'"),
        (["--template", "x", "--tag", "a=1", "--tag", "a=2"], "tag 'a' is given twice"),
        (["--template", "x", "--model-config", "{oops"], "--model-config is not JSON"),
        (["--template", "x", "--model-config", "[1]"], "--model-config must be a JSON object"),
        (["--template", "x", "--response-format", "{dir}/big"], "big is over"),
        (["--template", "x", "--response-format", "{dir}/latin1"], "not UTF-8"),
        (["--template", "x", "--model-config", "@{dir}/missing"], "missing cannot be read"),
    ],
)
def test_register_refuses_wrong_usage_and_sends_nothing(
    cli: Cli, client: StubClient, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "latin1").write_bytes("abcü".encode("latin-1"))
    (tmp_path / "big").write_bytes(b"x" * ((1 << 20) + 1))
    result = cli("register", "telco", *(one.replace("{dir}", str(tmp_path)) for one in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert client.asked == []


def test_alias_set_says_from_where_to_where(cli: Cli, client: StubClient) -> None:
    result = cli("alias", "set", "telco", "production", "2", "--expect", "1", "--reason", "better")
    assert result.stdout == "telco@production: 1 -> 2 (revision 7)\n"
    assert sent(client) == ("set_alias", "telco", "production", 2, 1, "better")


def test_alias_set_of_a_new_alias(cli: Cli, client: StubClient) -> None:
    client.moved = AliasChange(previous_version=None, revision=HERE)
    result = cli("alias", "set", "telco", "production", "2", "--expect", "0")
    assert result.stdout == "telco@production: none -> 2 (revision 7)\n"
    assert sent(client)[4] == 0


@pytest.mark.parametrize(("source", "number"), [("staging", 5), ("@staging", 5), ("latest", 9)])
def test_alias_set_takes_another_alias_and_says_what_it_meant(
    cli: Cli, client: StubClient, source: str, number: int
) -> None:
    client.prompts = [a_prompt(latest_version=9, aliases={"staging": 5}), a_prompt("telco-other")]
    result = cli("alias", "set", "telco", "production", source)
    name = source.removeprefix("@")
    assert result.stdout == f"telco@production: 1 -> {number} (revision 7; {name} is version {number})\n"
    # From a listing, which is read from the store.
    assert client.asked == [("list", "telco"), ("set_alias", "telco", "production", number, None, "")]


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [("telco", "nope", "ALIAS_NOT_FOUND"), ("tel", "staging", "PROMPT_NOT_FOUND"), ("telco", "v2", "INVALID_ARGUMENT")],
)
def test_alias_set_from_what_is_not_there_sets_nothing(
    cli: Cli, client: StubClient, name: str, source: str, reason: str
) -> None:
    client.prompts = [a_prompt(aliases={"staging": 5})]
    result = cli("alias", "set", name, "production", source, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["error"]["reason"] == reason
    assert not any(asked[0] == "set_alias" for asked in client.asked)


def test_alias_set_as_json(cli: Cli, client: StubClient) -> None:
    client.prompts = [a_prompt(latest_version=9)]
    assert json.loads(cli("alias", "set", "telco", "production", "latest", "--json").stdout) == {
        "name": "telco",
        "alias": "production",
        "version": 9,
        "previous_version": 1,
        "previous_split": None,
        "resolved_from": "latest",
        "revision": {"epoch": "epoch-1", "number": 7},
    }


def test_alias_rm(cli: Cli, client: StubClient) -> None:
    result = cli("alias", "rm", "telco", "production", "--allow-missing")
    assert result.stdout == "telco@production: 1 -> none (revision 7)\n"
    assert sent(client) == ("delete_alias", "telco", "production", None, True, "")


def test_alias_rm_of_none(cli: Cli, client: StubClient) -> None:
    client.moved = AliasChange(previous_version=None, revision=HERE)
    assert cli("alias", "rm", "telco", "production").stdout == "telco@production: there was none\n"
    found = json.loads(cli("alias", "rm", "telco", "production", "--json").stdout)
    assert found["previous_version"] is None


def test_alias_rm_of_a_split(cli: Cli, client: StubClient) -> None:
    split = Split("s", ((9_000, 1), (10_000, 2)))
    client.moved = AliasChange(previous_version=None, previous_split=split, revision=HERE)
    said = cli("alias", "rm", "telco", "production").stdout
    assert said == "telco@production: 1 90 %, 2 10 % -> none (revision 7)\n"


def test_alias_list(cli: Cli, client: StubClient) -> None:
    client.prompts = [a_prompt(latest_version=9, aliases={"production": 1, "staging": 5})]
    assert cli("alias", "list", "telco").stdout == "production\t1\nstaging\t5\nlatest\t9\n"
    assert json.loads(cli("alias", "list", "telco", "--json").stdout) == {
        "name": "telco",
        "aliases": {"production": 1, "staging": 5},
        "splits": {},
        "latest_version": 9,
    }


@pytest.mark.parametrize(
    ("arguments", "asked", "said"),
    [
        (["set", "telco", "a=1", "b=2"], ("set_tags", "telco", None, {"a": "1", "b": "2"}), "telco: set a, b"),
        (["set", "telco", "a=1", "--version", "3"], ("set_tags", "telco", 3, {"a": "1"}), "telco/3: set a"),
        (["rm", "telco", "a", "b"], ("delete_tags", "telco", None, ["a", "b"]), "telco: removed a, b"),
        (["rm", "telco", "a", "--version", "3"], ("delete_tags", "telco", 3, ["a"]), "telco/3: removed a"),
    ],
)
def test_tags_of_a_prompt_or_of_a_version(
    cli: Cli, client: StubClient, arguments: list[str], asked: tuple[Any, ...], said: str
) -> None:
    result = cli("tag", *arguments)
    assert result.stdout == f"{said} (revision 7)\n"
    assert sent(client) == asked


def test_tags_as_json(cli: Cli, client: StubClient) -> None:
    revision = {"epoch": "epoch-1", "number": 7}
    set_ = json.loads(cli("tag", "set", "telco", "a=1", "--json").stdout)
    assert set_ == {"name": "telco", "version": None, "tags": {"a": "1"}, "revision": revision}
    removed = json.loads(cli("tag", "rm", "telco", "a", "--version", "2", "--json").stdout)
    assert removed == {"name": "telco", "version": 2, "keys": ["a"], "revision": revision}
