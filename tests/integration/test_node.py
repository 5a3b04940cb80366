"""The agent of docs/examples/node, which knows docs/protocol.md and nothing else: it resolves, follows, keeps its
lease, and comes back after restarts. Default limits of grpc-js, and a parser that keeps the last of a repeated field.
"""

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import promptwire
from tests.support.service import ServiceProcess, running_service

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "node"
PROTOS = Path(__file__).parents[2] / "protos"
SECONDS = 60.0
LEASE_MS = "3000"


@pytest.fixture(scope="module")
def agent_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, with what it needs installed beside a copy of it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node and npm are not installed")
    home = tmp_path_factory.mktemp("node")
    for name in ("package.json", "agent.js"):
        shutil.copy(EXAMPLE / name, home / name)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    installed = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install grpc-js here: {installed.stderr.strip().splitlines()[-1:]}")
    return home / "agent.js"


class NodeAgent:
    """What the agent's process prints, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first of the next lines that says this."""
        while True:
            told: dict[str, Any] = json.loads(self._lines.get(timeout=SECONDS))
            if wanted.items() <= told.items():
                return told


@contextmanager
def running(agent_js: Path, service: ServiceProcess, name: str) -> Iterator[NodeAgent]:
    arguments = [service.target, "default", name, "production", LEASE_MS]
    environment = {"PATH": f"{Path(shutil.which('node') or '').parent}", "PROMPTWIRE_PROTOS": str(PROTOS)}
    log = agent_js.parent / "stderr.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            ["node", agent_js.name, *arguments],
            cwd=agent_js.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield NodeAgent(process)
            assert process.poll() is None, log.read_text()
            process.terminate()
            assert process.wait(SECONDS) == 0, log.read_text()
        finally:
            process.kill()


def test_the_node_agent_follows_and_comes_back(agent_js: Path, tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service, promptwire.Client(service.target) as client:
        texts = [f"{index} " + "é" * 500_000 for index in range(4)]
        for text in texts:
            client.register_prompt("greeting", text)
        client.set_prompt_alias("greeting", "production", 1)
        with running(agent_js, service, "greeting") as agent:
            assert agent.until(version=1, fresh=True)["text"] == texts[0]
            client.set_prompt_alias("greeting", "production", 2)
            assert agent.until(version=2, fresh=True)["text"] == texts[1]
            service.kill_store()  # another epoch: a resync, and everything again
            client.set_prompt_alias("greeting", "production", 3)
            assert agent.until(version=3, fresh=True)["text"] == texts[2]
            service.stop()
            assert agent.until(version=3, fresh=False)["text"] == texts[2], "its lease has run out"
            service.start()
            client.set_prompt_alias("greeting", "production", 4)
            assert agent.until(version=4, fresh=True)["text"] == texts[3]
