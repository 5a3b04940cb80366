"""10,000 namespaces with one watcher each, against one: what they cost an idle service, and others' strong reads.

The watchers are raw streams of another process (benchmarks.peers.watchers) that renew their leases every 5 s and
change nothing. Strong reads of the benchmark's own prompt are measured in blocks before they come and while they are
there. The processor's time of the service is taken while nothing else is asked of it, in percent of one core; the floor
of that row is one core.
"""

import asyncio
import resource
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import grpc
import psutil

from benchmarks.peers.watchers import namespace
from benchmarks.support.bench import REFERENCE, RESOLVE, Bench
from benchmarks.support.processes import Peer, cpu_seconds
from benchmarks.support.sampling import Comparison, percentile
from promptwire.domain.content import Content
from promptwire.v1 import common_pb2 as common_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.operations import Register, SetAlias, Write
from promptwire_service.storage.base import StoreInfo
from promptwire_service.storage.redis.connection import server
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget

NAMESPACES: Final = 10_000
CONNECTIONS: Final = 125
"""A service takes 100 streams over each."""
_READS_IN_BLOCK: Final = 300
_IDLE_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 2.0
_READY_SECONDS: Final = 300.0
_AT_ONCE: Final = 32


def run(bench: Bench) -> Iterator[Comparison]:
    count, blocks = bench.pick(NAMESPACES, 1_000), bench.pick(7, 4)
    asyncio.run(_fill(bench, count))
    process = psutil.Process(bench.service.pid)
    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(bench.service.target))
        one = _Reads(channel, blocks)
        memory_before = process.memory_info().rss
        idle_before = _idle_percent(bench)
        watchers = Peer("benchmarks.peers.watchers", bench.service.target, "0", str(count), str(CONNECTIONS))
        stack.enter_context(watchers)
        watchers.line(_READY_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        idle = [_idle_percent(bench) for _ in range(3)]
        memory = (process.memory_info().rss - memory_before) / count
        many = _Reads(channel, blocks)
    for percent, goal in ((50, None), (99, 2.0)):
        yield Comparison(
            benchmark="namespaces",
            case=f"strong Resolve beside {count:,} watched namespaces, p{percent}",
            floor_is="beside none",
            unit="us",
            ours=[percentile(block, percent) for block in many.blocks],
            floor=[percentile(block, percent) for block in one.blocks],
            goal=goal,
        )
    yield Comparison(
        benchmark="namespaces",
        case=f"idle CPU with {count:,} watched namespaces",
        floor_is="one core",
        unit="%",
        ours=idle,
        floor=[100.0] * len(idle),
        goal=0.25,
        notes=(
            f"{idle_before:.1f} % without them",
            f"{memory / 1024:.1f} KiB of resident memory for each stream and its namespace",
        ),
    )


class _Reads:
    """Times of strong Resolves, one after the other, in microseconds; the first block warms up."""

    def __init__(self, channel: grpc.Channel, blocks: int) -> None:
        resolve: Any = channel.unary_unary(RESOLVE)
        read = common_pb.ReadOptions(consistency=common_pb.CONSISTENCY_STRONG)
        request = pb.ResolveRequest(reference=REFERENCE, read=read).SerializeToString()
        self.blocks: list[list[float]] = []
        for _ in range(blocks + 1):
            times = []
            for _ in range(_READS_IN_BLOCK):
                began = time.perf_counter_ns()
                resolve(request, timeout=10.0)
                times.append((time.perf_counter_ns() - began) / 1e3)
            self.blocks.append(times)
        del self.blocks[0]


def _idle_percent(bench: Bench) -> float:
    before = _cpu_seconds(bench.service.pid)
    time.sleep(_IDLE_SECONDS)
    return (_cpu_seconds(bench.service.pid) - before) / _IDLE_SECONDS * 100


def _cpu_seconds(pid: int) -> float:
    seconds = cpu_seconds(pid)
    if seconds is None:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return seconds


async def _fill(bench: Bench, count: int) -> None:
    """One prompt in each namespace, straight into the store."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 65_536)), hard))
    store = RedisStore(server(StoreTarget.parse(bench.store_url)), StoreInfo("", "", ""))
    content = Content("Hello")
    operations = (
        Register(name="p", content=content, digest=content.digest, commit_message="", tags={}),
        SetAlias(name="p", alias="production", target=1),
    )
    numbers = iter(range(count))

    async def fill() -> None:
        for number in numbers:
            await store.write(
                namespace(number), Write(operations=operations, request_id=uuid.uuid4().hex, actor="benchmark")
            )

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(fill())
    finally:
        await store.close()
