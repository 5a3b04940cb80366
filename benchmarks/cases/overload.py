"""Ten times as many Resolves as the service can answer, for a minute, against the minute's quiet neighbours.

Single callers (benchmarks.peers.probes) resolve, write and watch all the time, in a process of their own: first alone,
then beside the flood, then from one second after its end. What counts is what those that were not refused waited, and
the service's memory. The flood comes from h2load (Debian: nghttp2-client), at ten times the rate that h2load reached
just before with few calls in flight; without h2load, from a client of ours, as fast as that goes.

The generator shares the processors with the service. It runs at the lowest priority (nice 19), but gRPC's own threads,
which read and refuse its calls, do not: on two processors they, the store and the probes wait for each other, and the
ratios say as much about the scheduler as about the service. A run with at least four free processors says more.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Final

import psutil

import promptwire
from benchmarks.peers.probes import ALIAS
from benchmarks.support.bench import PROMPT, RESOLVE, Bench, resolve_request
from benchmarks.support.processes import READY_SECONDS, Peer, ProcessError
from benchmarks.support.sampling import Comparison, percentile

TIMES: Final = 10
CONNECTIONS: Final = 100
IN_FLIGHT: Final = 100
"""On each connection: what a service grants one."""
_GOAL: Final = 3.0


def run(bench: Bench) -> Iterator[Comparison]:
    seconds, quiet = bench.pick(60, 10), bench.pick(15, 6)
    with promptwire.Client(bench.service.target) as client:
        client.set_prompt_alias(PROMPT, ALIAS, 1)
    flood = _Flood(bench)
    capacity = flood.capacity()
    with Peer("benchmarks.peers.probes", bench.service.target) as probes:
        assert probes.line(READY_SECONDS) == "ready"
        time.sleep(2)
        memory_before, began = _memory_mib(bench), time.monotonic()
        time.sleep(quiet)
        flood_began = time.monotonic()
        rate = flood.run(seconds, TIMES * capacity)
        flood_ended = time.monotonic()
        time.sleep(1)
        after = time.monotonic()
        time.sleep(quiet)
        memory_after, ended = _memory_mib(bench), time.monotonic()
        probes.close_stdin()
        seen: dict[str, Any] = json.loads(probes.line(READY_SECONDS))
    phases = {"alone": (began, flood_began), "beside": (flood_began + 1, flood_ended), "after": (after, ended)}
    load = f"{capacity:,.0f} calls/s answered before; {rate:,.0f} calls/s came for {seconds} s"
    for kind in ("resolve", "write", "flip"):
        alone, beside, later = (_phase(seen[kind], *phases[name]) for name in ("alone", "beside", "after"))
        for case, phase in (("beside the flood", beside), ("from 1 s after it", later)):
            yield Comparison(
                benchmark="overload",
                case=f"{kind} {case}, p99",
                floor_is="alone",
                unit="ms",
                ours=[phase.p99],
                floor=[alone.p99],
                goal=_GOAL,
                notes=(f"{phase.told}; alone {alone.told}",),
            )
    yield Comparison(
        benchmark="overload",
        case="memory of the service after it",
        floor_is="before",
        unit="MiB",
        ours=[memory_after],
        floor=[memory_before],
        goal=1.2,
        notes=(load,),
    )


class _Phase:
    """What one caller saw in a span of time."""

    def __init__(self, rows: list[list[Any]]) -> None:
        statuses = [row[2] if len(row) > 2 else "OK" for row in rows]
        good = [row[1] for row, status in zip(rows, statuses, strict=True) if status == "OK"]
        self.p99 = percentile(good, 99) if good else float("inf")
        self.told = ", ".join(f"{statuses.count(one)} {one}" for one in sorted(set(statuses))) or "nothing"


def _phase(rows: list[list[Any]], begin: float, end: float) -> _Phase:
    return _Phase([row for row in rows if begin <= row[0] < end])


class _Flood:
    """The generator, in a process of its own."""

    def __init__(self, bench: Bench) -> None:
        self._target = bench.service.target
        self._request = resolve_request()
        self._body = bench.directory / "resolve.body"
        self._body.write_bytes(b"\0" + len(self._request).to_bytes(4, "big") + self._request)
        self._h2load = shutil.which("h2load")

    def capacity(self) -> float:
        """Answers a second with 64 calls in flight."""
        return self._calls(3, 8, 8)

    def run(self, seconds: float, per_second: float) -> float:
        """How many calls a second it made."""
        return self._calls(seconds, CONNECTIONS, IN_FLIGHT, round(per_second / CONNECTIONS))

    def _calls(self, seconds: float, connections: int, in_flight: int, rate: int = 0) -> float:
        if self._h2load is None:
            options = {"target": self._target, "method": RESOLVE, "request": self._request.hex(), "seconds": seconds}
            options |= {"connections": connections, "in_flight": in_flight}
            with Peer("benchmarks.peers.flood", json.dumps(options)) as peer:
                psutil.Process(peer.pid).nice(19)
                return int(peer.line(seconds + READY_SECONDS)) / seconds
        command = [self._h2load, "-D", f"{seconds:.0f}", "-c", str(connections), "-m", str(in_flight)]
        command += ["-d", str(self._body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += ["--rps", str(rate)] if rate else []
        command.append(f"http://{self._target}{RESOLVE}")
        told = subprocess.run(["nice", "-n", "19", *command], capture_output=True, text=True, check=True).stdout
        found = re.search(r"finished in [\d.]+\w*, ([\d.]+) req/s", told)
        if not found:
            raise ProcessError(f"h2load said nothing of its rate:\n{told[-1000:]}")
        return float(found[1])


def _memory_mib(bench: Bench) -> float:
    """Resident memory of the service's process, without its store."""
    return float(psutil.Process(bench.service.pid).memory_info().rss) / 2**20
