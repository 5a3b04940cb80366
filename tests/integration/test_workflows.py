"""A day of a prompt's author, a release manager and an analyst at the command line, on both kinds of store."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import promptwire
from promptwire.cli.app import app
from tests.support.servers import REDIS_SERVER, have_redis_server, running_server
from tests.support.service import ServiceProcess, running_service

Say = Callable[..., Any]

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")

redis = pytest.param(
    "redis",
    marks=[pytest.mark.redis, pytest.mark.skipif(not have_redis_server(), reason="needs Debian's redis-server")],
)


@pytest.fixture(scope="module", params=["embedded", redis])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "embedded":
        service: ServiceProcess = request.getfixturevalue("service")
        yield service.target
        return
    assert REDIS_SERVER is not None
    home = tmp_path_factory.mktemp("workflows")
    with (
        running_server(REDIS_SERVER, *DURABLE) as server,
        running_service(home / "data", store=server.url) as running,
    ):
        yield running.target


@pytest.fixture
def say(target: str, namespace: str) -> Say:
    """Runs a command with --json, and gives what it answered. `code` is the exit code that it has to have."""

    def say(*arguments: object, code: int = 0, namespace: str = namespace) -> Any:
        words = [str(one) for one in arguments]
        result = CliRunner().invoke(app, ["--target", target, "--namespace", namespace, *words, "--json"])
        assert result.exit_code == code, (words, result.stdout, result.stderr)
        lines = result.stdout.strip()
        try:
            return json.loads(lines)
        except ValueError:
            return [json.loads(line) for line in lines.splitlines()]

    return say


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['name']}/{row['version']}" for row in rows]


def test_authoring(say: Say, tmp_path: Path) -> None:
    say("register", "tone", "--template", "Be kind.")
    say("alias", "set", "tone", "production", 1)
    text = "{{> tone@production }} Help {{user.name}}."
    made = say("register", "support", "--template", text, "-m", "first", "--tag", "use_case=support")
    assert (made["template"], made["variables"]) == ("Be kind. Help {{user.name}}.", ["user.name"])
    chat = tmp_path / "chat.json"
    chat.write_text('[{"role": "system", "content": "{{x}}"}, {"type": "placeholder", "name": "history"}]')
    assert say("register", "chat", chat, "--chat")["variables"] == ["x", "history"]
    assert say("register", "rows", "--syntax", "jinja2", "--template", "{% for x in xs %}{{ x }}{% endfor %}")
    say("register", "rows", "--syntax", "jinja2", "--template", "{% for %}", code=1)
    assert say("dependents", "tone") == [{"version": 1, "by_name": "support", "by_version": 1}]
    say("register", "support", "--template", "Help {{user.name}} now.", "--model-config", '{"temperature": 0.2}')
    parts = {part["name"] for part in say("diff", "support", 1, 2)["parts"]}
    assert parts == {"template", "model_config", "source", "includes", "tags.use_case"}
    assert names(say("search", "tags.use_case = 'support'")) == ["support/1"]
    assert names(say("search", "template LIKE '%now.%' AND latest = true")) == ["support/2"]
    assert [row["name"] for row in say("list")] == ["chat", "rows", "support", "tone"]


def test_releasing(say: Say) -> None:
    for name in ("billing", "support"):
        for text in ("one", "two", "three"):
            say("register", name, "--template", text)
        say("alias", "set", name, "production", 1)
    say("release", "plan", "support@production=2", "billing@production=3", code=2)
    planned = say("release", "plan", "Friday", "support@production=2", "billing@production=3")
    assert [effect["problem"] for effect in planned["effects"]] == [None, None]
    done = say("release", "run", "Friday", "support@production=2", "billing@production=3", "--reason", "ticket 7")
    assert say("get", "support@production")["version"] == 2
    say("release", "run", "late", "support@production=9", code=1)
    say("release", "undo", done["revision"]["number"])
    assert say("get", "billing@production")["version"] == 1
    assert [row["release"] for row in say("release", "list")] == ["Undo Friday", "Friday"]
    say("alias", "set", "support", "production", 3, "--expect", 1)
    say("alias", "set", "support", "production", 2, "--expect", 1, code=1)
    say("alias", "rollback", "support", "production", "--reason", "worse")
    assert say("get", "support@production")["version"] == 1
    history = say("alias", "history", "support", "production")
    assert [move["version"] for move in history] == [1, 3, 1, 2, 1]
    assert history[0]["rollback"]
    say("delete", "support/3")
    say("delete", "billing/1", code=1)
    say("delete", "billing/1", "--drop-aliases")
    assert [(one["name"], one["version"]) for one in say("deleted")] == [("support", 3), ("billing", 1)]
    say("get", "support/3", code=1)
    say("undelete", "support/3")
    assert say("get", "support@latest")["version"] == 3
    writes = say("audit")
    assert [write["revision"]["number"] for write in writes] == list(range(1, len(writes) + 1))


def test_experiments(say: Say, target: str, namespace: str) -> None:
    for text in ("one", "two"):
        say("register", "support", "--template", text)
    for alias, version in (("production", 1), ("variant_a", 1), ("variant_b", 2)):
        say("alias", "set", "support", alias, version)
    say("alias", "split", "support", "experiment", "1=50", "2=50")
    draws = random.Random(7)
    with promptwire.Client(target, namespace=namespace) as agent:
        drawn = {agent.load_prompt("support@experiment", key=str(user)).version for user in range(50)}
        assert drawn == {1, 2}
        for _ in range(60):
            agent.log_prompt_metrics("support@variant_a", {"quality": draws.gauss(0.7, 0.05), "cost": 3.0})
            agent.log_prompt_metrics("support@variant_b", {"quality": draws.gauss(0.8, 0.05), "cost": 5.0})
        agent.flush_prompt_metrics()
    report = {(one["version"], one["metric"]): one for one in say("metrics", "report", "support")}
    assert (report[1, "quality"]["count"], report[2, "cost"]["mean"]) == (60, 5.0)
    chosen = say(
        *("champion", "support", "--metric", "quality", "--candidates", "variant_a,variant_b"),
        *("--apply", "--also", "production"),
    )
    assert (chosen["version"], chosen["applied"]) == (2, True)
    aliases = say("list", "support")[0]["aliases"]
    assert (aliases["champion"], aliases["production"]) == (2, 2)


def test_prompts_as_code(say: Say, namespace: str, tmp_path: Path) -> None:
    say("register", "tone", "--template", "Be kind.")
    say("register", "support", "--template", "{{> tone }} Help.\n", "--tag", "use_case=support")
    say("alias", "set", "support", "production", 1)
    folder = tmp_path / "prompts"
    assert say("export", folder)["written"] == 2
    assert say("plan", folder, "--check", "--aliases")["unchanged"] == 2
    file = folder / "support.prompt.yaml"
    file.write_text(file.read_text().replace("Help.", "Help well."))
    planned = say("plan", folder, "--check", "--aliases", code=1)
    assert [one["name"] for one in planned["registrations"]] == ["support"]
    say("apply", folder, "--aliases")
    assert say("get", "support@production")["template"] == "Be kind. Help well.\n"
    assert say("apply", folder, "--aliases")["release"] is None
    say("export", tmp_path / "backup", "--all-versions")
    restored = say("import", tmp_path / "backup", namespace=f"{namespace}-restored")
    assert (restored["versions"], restored["aliases"]) == (3, 1)
    assert names(say("versions", "support", namespace=f"{namespace}-restored")) == ["support/2", "support/1"]
