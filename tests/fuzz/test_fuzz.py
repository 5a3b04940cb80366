"""A little of the fuzzer, always the same, and again whatever it has found before."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.__main__ import CORPUS, Run, opened
from tests.fuzz.local import Target

SEED: Final = 20261128
INPUTS: Final = {
    "filters": 300,
    "references": 2_000,
    "json": 1_000,
    "templates": 200,
    "files": 300,
    "configs": 200,
    "snapshots": 400,
    "bytes": 1_000,
    "calls": 1_000,
    "wire": 600,
    "client": 150,
    "cli": 20,
}


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    with ExitStack() as stack:
        yield {target.name: target for target in opened(stack)}


def test_every_target_has_its_number_of_inputs(targets: dict[str, Target]) -> None:
    assert targets.keys() == INPUTS.keys()


@pytest.mark.parametrize("name", INPUTS)
def test_some_inputs_break_nothing(targets: dict[str, Target], tmp_path: Path, name: str) -> None:
    run = Run(SEED, tmp_path)
    run.attack(targets[name], 100.0, INPUTS[name])
    assert not run.failures
    assert run.inputs[name]


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_breaks_nothing_any_more(targets: dict[str, Target], path: Path) -> None:
    targets[path.name.partition("-")[0]].run(path.read_bytes())
