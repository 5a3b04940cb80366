"""All topologies, by name."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.replicas import Cluster, Sentinel
from tests.faults.topology import Embedded, Standalone, Topology, Workers

TOPOLOGIES: dict[str, Callable[[Path, list[str], contextlib.ExitStack], Topology]] = {
    "embedded": Embedded,
    "standalone": Standalone,
    "workers": Workers,
    "sentinel": Sentinel,
    "cluster": Cluster,
}


@contextlib.contextmanager
def running(name: str, directory: Path, python: list[str]) -> Iterator[Topology]:
    """Runs one; `python` is how the interpreter is told to run the service's command line."""
    with contextlib.ExitStack() as stack:
        yield TOPOLOGIES[name](directory, python, stack)
