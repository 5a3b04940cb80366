"""A client that was made before a fork works in the child, and still in the parent.

With GRPC_ENABLE_FORK_SUPPORT, as docs/adr/0002-client-core.md advises: without it grpc now and then crashes the child.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *arguments]
    pipe = subprocess.PIPE
    environment = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": "1"}
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=environment)


@pytest.fixture
def service() -> Iterator[subprocess.Popen[str]]:
    with start("tests.unit.client.fakes") as service:
        yield service
        service.kill()


def target_of(service: subprocess.Popen[str]) -> str:
    assert service.stdout is not None
    return service.stdout.readline().strip()


@pytest.mark.parametrize("scenario", ["follow", "handle_alone", "locked"])
def test_a_forked_child_has_a_watch_of_its_own(service: subprocess.Popen[str], scenario: str) -> None:
    with start("tests.unit.client.forking", scenario, target_of(service)) as agent:
        assert agent.wait(60) == 0


def test_a_child_that_cannot_ask_serves_the_last_known_good(service: subprocess.Popen[str]) -> None:
    with start("tests.unit.client.forking", "outage", target_of(service)) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "stop\n"
        service.kill()
        service.wait()
        agent.communicate("stopped\n", timeout=60)
        assert agent.returncode == 0
