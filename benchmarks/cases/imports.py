"""`import promptwire` against `import grpc`, each in a fresh interpreter and timed in it: its start would hide much.

Nobody who calls a gRPC service can do without `import grpc`, so that is the floor. Importing `promptwire` alone loads
next to nothing until a name of it is used; so the second row is `from promptwire import Client`, which is what an agent
pays in the end. The third has the same beside grpc and protobuf's runtime, which generated messages cannot do without.

Both sides find their compiled files in a directory that the first round, which does not count, has filled; so it does
not matter what lies around in the repository.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.support.bench import Bench
from benchmarks.support.sampling import Comparison, interleave

_PROGRAM: Final = "import time; began = time.perf_counter_ns(); {}; print(time.perf_counter_ns() - began)"
_ROWS: Final = (
    ("import promptwire", "import grpc", 1.3),
    ("from promptwire import Client", "import grpc", 1.3),
    ("from promptwire import Client", "import grpc, google.protobuf.timestamp_pb2", None),
)
_REPOSITORY: Final = Path(__file__).parents[2]


def run(bench: Bench) -> Iterator[Comparison]:
    compiled = bench.directory / "compiled"
    for ours_is, floor_is, goal in _ROWS:
        ours, floor = interleave(
            partial(milliseconds, ours_is, compiled),
            partial(milliseconds, floor_is, compiled),
            repeats=bench.pick(15, 5),
            seconds=bench.seconds / 2,
        )
        yield Comparison(
            benchmark="imports",
            case=ours_is,
            floor_is=floor_is,
            unit="ms",
            ours=ours,
            floor=floor,
            goal=goal,
        )


def milliseconds(statement: str, compiled: Path) -> float:
    """How long it takes in an interpreter of its own."""
    command = [sys.executable, "-c", _PROGRAM.format(statement)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled), "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, cwd=_REPOSITORY, env=environment
    )
    return int(done.stdout) / 1e6
