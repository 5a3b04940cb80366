"""The last known good: processes that start while the registry is gone, and files that several of them share."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import promptwire
from promptwire._core import snapshot
from tests.integration.test_outages import own_service, until
from tests.support.service import ServiceProcess

__all__ = ["own_service"]

ROOT = Path(__file__).parents[2]


def held(directory: Path) -> list[Path]:
    return list(directory.glob("*.snapshot"))


def leave_behind(target: str, directory: Path, *references: str) -> None:
    """A process of the past, that knew these."""
    with promptwire.Client(target, timeout_seconds=30, snapshot_dir=directory) as agent:
        agent.wait_for_ready(references)
    assert held(directory)


@pytest.fixture
def seeded(own_service: ServiceProcess) -> ServiceProcess:
    with promptwire.Client(own_service.target, timeout_seconds=30) as manager:
        for name in ("p", "q"):
            manager.register_prompt(name, f"{name} one")
            manager.register_prompt(name, f"{name} two", tags={"owner": "ana"})
            manager.set_prompt_alias(name, "production", 1)
    return own_service


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


def test_a_process_starts_while_nothing_listens_and_is_fresh_once_the_service_is_back(
    seeded: ServiceProcess, directory: Path
) -> None:
    leave_behind(seeded.target, directory, "p@production", "p", "q/1")
    seeded.kill()
    with promptwire.Client(seeded.target, timeout_seconds=30, snapshot_dir=directory) as agent:
        found = agent.load_prompts(["p@production", "prompts:/p", "q/1"])
        assert [one.template for one in found] == ["p one", "p two", "q one"]
        assert all(one.stale and one.age < 60 for one in found)
        assert found[0].aliases == ("production",)
        assert found[1].tags == {"owner": "ana"}
        handle = agent.handle("p@production")
        seeded.start()
        with promptwire.Client(seeded.target, timeout_seconds=30) as manager:
            manager.set_prompt_alias("p", "production", 2)
        until(lambda: handle.current.version == 2 and not handle.current.stale, "the agent converges")
        assert agent.load_prompt("p@production") is handle.current
        assert not agent.load_prompt("q/1").stale


def test_a_process_starts_while_the_address_never_answers(seeded: ServiceProcess, directory: Path) -> None:
    leave_behind(seeded.target, directory, "p@production", "q@production")
    seeded.kill()
    with socket.create_server(("127.0.0.1", seeded.port)):

        async def load() -> list[promptwire.PromptVersion]:
            async with promptwire.AsyncClient(seeded.target, timeout_seconds=600, snapshot_dir=directory) as agent:
                return [await agent.load_prompt("p@production"), await agent.load_prompt("q@production")]

        assert [one.template for one in asyncio.run(load())] == ["p one", "q one"]


def test_loads_that_want_more_are_never_answered_by_the_file(seeded: ServiceProcess, directory: Path) -> None:
    leave_behind(seeded.target, directory, "p@production")
    with promptwire.Client(seeded.target) as manager:
        revision = manager.server_status().revision
    seeded.kill()
    with promptwire.Client(seeded.target, timeout_seconds=0.5, snapshot_dir=directory) as agent:
        for _ in range(2):
            with pytest.raises(promptwire.UnavailableError):
                agent.load_prompt("p@production", consistency="strong")
            with pytest.raises(promptwire.UnavailableError):
                agent.load_prompt("p@production", min_revision=revision)
            assert agent.load_prompt("p@production").version == 1


def test_a_client_that_fails_when_stale_does_not_take_the_snapshot(seeded: ServiceProcess, directory: Path) -> None:
    leave_behind(seeded.target, directory, "p@production")
    seeded.kill()
    with (
        promptwire.Client(seeded.target, timeout_seconds=0.5, snapshot_dir=directory, on_stale="fail") as agent,
        pytest.raises(promptwire.StaleError, match="not by this process"),
    ):
        agent.load_prompt("p@production")


def test_what_the_file_does_not_hold_is_unavailable(seeded: ServiceProcess, directory: Path) -> None:
    leave_behind(seeded.target, directory, "p@production")
    seeded.kill()
    with promptwire.Client(seeded.target, timeout_seconds=0.5, snapshot_dir=directory) as agent:
        for reference in ("p@beta", "q@production", "p/2"):
            with pytest.raises(promptwire.UnavailableError):
                agent.load_prompt(reference)
        assert agent.load_prompt("p@production").version == 1


def test_what_this_process_wrote_is_not_taken_back_by_the_file(seeded: ServiceProcess, directory: Path) -> None:
    leave_behind(seeded.target, directory, "p@production", "q@production")
    with promptwire.Client(seeded.target, timeout_seconds=2, snapshot_dir=directory) as agent:
        agent.set_prompt_alias("p", "production", 2)
        seeded.kill()
        with pytest.raises(promptwire.UnavailableError):
            agent.load_prompt("p@production")
        assert agent.load_prompt("q@production").version == 1


def test_the_file_follows_what_changes_and_forgets_what_is_gone(seeded: ServiceProcess, directory: Path) -> None:
    with promptwire.Client(seeded.target, timeout_seconds=30, snapshot_dir=directory) as agent:
        agent.wait_for_ready(["p@production", "q@production"])
        until(lambda: bool(held(directory)), "the file is written")
        for write in (
            lambda: agent.set_prompt_alias("p", "production", 2),
            lambda: agent.delete_prompt_alias("q", "production"),
        ):
            before = held(directory)[0].read_bytes()
            write()
            until(lambda before=before: held(directory)[0].read_bytes() != before, "it is written")  # type: ignore[misc]
    seeded.kill()
    with promptwire.Client(seeded.target, timeout_seconds=0.5, snapshot_dir=directory) as agent:
        assert agent.load_prompt("p@production").version == 2
        with pytest.raises(promptwire.UnavailableError):
            agent.load_prompt("q@production")


AGENT = """
import sys
import promptwire
target, directory, *references = sys.argv[1:]
with promptwire.Client(target, timeout_seconds=30, snapshot_dir=directory) as agent:
    agent.wait_for_ready(references)
    print("ready", flush=True)
    sys.stdin.readline()
print("closed", flush=True)
"""


def agent_process(target: str, directory: Path, *references: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", AGENT, target, str(directory), *references]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process


def says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def production_in(target: str, directory: Path) -> int:
    entries = snapshot.read(directory / snapshot.file_name(target, "default"), target, "default", time.time())
    found = entries["p"].version("production") if "p" in entries else None
    return found.version if found else 0


def test_processes_that_share_a_file_keep_what_the_others_know_and_survive_a_kill(
    seeded: ServiceProcess, directory: Path
) -> None:
    wanted = [("p@production",), ("p/2", "q"), ("q@production",), ("p", "q/1")]
    agents = [agent_process(seeded.target, directory, *references) for references in wanted]
    try:
        assert {says(one) for one in agents} == {"ready"}
        with promptwire.Client(seeded.target, timeout_seconds=30) as manager:
            for version in (2, 1) * 10:
                manager.set_prompt_alias("p", "production", version)
        agents[3].kill()
        until(lambda: production_in(seeded.target, directory) == 1, "who follows the alias has written where it led")
        for one in agents[:3]:
            one.communicate("close\n", timeout=30)
            assert one.returncode == 0
    finally:
        for one in agents:
            one.kill()
            one.wait()
    seeded.kill()
    with promptwire.Client(seeded.target, snapshot_dir=directory, timeout_seconds=5) as agent:
        found = agent.load_prompts(["p@production", "p/2", "q", "q@production"])
        assert [one.version for one in found] == [1, 2, 2, 1]
    assert not list(directory.glob("*.tmp"))


def test_a_million_hits_go_on_with_service_and_store_gone(seeded: ServiceProcess) -> None:
    with promptwire.Client(seeded.target, timeout_seconds=30, lease_seconds=1, renew_seconds=0.3) as agent:
        agent.wait_for_ready(["p@production"])
        store = seeded.store_pid()
        seeded.kill_store()
        seeded.kill()
        until(lambda: not Path(f"/proc/{store}").exists(), "the store is gone")
        load = agent.load_prompt
        hits = sum(load("p@production").version for _ in range(1_000_000))
        assert hits == 1_000_000
        until(lambda: load("p@production").stale, "the lease ends")
        assert sum(load("p@production").version for _ in range(1_000_000)) == 1_000_000
