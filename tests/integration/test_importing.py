"""Prompts of other registries brought into a real service: from a real MLflow, and from a fake of Langfuse's API."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

import promptwire
from promptwire.cli.app import app
from promptwire.importing.carried import Carried, SourceVersion
from promptwire.importing.http import ANSWER_MAX_BYTES
from promptwire.importing.langfuse import Api, read
from tests.support.langfuse import PUBLIC_KEY, SECRET_KEY, FakeLangfuse, fake_langfuse
from tests.support.service import ServiceProcess

Run = Callable[..., Result]


@pytest.fixture
def run(service: ServiceProcess, namespace: str) -> Run:
    def run(*arguments: object, **environment: str) -> Result:
        line = ["--target", service.target, "--namespace", namespace, *map(str, arguments)]
        return CliRunner().invoke(app, line, env=environment)

    return run


@pytest.fixture
def langfuse() -> Iterator[FakeLangfuse]:
    with fake_langfuse() as fake:
        yield fake


def api(fake: FakeLangfuse, pause: Callable[[float], None] = lambda _: None, answer_seconds: float = 10.0) -> Api:
    return Api(fake.host, PUBLIC_KEY, SECRET_KEY, pause, answer_seconds=answer_seconds)


def from_langfuse(run: Run, fake: FakeLangfuse, *options: str) -> Result:
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
    return run("import", "langfuse", "--host", fake.host, *options, **keys)


# MLflow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one of MLflow's, which takes seconds to make."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow(database: Path, tmp_path: Path) -> MlflowClient:
    uri = f"sqlite:///{shutil.copy(database, tmp_path / 'mlflow.db')}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture
def mlflow_uri(mlflow: MlflowClient) -> str:
    """A registry as teams have it: versions, a deleted one, aliases, tags, chat, Jinja2, settings."""
    client = mlflow
    client.register_prompt("telco", "Hi {{name}}", commit_message="first", tags={"use_case": "support"})
    client.register_prompt("telco", "Hello {{name}}", commit_message="second")
    client.register_prompt(
        "telco",
        "Good day {{name}} é🙂\r\n",
        response_format={"type": "object"},
        model_config={"model_name": "m", "temperature": 0.2},
    )
    client.delete_prompt_version("telco", "2")
    client.set_prompt_alias("telco", "production", 1)
    client.set_prompt_alias("telco", "staging", 3)
    client.set_prompt_tag("telco", "team", "ai")
    client.register_prompt("chat", [{"role": "system", "content": "You help {{name}}."}])
    client.register_prompt("jinja", "{% for x in xs %}{{ x }}{% endfor %}")
    client.register_prompt("broken", "fine")
    client.register_prompt("broken", "{% if %}")
    client.set_prompt_alias("broken", "production", 2)
    client.register_prompt("2026", "a name of digits")
    return str(client._registry_uri)


def test_mlflows_prompts_come_over_with_numbers_aliases_and_provenance(
    run: Run, client: promptwire.Client, mlflow_uri: str
) -> None:
    planned = run("import", "mlflow", "--uri", mlflow_uri, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert "4 prompts: 5 versions would be registered, 2 aliases would be set" in planned.stdout
    assert list(client.list_prompts()) == []
    done = run("import", "mlflow", "--uri", mlflow_uri, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["prompts"], told["versions"], told["aliases"]) == (4, 5, 2)
    assert [(one["name"], one["version"], one["what"]) for one in told["problems"]] == [
        ("2026", None, "the prompt"),
        ("broken", 2, "the version"),
        ("broken", None, "alias production"),
    ]
    versions = {one.version: one for one in client.list_prompt_versions("telco")}
    assert versions.keys() == {1, 3}
    first, third = versions[1], versions[3]
    assert (first.template, first.commit_message, first.aliases) == ("Hi {{name}}", "first", ("production",))
    assert first.tags["use_case"] == "support"
    assert first.tags["promptwire.source"].endswith("mlflow.db/telco/1")
    assert first.tags["promptwire.source_created_at"].endswith("Z")
    assert (third.template, third.aliases) == ("Good day {{name}} é🙂\r\n", ("staging",))
    assert (third.response_format, third.model_config) == ({"type": "object"}, {"model_name": "m", "temperature": 0.2})
    assert client.get_prompt("telco").tags["team"] == "ai"
    assert client.load_prompt("chat@latest").format(name="Ana") == [{"role": "system", "content": "You help Ana."}]
    assert client.load_prompt("jinja@latest").format(xs=[1, 2]) == "12"
    assert client.get_prompt("broken").latest_version == 1
    # Numbers go on as in MLflow.
    assert client.register_prompt("telco", "next").version == 4


def test_an_import_again_brings_what_is_new_and_nothing_twice(
    run: Run, client: promptwire.Client, mlflow: MlflowClient
) -> None:
    uri = mlflow._registry_uri
    mlflow.register_prompt("telco", "one")
    mlflow.set_prompt_alias("telco", "production", 1)
    assert run("import", "mlflow", "--uri", uri).exit_code == 0
    at = client.get_prompt("telco").etag
    again = run("import", "mlflow", "--uri", uri)
    assert "1 prompts: 0 versions registered, 0 aliases set" in again.stdout
    assert client.get_prompt("telco").etag == at
    mlflow.register_prompt("telco", "two")
    mlflow.set_prompt_alias("telco", "production", 2)
    assert "1 versions registered, 0 aliases set" in run("import", "mlflow", "--uri", uri, "--no-aliases").stdout
    assert client.load_prompt("telco@production", consistency="strong").version == 1
    assert "0 versions registered, 1 aliases set" in run("import", "mlflow", "--uri", uri).stdout
    assert client.load_prompt("telco@production", consistency="strong").template == "two"
    client.register_prompt("telco", "ours")
    refused = run("import", "mlflow", "--uri", uri)
    assert refused.exit_code == 1
    assert "its version 3 is not the one in" in refused.stderr


def test_an_import_that_is_killed_goes_on_when_it_is_run_again(
    service: ServiceProcess, client: promptwire.Client, namespace: str, mlflow: MlflowClient
) -> None:
    uri = str(mlflow._registry_uri)
    for name in ("a", "b"):
        for number in range(4):
            mlflow.register_prompt(name, f"{name} {number} " + "x" * 90_000)
        mlflow.delete_prompt_version(name, "2")
    # Small batches, so that there is a middle in which it can be killed.
    program = (
        "import sys; from promptwire.files import restore; restore._STEPS_MAX = 1\n"
        "from promptwire.cli import main; sys.argv[0] = 'promptwire'; main()"
    )
    arguments = ["--target", service.target, "--namespace", namespace, "import", "mlflow", "--uri", uri]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(client.list_prompts()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    command = [sys.executable, "-c", program, *arguments]
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 0, again.stderr
    for name in ("a", "b"):
        found = {one.version: one.template[:3] for one in client.list_prompt_versions(name)}
        assert found == {1: f"{name} 0", 3: f"{name} 2", 4: f"{name} 3"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["import", "mlflow"], 2, "needs --uri"),
        (["import", "mlflow", "--uri", "sqlite:///x.db", "--host", "http://x"], 2, "takes no --host"),
        (["import", "langfuse"], 2, "needs --host"),
        (["import", "langfuse", "--host", "http://x"], 2, "LANGFUSE_PUBLIC_KEY"),
        (["import", ".", "--uri", "sqlite:///x.db"], 2, "--uri goes with mlflow"),
        (["import", "mlflow", "--uri", "nonsense://x"], 1, "MLflow at nonsense://x"),
    ],
)
def test_wrong_usage_is_told(run: Run, arguments: list[str], code: int, says: str) -> None:
    empty = dict.fromkeys(["MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI", "LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY"], "")
    result = run(*arguments, **empty)
    assert result.exit_code == code, result.stderr
    assert says in result.stderr


# Langfuse


def test_langfuses_prompts_come_over(run: Run, client: promptwire.Client, langfuse: FakeLangfuse) -> None:
    langfuse.add("movie-critic", "As a {{level}} critic", labels=["old"], tags=["movies"], commitMessage="first")
    langfuse.add(
        "movie-critic",
        "As a {{level}} critic, do you like {{movie}}?",
        labels=["production", "latest"],
        tags=["movies"],
        config={"model": "m", "temperature": 0.5},
        createdAt="2026-01-02T03:04:05.678Z",
        createdBy="ana",
        version=3,
    )
    langfuse.add(
        "folder/chat",
        [
            {"type": "chatmessage", "role": "system", "content": "You help."},
            {"type": "placeholder", "name": "history"},
            {"role": "user", "content": "{{q}}"},
        ],
        labels=["production", "7"],
    )
    langfuse.add("parts", "@@@langfusePrompt:name=tone|label=production@@@ {{x}}")
    for number in range(60):
        langfuse.add(f"many/{number:02}x", "x")
    done = from_langfuse(run, langfuse, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["prompts"], told["versions"], told["aliases"]) == (62, 63, 3)
    assert [(one["name"], one["version"], one["what"]) for one in told["problems"]] == [
        ("folder/chat", None, "alias 7"),
        ("parts", 1, "the version"),
    ]
    old, new = client.load_prompts(["movie-critic@old", "movie-critic@production"])
    assert (old.version, old.commit_message, dict(old.tags)["movies"]) == (1, "first", "true")
    assert (new.version, new.model_config) == (3, {"model": "m", "temperature": 0.5})
    assert new.tags["promptwire.source"] == f"langfuse:{langfuse.host.removeprefix('http://')}/movie-critic/3"
    assert new.tags["promptwire.source_author"] == "ana"
    assert new.tags["promptwire.source_created_at"] == "2026-01-02T03:04:05.678Z"
    chat = client.load_prompt("folder/chat@production")
    assert chat.template[0] == {"role": "system", "content": "You help."}
    assert [one["content"] for one in chat.format(history=[], q="Why?")] == ["You help.", "Why?"]
    assert "0 versions registered, 0 aliases set" in from_langfuse(run, langfuse).stdout


def test_a_busy_langfuse_is_asked_again_and_a_wrong_key_is_not(langfuse: FakeLangfuse) -> None:
    langfuse.add("a", "x")
    langfuse.first_answers = [(429, {"Retry-After": "7"}), (503, {})]
    waits: list[float] = []
    with api(langfuse, waits.append) as asking:
        carried = read(asking, lambda items: items)
    assert [file.name for file in carried.files] == ["a"]
    assert waits == [7.0, 2.0]
    asked = len(langfuse.asked)
    wrong = Api(langfuse.host, PUBLIC_KEY, "wrong", waits.append)
    with pytest.raises(promptwire.PromptwireError, match="refuses these keys"), wrong:
        read(wrong, lambda items: items)
    assert len(langfuse.asked) == asked + 1
    langfuse.first_answers = [(500, {})] * 9
    with pytest.raises(promptwire.UnavailableError, match="answered 500"), api(langfuse, waits.append) as asking:
        read(asking, lambda items: items)
    nowhere = Api("http://127.0.0.1:1", PUBLIC_KEY, SECRET_KEY, waits.append)
    with pytest.raises(promptwire.UnavailableError, match="cannot be reached"), nowhere:
        read(nowhere, lambda items: items)
    with pytest.raises(promptwire.PromptwireError, match="host must be http"):
        Api("langfuse.example", PUBLIC_KEY, SECRET_KEY)


def test_keys_are_not_sent_to_another_origin(langfuse: FakeLangfuse) -> None:
    with fake_langfuse() as other, api(langfuse) as asking:
        langfuse.first_answers = [(302, {"Location": f"{other.host}/api/public/v2/prompts"})]
        with pytest.raises(promptwire.PromptwireError, match=f"a redirect to {other.host}; if that is the server"):
            read(asking, lambda items: items)
        assert other.asked == []
        langfuse.add("a", "x")
        langfuse.first_answers = [(307, {"Location": f"{langfuse.host}/api/public/v2/prompts?page=1&limit=50"})]
        assert len(read(asking, lambda items: items).files) == 1
        langfuse.first_answers = [(307, {"Location": f"{langfuse.host}/api/public/v2/prompts"})] * 9
        with pytest.raises(promptwire.PromptwireError, match="more than 3 redirects"):
            read(asking, lambda items: items)


def test_an_answer_that_trickles_in_is_given_up(langfuse: FakeLangfuse) -> None:
    langfuse.add("a", "x")
    langfuse.seconds_a_byte = 0.05  # each byte in good time, and all of them in far too long
    late = r"did not answer whole within 0\.3 s, 5 times"
    with api(langfuse, answer_seconds=0.3) as asking, pytest.raises(promptwire.UnavailableError, match=late):
        read(asking, lambda items: items)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "a JSON list in place of an object"),
        (b'{"data": {}}', "'data' is a JSON dict"),
        (b'{"data": []}', "'meta' is a JSON NoneType"),
        (b'{"data": [1], "meta": {"totalPages": 1}}', "a JSON int in place of an object"),
        (b'{"data": [{"name": 7}], "meta": {"totalPages": 1}}', "'name' is a JSON int"),
        (b'{"data": [{"name": "a", "versions": ["1"]}], "meta": {"totalPages": 1}}', "versions of 'a' are not"),
        (b'{"data": [{"name": "a", "versions": [1]}], "meta": {"totalPages": 1000000000}}', "has nothing that earlier"),
        (b" " * (ANSWER_MAX_BYTES + 1), "more than 16,777,216 bytes"),
    ],
)
def test_a_malformed_answer_is_told_as_the_servers(langfuse: FakeLangfuse, body: bytes, says: str) -> None:
    langfuse.raw_answers = [body] * 9
    with api(langfuse) as asking, pytest.raises(promptwire.PromptwireError, match=re.escape(says)) as refusal:
        read(asking, lambda items: items)
    assert str(refusal.value).startswith(f"{langfuse.host} gave an unexpected answer to /api/public/v2/prompts")


@pytest.mark.parametrize(
    "version",
    [b"[]", b"{}", b'{"prompt": 7}', b'{"prompt": "x", "labels": [1]}', b'{"prompt": "x", "commitMessage": []}'],
)
def test_a_malformed_version_is_told_as_the_servers(run: Run, langfuse: FakeLangfuse, version: bytes) -> None:
    langfuse.raw_answers = [b'{"data": [{"name": "a", "versions": [1]}], "meta": {"totalPages": 1}}', version]
    result = from_langfuse(run, langfuse)
    assert result.exit_code == 1
    assert f"error: {langfuse.host} gave an unexpected answer to /api/public/v2/prompts/a: " in result.stderr


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://bob:s3c%3Fret@127.0.0.1:1/db",
        "http://bob:s3c%3Fret@127.0.0.1:1/",
        "nosuch://bob:s3c%3Fret@h/db",
        "postgresql://bob:s3c%3Fret@[bad/db",
    ],
)
def test_a_password_in_mlflows_uri_is_in_no_error(run: Run, uri: str) -> None:
    result = run("import", "mlflow", "--uri", uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: MLflow ")
    assert "s3c" not in result.stderr
    assert result.exception is None or "s3c" not in repr(result.exception.__context__)


# What both are held to


def test_what_breaks_our_rules_is_told_and_the_rest_kept() -> None:
    carried = Carried("elsewhere")
    tags: dict[str, Any] = {f"key-{number:03}": "x" for number in range(120)} | {"": "empty", "long": "x" * 100_001}
    carried.add(
        "p",
        [
            SourceVersion(number=2, template="two", commit_message="m" * 10_001, tags=tags, author="ana", created_ms=0),
            SourceVersion(number=1, template=""),
            SourceVersion(number=3, template="{{> not a reference"),
        ],
        {"production": 2, "gone": 1, "v3": 2, "none": 9},
        {"team": "ai", "": "x"},
    )
    carried.add("empty", [], {})
    [file] = carried.files
    [version] = file.versions
    assert (version.number, len(version.commit_message), len(version.tags)) == (2, 10_000, 100)
    assert (dict(file.aliases), dict(file.prompt_tags)) == ({"production": 2}, {"team": "ai"})
    told = {(one.version, one.what) for one in carried.problems if one.name == "p"}
    assert {
        (1, "the version"),
        (3, "the version"),
        (2, "the end of its commit message"),
        (2, "tag long"),
        (2, "tag key-119"),
        (None, "alias gone"),
        (None, "alias none"),
        (None, "alias v3"),
        (None, "tag "),
    } <= told
    assert [one.why for one in carried.problems if one.name == "empty"] == ["has no versions"]
    bare = carried.without_aliases()
    assert not bare.files[0].aliases
    assert not [one for one in bare.problems if one.what.startswith("alias")]
