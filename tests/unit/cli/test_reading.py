"""`get`, `versions`, `list` and `status`: for people, in a pipe, in JSON."""

import dataclasses
import json

import pytest

from promptwire.errors import UnavailableError
from promptwire.status import CacheStatus, ServerStatus, StoreStatus, WatcherStatus
from promptwire.values import AgentsReport, Convergence, LaggingAgent, Revision
from tests.unit.cli.conftest import HERE, NOW_MS, Cli, StubClient, a_prompt, a_version

NASTY = "[red]Hi[/] {{who}} \x1b[2J\u202e [link=x]\n  tab\tkept"


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        ("telco@production", ("telco", "production")),
        ("prompts:/telco@production", ("telco", "production")),
        ("telco", ("telco", "latest")),
        ("telco/1", ("telco", 1)),
        ("support/telco", ("support/telco", "latest")),
    ],
)
def test_get_takes_every_form_of_reference(
    cli: Cli, client: StubClient, reference: str, asked: tuple[str, str | int]
) -> None:
    client.versions = [a_version(name=asked[0])]
    assert cli("get", reference).exit_code == 0
    assert client.asked == [("get", *asked)]
    assert client.closed


@pytest.mark.parametrize("template", ["no line end", "line end\n", "crlf\r\n\r\n", "ünï 日本\n", NASTY])
def test_template_only_is_the_template_byte_for_byte(cli: Cli, client: StubClient, template: str) -> None:
    client.versions = [a_version(template=template)]
    result = cli("get", "telco@production", "-t")
    assert result.stdout_bytes == template.encode()
    assert result.stderr == ""


def test_on_a_terminal_a_template_is_verbatim_but_for_what_would_drive_the_terminal(
    terminal: Cli, client: StubClient
) -> None:
    client.versions = [a_version(template=NASTY, tags={"[b]": "[/b]\x1b[2J"}, commit_message="[red]why[/]")]
    for arguments in (["-t"], []):
        shown = terminal("get", "telco", *arguments).stdout
        assert "[red]Hi[/] {{who}} \\x1b[2J\\u202e [link=x]\n  tab\tkept\n" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "tag [b]" in shown
    assert "[/b]\\x1b[2J" in shown
    assert "[red]why[/]" in shown


def test_get_shows_people_what_is_known_and_then_the_template(terminal: Cli, client: StubClient) -> None:
    client.versions = [
        a_version(2, aliases=("production",), tags={"use_case": "billing"}, model_config_json='{"model":"m"}')
    ]
    lines = terminal("get", "telco").stdout.splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines[:5])
    assert facts["version"].strip() == "2"
    assert facts["aliases"].strip() == "production"
    assert facts["message"].strip() == "-"
    assert any(line.startswith("created") and "5 min ago" in line for line in lines)
    assert any(line.startswith("tag use_case") and "billing" in line for line in lines)
    assert any(line.startswith("model config") and '{"model": "m"}' in line for line in lines)
    assert lines[-2:] == ["", "Help {{customer}}."]


def test_get_as_json_has_the_names_of_the_attributes(cli: Cli, client: StubClient) -> None:
    version = a_version(response_format_json='{"type":"object"}', aliases=("production",), tags={"k": "v"})
    client.versions = [version]
    found = json.loads(cli("get", "telco", "--json").stdout)
    assert found == {
        "name": "telco",
        "version": 1,
        "template": "Help {{customer}}.",
        "variables": ["customer"],
        "commit_message": "",
        "tags": {"k": "v"},
        "aliases": ["production"],
        "author": "ana@laptop",
        "creation_timestamp": NOW_MS,
        "uri": "prompts:/telco/1",
        "digest": "",
        "response_format": {"type": "object"},
        "model_config": None,
        "syntax": "",
        "source": "",
        "includes": [],
    }
    assert all(hasattr(version, name) for name in found)


def test_versions_on_a_terminal_is_a_table(terminal: Cli, client: StubClient) -> None:
    client.versions = [a_version(2, commit_message="5G [bold]and[/] IoT", aliases=("production",)), a_version(1)]
    header, newest, oldest = terminal("versions", "telco").stdout.splitlines()
    assert header.split() == ["VERSION", "ALIASES", "AUTHOR", "CREATED", "MESSAGE", "TAGS", "SIZE"]
    assert newest.split()[:2] == ["2", "production"]
    assert "5G [bold]and[/] IoT" in newest
    assert "5 min ago" in newest
    assert newest.rstrip().endswith("18 B")
    assert oldest.split()[:2] == ["1", "-"]


def test_in_a_pipe_rows_are_whole_tab_separated_and_without_a_header(cli: Cli, client: StubClient) -> None:
    message = f"long {'x' * 500}\nsecond line\twith tab"
    client.versions = [
        a_version(2, commit_message=message, aliases=("a", "b"), tags={"k": "v"}),
        a_version(1, author="\x1b[31m"),
    ]
    rows = [line.split("\t") for line in cli("versions", "telco").stdout.splitlines()]
    escaped = message.replace("\n", "\\n").replace("\t", "\\t")
    assert rows == [
        ["2", "a,b", "ana@laptop", "2026-11-18T11:06:40.000Z", escaped, "k=v", "18"],
        ["1", "", "\\x1b[31m", "2026-11-18T11:06:40.000Z", "", "", "18"],
    ]


def test_list_shows_prompts(terminal: Cli, client: StubClient) -> None:
    client.prompts = [a_prompt("billing"), a_prompt("telco", aliases={"production": 1, "staging": 2})]
    header, only = terminal("list", "tel").stdout.splitlines()
    assert client.asked == [("list", "tel")]
    assert header.split() == ["NAME", "LATEST", "ALIASES", "AUTHOR", "CREATED", "UPDATED", "TAGS"]
    assert only.split()[:4] == ["telco", "2", "production=1,", "staging=2"]


def test_an_empty_list_is_empty_for_programs_and_said_to_people(
    cli: Cli, client: StubClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("list").stdout == ""
    assert json.loads(cli("list", "--json").stdout) == []
    monkeypatch.setattr("promptwire.cli.output.Output.for_people", True)
    result = cli("list", "x")
    assert (result.stdout, result.stderr) == ("", "no prompts whose name begins with x\n")


def test_list_as_json_has_the_names_of_the_attributes(cli: Cli, client: StubClient) -> None:
    client.prompts = [a_prompt(aliases={"production": 1})]
    assert json.loads(cli("list", "--json").stdout) == [
        {
            "name": "telco",
            "latest_version": 2,
            "aliases": {"production": 1},
            "tags": {},
            "author": "ana@laptop",
            "creation_timestamp": NOW_MS,
            "last_updated_timestamp": NOW_MS,
            "etag": 7,
            "deleted_versions": [],
            "splits": {},
        }
    ]


def a_status(reachable: bool = True) -> ServerStatus:
    return ServerStatus(
        version="0.1.0",
        start_timestamp=NOW_MS,
        store=StoreStatus(
            location="embedded in /data",
            server="valkey 9.1.2",
            durability="fsync",
            reachable=reachable,
            problem="" if reachable else "connection refused",
        ),
        revision=HERE,
        checked_timestamp=None,
        caches=(
            CacheStatus(
                name="prompts", entries=3, bytes=2_048, max_bytes=1 << 20, hits=9, misses=1, fenced=0, invalidations=0
            ),
        ),
        watchers=(
            WatcherStatus(
                client_id="abc",
                client_name="agent [1]\x1b",
                peer="ipv4:127.0.0.1:5",
                start_timestamp=NOW_MS,
                subscriptions=2,
                sent_revision=6,
                applied_revision=5,
                queued=1,
                resyncs=0,
            ),
        ),
        watcher_count=4,
    )


def test_status_shows_service_store_caches_and_watchers(terminal: Cli, client: StubClient) -> None:
    client.status_answer = a_status()
    result = terminal("status", "--target", "registry:1")
    assert result.exit_code == 0
    for part in (
        ["service", "promptwire 0.1.0"],
        ["address", "registry:1"],
        ["store", "embedded in /data"],
        ["store reachable", "yes"],
        ["durability", "fsync"],
        ["revision", "7"],
        ["prompts", "3", "2 KiB", "1 MiB", "9"],
        ["agent [1]\\x1b", "abc", "ipv4:127.0.0.1:5", "5 min ago", "2", "6", "1"],
    ):
        assert any(all(word in line for word in part) for line in result.stdout.splitlines()), part


def test_status_shows_which_agents_have_the_last_changes_of_aliases(terminal: Cli, client: StubClient) -> None:
    client.status_answer = a_status()
    lagging = LaggingAgent(client_id="abc", client_name="billing-bot", peer="ipv4:127.0.0.1:5", applied_revision=6)
    agents = AgentsReport(
        total=3, converged=2, silent=1, lagging=(lagging,), delay_counts=(1, 1), slowest_seconds=0.002
    )
    client.convergence_answer = [
        Convergence(
            name="telco",
            alias="production",
            version=2,
            previous_version=None,
            revision=HERE,
            timestamp=NOW_MS,
            actor="ana",
            agents=agents,
        )
    ]
    result = terminal("status")
    found = next(line for line in result.stdout.splitlines() if "telco@production" in line)
    assert "none -> 2" in found
    assert "2 of 3" in found
    assert "1 ms" in found
    assert "billing-bot (ipv4" in result.stdout.replace("\n", "")
    assert agents.delay_seconds(50) == 0.001
    assert agents.delay_seconds(99) == 0.002


def test_status_knows_no_revision_of_a_namespace_that_the_service_has_not_looked_at(
    cli: Cli, client: StubClient
) -> None:
    client.status_answer = dataclasses.replace(a_status(), revision=Revision("", 0))
    assert "revision\t\nepoch\t\n" in cli("status").stdout


def test_status_with_its_store_out_of_reach_is_told_whole_and_exits_3(cli: Cli, client: StubClient) -> None:
    client.status_answer = a_status(reachable=False)
    result = cli("status", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 3
    assert found["store"]["reachable"] is False
    assert found["store"]["problem"] == "connection refused"
    assert found["target"] == "localhost:50051"
    assert found["namespace"] == "default"
    assert found["revision"] == {"epoch": "epoch-1", "number": 7}
    assert found["watchers"][0]["sent_revision"] == 6
    assert json.loads(result.stderr) == {"note": "the store is out of reach: connection refused"}


def test_status_of_a_service_out_of_reach_exits_3(cli: Cli, client: StubClient) -> None:
    client.fails = UnavailableError("localhost:50051 cannot be reached", code="UNAVAILABLE")
    result = cli("status")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines() == [
        "error: localhost:50051 cannot be reached",
        "is the service running? promptwire serve",
    ]
