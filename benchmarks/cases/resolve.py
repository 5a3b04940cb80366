"""Unary Resolve of a prompt that the service has resolved before, against an empty grpc.aio method with an answer of
the same size.

The floor (benchmarks.peers.floor) runs in a process of its own, as the service does, and returns bytes that it was
given: what is left of it is grpc.aio alone. The same client code calls both, and it sends and receives bytes without
encoding or decoding, so that a slow client does not make the service look better than it is. Batches alternate.

p50 is of calls one after the other, with the blocking client (which `promptwire.Client` uses) and with the asyncio one.
Throughput is of 16 calls in flight from one asyncio client. A Python client needs about as much processor time for a
call as a Python server does, so that it is part of what limits the throughput; therefore the processor time that the
server spends on a call is shown as well. It has no goal, and other processes hardly disturb it.

"As the client asks" is the request that `promptwire.Client` sends once it has seen a revision: with `min_revision`.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from benchmarks.peers import floor
from benchmarks.support.bench import RESOLVE, Bench, resolve_request
from benchmarks.support.processes import cpu_seconds
from benchmarks.support.sampling import Comparison, interleave
from promptwire.v1 import prompt_service_pb2 as pb

IN_FLIGHT: Final = 16
_FLOOR_IS: Final = "empty grpc.aio method"
_CALL_SECONDS: Final = 10.0


def run(bench: Bench) -> Iterator[Comparison]:
    request = resolve_request()
    with grpc.insecure_channel(bench.service.target) as channel:
        resolve: Any = channel.unary_unary(RESOLVE)
        for _ in range(3):
            answer: bytes = resolve(request)
    bench.floor.set_answer(answer)
    fresh = resolve_request(pb.ResolveResponse.FromString(answer).info.revision)
    size = f"answer of {len(answer):,} B"
    yield from _blocking(bench, f"p50, {size}", request)
    yield from _blocking(bench, "p50, as the client asks", fresh)
    yield from _asyncio(bench, request, size)


def _blocking(bench: Bench, case: str, request: bytes) -> Iterator[Comparison]:
    calls = bench.pick(200, 100)

    def batch(target: str, method: str) -> Callable[[], float]:
        call: Any = channels[target].unary_unary(method)

        def measure() -> float:
            times = []
            for _ in range(calls):
                began = time.perf_counter_ns()
                call(request, timeout=_CALL_SECONDS)
                times.append(time.perf_counter_ns() - began)
            return statistics.median(times) / 1e3

        return measure

    with grpc.insecure_channel(bench.service.target) as ours, grpc.insecure_channel(bench.floor.target) as theirs:
        channels = {bench.service.target: ours, bench.floor.target: theirs}
        mine, other = interleave(
            batch(bench.service.target, RESOLVE),
            batch(bench.floor.target, floor.ANSWER),
            repeats=bench.pick(30, 10),
            seconds=bench.seconds / 2,
        )
    yield _row(f"{case}, blocking client", "us", mine, other, goal=1.10)


def _asyncio(bench: Bench, request: bytes, size: str) -> Iterator[Comparison]:
    with asyncio.Runner() as runner:
        sides = [
            _AsyncSide(runner, bench.service.target, bench.service.pid, RESOLVE, request),
            _AsyncSide(runner, bench.floor.target, bench.floor.pid, floor.ANSWER, request),
        ]
        try:
            ours, theirs = sides
            calls = bench.pick(200, 100)
            mine, other = interleave(
                lambda: ours.p50_us(calls),
                lambda: theirs.p50_us(calls),
                repeats=bench.pick(30, 10),
                seconds=bench.seconds / 2,
            )
            yield _row(f"p50, {size}, asyncio client", "us", mine, other, goal=1.10)
            calls = bench.pick(2_000, 800)
            mine, other = interleave(
                lambda: ours.per_second(calls),
                lambda: theirs.per_second(calls),
                repeats=bench.pick(12, 5),
                seconds=bench.seconds / 2,
            )
            yield _row(f"throughput, {IN_FLIGHT} in flight", "calls/s", mine, other, goal=0.90, more_is_better=True)
            if ours.cpu_us:
                # The first round does not count here either.
                yield _row("processor time of the server", "us/call", ours.cpu_us[1:], theirs.cpu_us[1:], goal=None)
        finally:
            for side in sides:
                side.close()


class _AsyncSide:
    """One asyncio channel, and what its calls cost."""

    def __init__(self, runner: asyncio.Runner, target: str, pid: int, method: str, request: bytes) -> None:
        self._runner = runner
        self._pid = pid
        self._request = request
        self._channel = runner.run(_channel(target))
        self._call: Any = self._channel.unary_unary(method)
        self.cpu_us: list[float] = []
        """Processor time of the server for a call, in microseconds, of each batch of `per_second`."""

    def p50_us(self, calls: int) -> float:
        return self._runner.run(self._one_by_one(calls))

    def per_second(self, calls: int) -> float:
        before = cpu_seconds(self._pid)
        seconds = self._runner.run(self._many_at_once(calls))
        after = cpu_seconds(self._pid)
        if before is not None and after is not None:
            self.cpu_us.append((after - before) / calls * 1e6)
        return calls / seconds

    def close(self) -> None:
        self._runner.run(self._channel.close())

    async def _one_by_one(self, calls: int) -> float:
        times = []
        for _ in range(calls):
            began = time.perf_counter_ns()
            await self._call(self._request, timeout=_CALL_SECONDS)
            times.append(time.perf_counter_ns() - began)
        return statistics.median(times) / 1e3

    async def _many_at_once(self, calls: int) -> float:
        async def worker() -> None:
            for _ in range(calls // IN_FLIGHT):
                await self._call(self._request, timeout=_CALL_SECONDS)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return time.perf_counter() - began


async def _channel(target: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(target)


def _row(
    case: str, unit: str, ours: list[float], theirs: list[float], *, goal: float | None, more_is_better: bool = False
) -> Comparison:
    return Comparison(
        benchmark="resolve",
        case=case,
        floor_is=_FLOOR_IS,
        unit=unit,
        ours=ours,
        floor=theirs,
        goal=goal,
        more_is_better=more_is_better,
    )
