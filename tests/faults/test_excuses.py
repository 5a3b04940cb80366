"""What a fail-over excuses, and what it does not: see checkers/excuses.py."""

from dataclasses import replace

import pytest

from tests.faults.checkers import examine
from tests.faults.history import Change, Entry, History, Log, Op

NS, NAME, OLD, NEW = "red", "greeting", "one-a", "one-b"


def write(number: int, start: int, epoch: str) -> Op:
    return Op(
        client="w",
        namespace=NS,
        kind="register",
        name=NAME,
        start=start,
        end=start + 1,
        request_id=f"r{number}",
        version=number,
        text=f"red {number}",
        epoch=epoch,
        revision=number,
    )


def read(number: int, start: int, epoch: str) -> Op:
    op = write(number, start, epoch)
    return replace(op, client="r", kind="read", selector="latest", strong=True, request_id="")


LOST = replace(write(3, 20, ""), request_id="gone", outcome="unknown", version=0, revision=0, text="red gone")


def history(*ops: Op, replicated: bool = True) -> History:
    """Revisions 1 and 2 under the old epoch; a write in doubt that vanished with it; 3 and 4 under the new one."""
    entries = tuple(
        Entry(number=number, request_id=f"r{number}", changes=(Change("version_registered", NAME, version=number),))
        for number in (1, 2, 3, 4)
    )
    acknowledged = [write(1, 0, OLD), write(2, 10, OLD), write(3, 30, NEW), write(4, 40, NEW)]
    log = Log(namespace=NS, lineage="one", start=0, entries=entries, replicated=replicated)
    return History(ops=sorted([*acknowledged, LOST, *ops], key=lambda op: op.start), logs=[log])


def checks(made: History) -> tuple[set[str], dict[str, int]]:
    found, excused = examine(made)
    return {violation.check for violation in found}, dict(excused)


def dirty(start: int) -> Op:
    return replace(read(3, start, OLD), tags={"a": "gone"})


def test_what_nobody_acknowledged_may_vanish_with_its_primary() -> None:
    assert checks(history()) == (set(), {})
    assert checks(history(dirty(22))) == (set(), {"not acknowledged, then gone": 1})


def test_an_old_primary_may_be_behind() -> None:
    assert checks(history(read(2, 45, OLD))) == (set(), {"from an old primary": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(history(dirty(22), replicated=False), id="where no server takes over"),
        pytest.param(history(read(2, 45, NEW)), id="a stale read under the present epoch"),
        pytest.param(history(read(1, 15, OLD)), id="a stale read before the fail-over"),
        pytest.param(history(replace(read(2, 15, OLD), tags={"a": "gone"})), id="what was acknowledged"),
        pytest.param(history(write(5, 26, OLD)), id="a lost write"),
    ],
)
def test_nothing_else_is_excused(wrong: History) -> None:
    found, excused = checks(wrong)
    assert found
    assert not excused
