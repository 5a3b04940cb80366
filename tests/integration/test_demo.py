"""`make demo`, as a process of its own: it says what its agents saw, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 90.0


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the demo makes its own directory. Under /tmp: pytest's tmp_path is too long for the store's socket."""
    with tempfile.TemporaryDirectory(prefix="pw-", dir="/tmp") as directory:
        yield Path(directory)


@contextmanager
def demo(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.demo", *arguments]
    # A parent may ignore SIGINT, as a shell does for its background jobs; the demo is to hear it.
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_every_agent_of_the_demo_sees_every_flip_in_order(home: Path, tmp_path: Path) -> None:
    summary_path = tmp_path / "summary.json"
    arguments = ("--agents", "2", "--flips", "5", "--pace", "0", "--json", str(summary_path))
    with demo(home, *arguments) as process:
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert "All 2 agents saw every flip, 5 of 5, in order; none went back." in output
    summary = json.loads(summary_path.read_text())
    assert summary["all_in_order"] is True
    assert summary["faults"] == []
    assert [flip["name"] for flip in summary["flips"]].count("telco_support_technical") == 3
    assert summary["expected"]["prompts:/telco_support_technical@production"] == [1, 2, 1, 3]
    assert len(summary["agents"]) == 2
    for agent in summary["agents"]:
        assert agent["saw"] == summary["expected"]
        assert len(agent["delays_ms"]) == 5
        assert agent["hits"] > 0
    assert list(home.iterdir()) == []


def test_an_interrupted_demo_ends_everything_that_it_started(home: Path) -> None:
    with demo(home, "--agents", "2", "--flips", "200", "--pace", "0.2") as process:
        assert process.stdout is not None
        line = ""
        while "agents have loaded" not in line:
            line = process.stdout.readline()
            assert line, "the demo ended early"
        started = psutil.Process(process.pid).children(recursive=True)
        assert len(started) >= 4, "a service, its store and two agents"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert list(home.iterdir()) == []
