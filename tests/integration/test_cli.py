"""The `promptwire` executable as people and scripts use it, against a real `promptwire serve`."""

import contextlib
import json
import os
import pty
import queue
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import free_port
from tests.support.service import ServiceProcess, running_service

SECONDS = 30.0
_SCRIPT = Path(sys.executable).with_name("promptwire")
PROMPTWIRE = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "promptwire.cli"]
NASTY = "[red]Hi[/] {{who}} ünï 日本 \x1b]0;owned\x07\x1b[2J \u202e \r\n\ttab, no line end"

Completed = subprocess.CompletedProcess[bytes]
Promptwire = Callable[..., Completed]


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """A pytest in the background ignores SIGINT, and what it starts would inherit that."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def environment(**values: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTWIRE_")}
    return {**kept, "PROMPTWIRE_ACTOR": "ana@laptop", **values}


@pytest.fixture
def promptwire(service: ServiceProcess, namespace: str) -> Promptwire:
    """Runs one command to its end, in a namespace of the test's own."""
    env = environment(PROMPTWIRE_TARGET=service.target, PROMPTWIRE_NAMESPACE=namespace)

    def run(*arguments: str, input: bytes = b"") -> Completed:
        return subprocess.run(
            [*PROMPTWIRE, *arguments], input=input, capture_output=True, env=env, timeout=SECONDS, check=False
        )

    return run


def done(completed: Completed) -> str:
    """What it said, if it went well."""
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode()


class Running:
    """A command that goes on, whose lines are waited for."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*PROMPTWIRE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**variables)
        )
        self._lines: dict[str, queue.Queue[str]] = {"stdout": queue.Queue(), "stderr": queue.Queue()}
        self._readers = [threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._lines]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        for line in getattr(self.process, name):
            self._lines[name].put(line.decode().rstrip("\n"))

    def line(self, name: str = "stdout") -> str:
        """The next one. Fails when there is none in time."""
        return self._lines[name].get(timeout=SECONDS)

    def until(self, part: str, name: str = "stderr") -> str:
        """The next line with `part` in it; those before it are passed over."""
        passed: list[str] = []
        try:
            while part not in (line := self.line(name)):
                passed.append(line)
        except queue.Empty:
            raise AssertionError(f"no line with {part!r}, only {passed}") from None
        return line

    def interrupt(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS)

    def rest(self, name: str) -> list[str]:
        """The lines that nobody waited for, of a process that has ended."""
        for reader in self._readers:
            reader.join(SECONDS)
        return list(self._lines[name].queue)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(SECONDS)


@pytest.fixture
def watching(service: ServiceProcess, namespace: str) -> Iterator[Callable[..., Running]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> Running:
            variables = {"PROMPTWIRE_TARGET": service.target, "PROMPTWIRE_NAMESPACE": namespace}
            running = stack.enter_context(Running("watch", *arguments, **variables))
            running.until("watching from revision")
            return running

        yield start


def test_the_telco_tour(promptwire: Promptwire, tmp_path: Path) -> None:
    name = "telco_support_technical"
    first, second = "You are a technical support engineer. Help {{customer}}.", "You are a senior one, {{customer}}.\n"
    (tmp_path / "prompt.txt").write_text(first)
    said = done(
        promptwire("register", name, str(tmp_path / "prompt.txt"), "-m", "Initial version", "--tag", "use_case=tech")
    )
    assert said == f"registered {name} version 1\nvariables: customer\n"
    assert done(promptwire("alias", "set", name, "production", "1")) == f"{name}@production: none -> 1 (revision 2)\n"

    made = json.loads(done(promptwire("--json", "register", name, "-", "-m", "v2: 5G", input=second.encode())))
    assert (made["version"], made["template"], made["author"]) == (2, second, "ana@laptop")
    assert done(promptwire("alias", "set", name, "staging", "latest")).endswith("; latest is version 2)\n")
    assert done(promptwire("get", f"{name}@staging", "-t")) == second
    assert done(promptwire("get", f"prompts:/{name}@production", "-t")) == first

    moved = done(promptwire("alias", "set", name, "production", "staging", "--expect", "1", "--reason", "evaluated"))
    assert moved == f"{name}@production: 1 -> 2 (revision 5; staging is version 2)\n"
    rows = [row.split("\t") for row in done(promptwire("versions", name)).splitlines()]
    assert [row[0] for row in rows] == ["2", "1"]
    assert rows[0][1:3] == ["production,staging", "ana@laptop"]
    assert rows[1][4:] == ["Initial version", "use_case=tech", str(len(first))]

    assert done(promptwire("alias", "set", name, "production", "1")) == f"{name}@production: 2 -> 1 (revision 6)\n"
    assert json.loads(done(promptwire("get", f"{name}@production", "--json")))["version"] == 1
    assert done(promptwire("alias", "list", name)) == "production\t1\nstaging\t2\nlatest\t2\n"
    assert done(promptwire("alias", "rm", name, "staging")) == f"{name}@staging: 2 -> none (revision 7)\n"

    assert done(promptwire("tag", "set", name, "team=ai")) == f"{name}: set team (revision 8)\n"
    assert done(promptwire("tag", "set", name, "cost=low", "--version", "2")) == f"{name}/2: set cost (revision 9)\n"
    assert done(promptwire("tag", "rm", name, "team")) == f"{name}: removed team (revision 10)\n"
    assert json.loads(done(promptwire("get", name, "--json")))["tags"] == {"cost": "low"}
    assert [row.split("\t")[0] for row in done(promptwire("list", "telco")).splitlines()] == [name]

    history = done(promptwire("--json", "status"))
    assert json.loads(history)["revision"]["number"] == 10


def test_bytes_go_through_a_pipe_and_come_back(promptwire: Promptwire) -> None:
    done(promptwire("register", "nasty", "-", input=NASTY.encode()))
    assert promptwire("get", "nasty", "-t").stdout == NASTY.encode()
    assert json.loads(done(promptwire("get", "nasty", "--json")))["template"] == NASTY


def test_schema_and_settings_come_back_as_json(promptwire: Promptwire, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "title": "Réponse"}')
    options = ("--response-format", str(tmp_path / "schema.json"), "--model-config", '{"temperature": 0.2}')
    done(promptwire("register", "p", "--template", "x", *options))
    found = json.loads(done(promptwire("get", "p", "--json")))
    assert found["response_format"] == {"type": "object", "title": "Réponse"}
    assert found["model_config"] == {"temperature": 0.2}


def test_status_is_a_health_check(promptwire: Promptwire, service: ServiceProcess, namespace: str) -> None:
    found = json.loads(done(promptwire("status", "--json")))
    assert found["target"] == service.target
    assert found["namespace"] == namespace
    assert found["store"]["reachable"] is True
    assert found["store"]["durability"] == "fsync"
    assert found["revision"]["number"] == 0
    assert f"address\t{service.target}\n" in done(promptwire("status"))


def refused(completed: Completed, code: int) -> dict[str, Any]:
    assert (completed.returncode, completed.stdout) == (code, b"")
    assert b"Traceback" not in completed.stderr
    error: dict[str, Any] = json.loads(completed.stderr)["error"]
    assert set(error) == {"reason", "message", "metadata", "violations"}
    return error


def test_what_the_registry_refuses_exits_1(promptwire: Promptwire) -> None:
    missing = refused(promptwire("get", "nope", "--json"), 1)
    assert (missing["reason"], missing["metadata"]["name"]) == ("PROMPT_NOT_FOUND", "nope")
    done(promptwire("register", "p", "--template", "x"))
    assert refused(promptwire("get", "p/9", "--json"), 1)["reason"] == "VERSION_NOT_FOUND"
    assert refused(promptwire("get", "p@nope", "--json"), 1)["reason"] == "ALIAS_NOT_FOUND"
    assert refused(promptwire("versions", "nope", "--json"), 1)["reason"] == "PROMPT_NOT_FOUND"
    assert refused(promptwire("alias", "set", "p", "a", "9", "--json"), 1)["reason"] == "VERSION_NOT_FOUND"
    conflict = refused(promptwire("alias", "set", "p", "a", "1", "--expect", "1", "--json"), 1)
    assert conflict["reason"] == "ALIAS_CONFLICT"
    invalid = refused(promptwire("register", "bad name", "--template", "x", "--json"), 1)
    assert (invalid["reason"], invalid["violations"][0]["field"]) == ("INVALID_ARGUMENT", "name")

    plain = promptwire("get", "nope")
    assert (plain.returncode, plain.stdout) == (1, b"")
    assert plain.stderr.startswith(b"error: ")
    assert len(plain.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["get"], ["register", "p"], ["alias", "set", "p", "a"], ["list", "--timeout", "0"], ["serve", "--no"]],
)
def test_wrong_usage_exits_2(promptwire: Promptwire, arguments: list[str]) -> None:
    completed = promptwire(*arguments)
    assert (completed.returncode, completed.stdout) == (2, b"")
    assert completed.stderr.startswith(b"error: ")
    assert b"Traceback" not in completed.stderr


def test_a_service_out_of_reach_exits_3_within_the_timeout(promptwire: Promptwire) -> None:
    nowhere = ("--target", f"127.0.0.1:{free_port()}", "--timeout", "0.5")
    for command in (["status"], ["get", "p"], ["register", "p", "--template", "x"], ["watch"]):
        completed = promptwire(*command, *nowhere)
        assert (completed.returncode, completed.stdout) == (3, b"")
        error, hint = completed.stderr.decode().splitlines()
        assert error.startswith("error: 127.0.0.1:")
        assert hint == "is the service running? promptwire serve"
    assert refused(promptwire("list", "--json", *nowhere), 3)["reason"] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def test_watch_sees_a_flip_live_and_ends_with_ctrl_c(promptwire: Promptwire, watching: Callable[..., Running]) -> None:
    done(promptwire("register", "telco", "--template", "one"))
    for_people, for_programs, other = watching("telco"), watching("--json"), watching("other")
    done(promptwire("alias", "set", "telco", "production", "1", "--reason", "it is\ngood"))
    time_, *told = for_people.line().split("\t")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time_)
    assert told == ["2", "ana@laptop", "telco", "production none -> 1", r"it is\ngood"]
    change = json.loads(for_programs.line())
    assert (change["revision"]["number"], change["changes"][0]["alias"]) == (2, "production")
    for running in (for_people, for_programs, other):
        assert running.interrupt() == 0
        assert running.rest("stdout") == running.rest("stderr") == []


def test_watch_begins_where_it_is_told(promptwire: Promptwire, watching: Callable[..., Running]) -> None:
    for template in ("one", "two", "three"):
        done(promptwire("register", "p", "--template", template))
    done(promptwire("get", "p"))  # status tells of a namespace that the service has looked at
    epoch = json.loads(done(promptwire("status", "--json")))["revision"]["epoch"]
    for since in ("1", f"{epoch}:1"):
        running = watching("--since", since)
        assert [running.line().split("\t")[4] for _ in range(2)] == ["version 2 registered", "version 3 registered"]
    for elsewhere in ("another:1", "99"):
        assert refused(promptwire("watch", "--since", elsewhere, "--json"), 1)["reason"] == "EPOCH_CHANGED"


def test_watch_survives_a_restart_of_the_service(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        target = {"PROMPTWIRE_TARGET": service.target}

        def run(*arguments: str) -> str:
            env = environment(**target)
            command = [*PROMPTWIRE, *arguments]
            return done(subprocess.run(command, capture_output=True, env=env, timeout=SECONDS, check=False))

        run("register", "p", "--template", "one")
        with Running("watch", **target) as watch:
            watch.until("watching from revision 1")
            run("alias", "set", "p", "production", "1")
            assert watch.line().split("\t")[1] == "2"
            service.kill()
            watch.until("waiting for it to come back")
            service.start()
            watch.until("going on after revision 2")  # a restarted store has another epoch
            run("alias", "set", "p", "staging", "1")
            assert watch.line().split("\t")[1] == "3"
            assert watch.interrupt() == 0


def test_who_stops_reading_gets_no_complaint(promptwire: Promptwire, service: ServiceProcess, namespace: str) -> None:
    done(promptwire("register", "big", "-", input=b"x" * 500_000))
    env = environment(PROMPTWIRE_TARGET=service.target, PROMPTWIRE_NAMESPACE=namespace)
    for command in (["get", "big", "-t"], ["get", "big", "--json"], ["get", "big"], ["watch", "--since", "0"]):
        with subprocess.Popen(
            [*PROMPTWIRE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            stderr = process.stderr.read()
            assert process.wait(SECONDS) == 0, stderr
        assert stderr.splitlines() == ([b"watching from revision 0 on; Ctrl-C ends"] if "watch" in command else [])


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """Runs a command whose stdout is a terminal; what it wrote there."""
    ours, theirs = pty.openpty()
    env = environment(TERM="xterm", COLUMNS="200", **variables)
    with subprocess.Popen(
        [*PROMPTWIRE, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env
    ) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while select.select([ours], [], [], SECONDS)[0] and (data := os.read(ours, 65_536)):
                written += data
        os.close(ours)
        process.wait(SECONDS)
    return written.decode()


def test_on_a_terminal_text_is_verbatim_and_harmless(
    promptwire: Promptwire, service: ServiceProcess, namespace: str
) -> None:
    done(promptwire("register", "nasty", "-", "-m", "[bold]why[/] \x1b[2J", input=NASTY.encode()))
    variables = {"PROMPTWIRE_TARGET": service.target, "PROMPTWIRE_NAMESPACE": namespace}
    shown = on_a_terminal("get", "nasty", NO_COLOR="1", **variables)
    assert r"[red]Hi[/] {{who}} ünï 日本 \x1b]0;owned\x07\x1b[2J \u202e " in shown
    assert r"[bold]why[/] \x1b[2J" in shown
    _, warning = shown.split("no line end\r\n")
    assert warning.startswith("warning: content.text: line 1, column ")
    assert warning.count("\n") == 1
    for command in (["get", "nasty"], ["get", "nasty", "-t"], ["versions", "nasty"], ["get", "nasty", "--json"]):
        shown = on_a_terminal(*command, **variables)
        assert "nasty" in shown or "[red]Hi[/]" in shown or "why" in shown
        # Colours of our own, and nothing that comes from the text.
        assert not re.search(r"\x1b(?!\[[0-9;]*m)|[\x07\u202e]", shown), command
    assert "\x1b[31merror: " in on_a_terminal("get", "nope", **variables)
    assert "\x1b[31m" not in on_a_terminal("get", "nope", NO_COLOR="1", **variables)


def test_serve_says_where_it_listens_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    options = ("--store", "embedded", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    # An option counts more than the environment.
    with Running("serve", *options, PROMPTWIRE_LISTEN="256.0.0.1:1") as serve:
        ready = serve.line()
        address = re.search(r"serving on (127\.0\.0\.1:\d+)", ready)
        assert address, ready
        env = environment(PROMPTWIRE_TARGET=address[1])
        done(subprocess.run([*PROMPTWIRE, "list"], capture_output=True, env=env, timeout=SECONDS, check=False))
        assert serve.interrupt() == 0
        assert not any("Traceback" in line for line in serve.rest("stderr"))


@pytest.mark.parametrize(
    "arguments",
    [["--listen", "nowhere"], ["--durability", "wishful"], ["--cache-max-bytes", "1"], ["--log-level", "loud"]],
)
def test_serve_with_a_wrong_setting_is_one_line_that_names_it_and_exits_2(arguments: list[str], tmp_path: Path) -> None:
    command = [*PROMPTWIRE, "serve", "--data-dir", str(tmp_path / "data"), *arguments]
    completed = subprocess.run(command, capture_output=True, env=environment(), timeout=SECONDS, check=False)
    assert (completed.returncode, completed.stdout) == (2, b"")
    [line] = completed.stderr.decode().splitlines()
    assert arguments[0] in line
