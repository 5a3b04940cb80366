"""After a flip is acknowledged, every subscribed agent process returns the new version; none misses one, none goes
back.

The short run is in `make test`. `make soak` has 20 agents and 200 flips and prints how long they took; nothing is
asserted of time but that it ends.
"""

import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import promptwire
from tests.support.service import running_service

PROMPT = "telco_support_technical"
VERSIONS = 4
ARRIVAL_SECONDS = 10.0


class AgentProcess:
    """One agent, and what it said so far."""

    def __init__(self, target: str, pause_seconds: float) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.faults.agent",
            target,
            f"prompts:/{PROMPT}@production",
            str(pause_seconds),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next_change(self) -> tuple[int, int, str]:
        """The version it changed to, when, and its text."""
        change = json.loads(self._lines.get(timeout=ARRIVAL_SECONDS))
        return change["version"], change["at_ns"], change["template"]

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(ARRIVAL_SECONDS)
        self.process.stdout.close()


def flip(tmp_path: Path, agents: int, flips: int, pause_seconds: float) -> list[float]:
    """Milliseconds from each acknowledged flip until each agent returned it."""
    delays: list[float] = []
    with ExitStack() as stack:
        service = stack.enter_context(running_service(tmp_path / "data"))
        client = stack.enter_context(promptwire.Client(service.target))
        for number in range(1, VERSIONS + 1):
            client.register_prompt(PROMPT, f"Text of version {number} for {{{{customer}}}}")
        client.set_prompt_alias(PROMPT, "production", 1)
        fleet = [AgentProcess(service.target, pause_seconds) for _ in range(agents)]
        for agent in fleet:
            stack.callback(agent.stop)
        for agent in fleet:
            assert agent.next_change()[0] == 1
        for index in range(flips):
            version = (index + 1) % VERSIONS + 1
            client.set_prompt_alias(PROMPT, "production", version)
            acknowledged_ns = time.monotonic_ns()
            assert client.load_prompt(f"{PROMPT}@production").version == version
            for agent in fleet:
                seen, at_ns, template = agent.next_change()
                # Exactly the next one: neither an older one nor one left out.
                assert (seen, template) == (version, f"Text of version {version} for {{{{customer}}}}")
                delays.append((at_ns - acknowledged_ns) / 1e6)
    return delays


def test_every_agent_follows_every_flip(tmp_path: Path) -> None:
    flip(tmp_path, agents=4, flips=25, pause_seconds=0.002)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twenty_agents_follow_two_hundred_flips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delays = sorted(flip(tmp_path, agents=20, flips=200, pause_seconds=0.005))
    with capsys.disabled():
        print(
            f"\n{len(delays):,} arrivals after acknowledged flips, ms: median {statistics.median(delays):.1f}, "
            f"p99 {delays[len(delays) * 99 // 100]:.1f}, worst {delays[-1]:.1f}"
        )
