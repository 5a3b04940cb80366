"""Every program of docs/examples/ does what it says that it prints: on the embedded store, and on Debian's Redis."""

import ast
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.servers import REDIS_SERVER, have_redis_server, running_server
from tests.support.service import ServiceProcess, running_service

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


@pytest.fixture(scope="session")
def redis_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A real service on Debian's Redis, configured to keep what it acknowledges."""
    assert REDIS_SERVER is not None
    home = tmp_path_factory.mktemp("on-redis")
    with (
        running_server(REDIS_SERVER, *DURABLE) as server,
        running_service(home / "data", store=server.url) as running,
    ):
        yield running


def promised(program: Path) -> str:
    """What follows "Prints:" in the program's docstring."""
    said = ast.get_docstring(ast.parse(program.read_text()), clean=False) or ""
    _, found, lines = said.partition("Prints:\n\n")
    assert found, f"{program.name} does not say what it prints"
    return textwrap.dedent(lines).strip("\n") + "\n"


Runs = dict[Path, "Future[subprocess.CompletedProcess[str]]"]


def started(service: ServiceProcess) -> Iterator[Runs]:
    """All programs, a few at a time, each in a namespace of its own."""

    def run(program: Path, namespace: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTWIRE_")}
        environment |= {"PROMPTWIRE_TARGET": service.target, "PROMPTWIRE_NAMESPACE": namespace}
        command = [sys.executable, "-X", "faulthandler", str(program)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                stdout, stderr = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)  # it tells on stderr where its threads stand
                stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    with ThreadPoolExecutor(max_workers=4) as pool:
        yield {program: pool.submit(run, program, f"example-{program.stem}") for program in PROGRAMS}


@pytest.fixture(scope="session")
def on_embedded(service: ServiceProcess) -> Iterator[Runs]:
    yield from started(service)


@pytest.fixture(scope="session")
def on_redis(redis_service: ServiceProcess) -> Iterator[Runs]:
    yield from started(redis_service)


def check(program: Path, runs: Runs) -> None:
    done = runs[program].result()
    assert (done.stdout, done.returncode) == (promised(program), 0), done.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_on_the_embedded_store(program: Path, on_embedded: Runs) -> None:
    check(program, on_embedded)


@pytest.mark.redis
@pytest.mark.skipif(not have_redis_server(), reason="needs Debian's redis-server")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_on_redis(program: Path, on_redis: Runs) -> None:
    check(program, on_redis)


def read_yaml(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text())


def test_the_workflow_is_one_and_uses_options_that_exist() -> None:
    workflow = read_yaml("prompts.yml")
    assert workflow[True].keys() == {"pull_request", "push", "schedule"}  # YAML 1.1 reads `on` as true
    steps = [step["run"] for step in workflow["jobs"]["prompts"]["steps"] if "run" in step]
    assert_usable([step for step in steps if step.startswith("promptwire ")], 3)


def test_the_hook_is_one_and_uses_options_that_exist() -> None:
    (hook,) = read_yaml("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert hook["language"] == "python"
    assert_usable([hook["entry"]], 1)


def assert_usable(commands: list[str], count: int) -> None:
    """Each is a command line that `promptwire` can read: with --help it is not wrong usage."""
    assert len(commands) == count
    for command in commands:
        words = command.split()[1:]
        done = subprocess.run(
            [sys.executable, "-m", "promptwire.cli", *words], capture_output=True, text=True, timeout=60, check=False
        )
        assert "is no folder" in done.stderr, done.stderr  # it was read, and looked for prompts/
