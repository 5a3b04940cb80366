"""`mlflow.genai.load_prompt` by an alias: MLflow's own registry, in sqlite and behind its server, against ours.

The floor is MLflow alone, the same call in the same process on the same prompt, the registry's URI apart. With its
cache, which keeps an alias for a minute, and without (`cache_ttl_seconds=0`); ours has no need of it, since each load
asks the client's live table. Every load of MLflow starts a thread that links the prompt to an experiment: on all
sides.

Staleness is how long an agent's process loads the old version after another one has moved the alias: with MLflow's
defaults on either side. The agent looks without a pause;
ours is the median of many moves, MLflow's is one, since it takes a minute.
"""

import os
import socket
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import promptwire
from benchmarks.support.bench import PROMPT, REFERENCE, Bench, template
from benchmarks.support.processes import Child, Peer, ProcessError
from benchmarks.support.sampling import Comparison, interleave

_CALLS: Final = 200
_DEADLINE_SECONDS: Final = 90.0


def run(bench: Bench) -> Iterator[Comparison]:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    import mlflow

    ours = f"promptwire://{bench.service.target}"
    database = bench.directory / "mlflow.db"
    tracking = f"sqlite:///{database}"
    mlflow.set_tracking_uri(tracking)
    _seed(mlflow, tracking)
    with _server(bench.directory) as server:
        _seed(mlflow, server)
        for kind, uri in (("sqlite", tracking), ("its server", server)):
            for cached, seconds in (("cached", 60.0), ("uncached", 0.0)):
                mine, theirs = interleave(
                    _loads(mlflow, ours, None),
                    _loads(mlflow, uri, seconds),
                    repeats=bench.pick(15, 5),
                    seconds=bench.seconds / 4,
                )
                yield Comparison(
                    benchmark="mlflow",
                    case="load_prompt by an alias",
                    floor_is=f"MLflow on {kind}, {cached}",
                    unit="us",
                    ours=mine,
                    floor=theirs,
                )
        with promptwire.Client(bench.service.target) as client:
            client.load_prompt(REFERENCE)
            mine, theirs = interleave(
                _native(client), _loads(mlflow, ours, None), repeats=bench.pick(15, 5), seconds=bench.seconds / 4
            )
        yield Comparison(
            benchmark="mlflow",
            case="promptwire.Client.load_prompt",
            floor_is="mlflow.genai.load_prompt on the same registry",
            unit="us",
            ours=mine,
            floor=theirs,
        )
    yield Comparison(
        benchmark="mlflow",
        case="old version loaded after a move in another process",
        floor_is="MLflow on sqlite, its defaults",
        unit="ms",
        ours=[statistics.median(_staleness(ours, tracking, moves=bench.pick(40, 5)))],
        floor=_staleness(tracking, tracking, moves=1),
    )


def _seed(mlflow: Any, uri: str) -> None:
    mlflow.set_registry_uri(uri)
    for _ in (1, 2):
        mlflow.genai.register_prompt(PROMPT, template())
    mlflow.genai.set_prompt_alias(PROMPT, "production", 1)
    _join_linking()


def _loads(mlflow: Any, uri: str, cache_seconds: float | None) -> Callable[[], float]:
    """Microseconds a load."""

    def measure() -> float:
        mlflow.set_registry_uri(uri)
        load = mlflow.genai.load_prompt
        load(REFERENCE, cache_ttl_seconds=cache_seconds)
        began = time.perf_counter_ns()
        for _ in range(_CALLS):
            load(REFERENCE, cache_ttl_seconds=cache_seconds)
        took = time.perf_counter_ns() - began
        _join_linking()
        return took / _CALLS / 1_000

    return measure


def _native(client: promptwire.Client) -> Callable[[], float]:
    def measure() -> float:
        calls = _CALLS * 100
        began = time.perf_counter_ns()
        for _ in range(calls):
            client.load_prompt(REFERENCE)
        return (time.perf_counter_ns() - began) / calls / 1_000

    return measure


def _join_linking() -> None:
    """MLflow's threads of one side must not run in the other side's time."""
    for thread in threading.enumerate():
        if thread.name.startswith("link_prompt"):
            thread.join()


def _staleness(registry: str, tracking: str, moves: int) -> list[float]:
    """Milliseconds from the end of a move until the agent has loaded the new version."""
    import mlflow

    mlflow.set_registry_uri(registry)
    mlflow.genai.set_prompt_alias(PROMPT, "production", 1)
    found: list[float] = []
    with Peer("benchmarks.peers.mlflow_agent", registry, tracking, REFERENCE) as agent:
        agent.line(_DEADLINE_SECONDS)
        for number in range(moves):
            mlflow.genai.set_prompt_alias(PROMPT, "production", 2 - number % 2)
            moved_ns = time.monotonic_ns()
            seen_ns = int(agent.line(_DEADLINE_SECONDS))
            found.append(max(0.0, (seen_ns - moved_ns) / 1e6))
    return found


@contextmanager
def _server(directory: Path) -> Iterator[str]:
    """MLflow's own, on a database of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory / 'server.db'}"]
    command += ["--artifacts-destination", str(directory / "artifacts")]
    url = f"http://127.0.0.1:{port}"
    with Child(command, "mlflow server") as child:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not _answers(f"{url}/health"):
            if child.process.poll() is not None or time.monotonic() > deadline:
                raise ProcessError("mlflow server did not start")
            time.sleep(0.2)
        yield url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
