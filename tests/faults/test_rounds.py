"""Short rounds of what `make faults` does for long: traffic and faults, and nothing that the checkers complain of."""

import os
from pathlib import Path

import pytest

from tests.faults.rounds import Result, Round, explain, run

SEED = int(os.environ.get("PROMPTWIRE_TEST_SEED", "1"))


def run_clean(plan: Round) -> Result:
    result = run(plan)
    assert not result.violations, explain(result, plan)
    assert result.outcomes["ok"] > 20, result.outcomes
    return result


@pytest.mark.parametrize(
    ("topology", "kinds"),
    [
        ("embedded", ["kill_service", "kill_store", "restore", "half_open"]),
        ("standalone", ["pause_store", "store_drop", "restore", "drop"]),
    ],
)
def test_faults_break_no_promise(tmp_path: Path, topology: str, kinds: list[str]) -> None:
    plan = Round(
        topology=topology,
        seed=SEED,
        seconds=2,
        directory=tmp_path / "round",
        kinds=kinds,
        hold_seconds=(0.1, 0.6),
    )
    assert set(run_clean(plan).faults) == set(kinds)


def test_nothing_acknowledged_is_lost_when_killed(tmp_path: Path) -> None:
    plan = Round(
        topology="embedded",
        seed=SEED,
        kills=6,
        directory=tmp_path / "round",
        pause_seconds=0.01,
        readers=2,
        watchers=2,
    )
    assert run_clean(plan).faults.total() == 6


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("topology", ["workers", "sentinel", "cluster"])
def test_no_fault_of_several_servers_or_workers_breaks_a_promise(tmp_path: Path, topology: str) -> None:
    plan = Round(topology=topology, seed=SEED, seconds=10, directory=tmp_path / "round", hold_seconds=(0.1, 1.5))
    result = run_clean(plan)
    assert result.faults.total() >= len(result.faults) > 10


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kills = int(os.environ.get("PROMPTWIRE_TEST_KILLS", "200"))
    plan = Round(topology="embedded", seed=SEED, kills=kills, directory=tmp_path / "round", writers=6)
    result = run_clean(plan)
    with capsys.disabled():
        print(f"\n{result.outcomes.total():,} operations over {dict(result.faults)}: none lost, none twice")
