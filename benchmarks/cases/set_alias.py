"""SetAlias with durability fsync, against what it cannot do without: the same Lua script and its fsync, and an empty
round trip.

The floor runs the service's own write script, with requests made beforehand, through redis-py's asyncio client on the
service's own embedded store: same process, same append-only file, same disk, another namespace. Then it makes an empty
call of the same size (benchmarks.peers.floor). Beyond that, the service checks the request, builds the script's, reads
its answer, and gets its own notification and reads the log for its watchers; there are none. One writer, one write
after the other, writes of both sides in turns.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import grpc

from benchmarks.peers import floor
from benchmarks.support.bench import PROMPT, SET_ALIAS, Bench, template
from benchmarks.support.sampling import Comparison, interleave
from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.v1 import common_pb2 as common_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.operations import Operation, Register, SetAlias, Write
from promptwire_service.storage.redis.connection import Server, server
from promptwire_service.storage.redis.encoding import write_json
from promptwire_service.storage.redis.notifications import notify_channel
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.store import LOG_ENTRIES_KEPT, REQUEST_KEPT_SECONDS, meta_key
from promptwire_service.storage.redis.target import StoreTarget

_CALL_SECONDS: Final = 10.0
_ACTOR: Final = "benchmark@localhost"
_NAMESPACE: Final = "floor"


def run(bench: Bench) -> Iterator[Comparison]:
    calls = bench.pick(40, 25)
    with asyncio.Runner() as runner:
        writer = runner.run(_opened(bench))
        try:
            ours, theirs = interleave(
                lambda: runner.run(writer.ours_us(calls)),
                lambda: runner.run(writer.floor_us(calls)),
                repeats=bench.pick(25, 8),
                seconds=bench.seconds,
            )
        finally:
            runner.run(writer.close())
    parts = f"of the floor's p50, {statistics.median(writer.script_us):,.0f} us are the script and its fsync"
    yield Comparison(
        benchmark="set_alias",
        case="p50 of SetAlias, fsync",
        floor_is="Lua write + fsync + empty call",
        unit="us",
        ours=ours,
        floor=theirs,
        goal=1.5,
        notes=(parts,),
    )


async def _opened(bench: Bench) -> "_Writer":
    writer = _Writer(bench)
    await writer.open()
    return writer


class _Writer:
    """Both sides' connections, all of one event loop."""

    def __init__(self, bench: Bench) -> None:
        self._channels = [grpc.aio.insecure_channel(target) for target in (bench.service.target, bench.floor.target)]
        self._set_alias: Any = self._channels[0].unary_unary(SET_ALIAS)
        self._empty: Any = self._channels[1].unary_unary(floor.ANSWER)
        self._store: Server = server(StoreTarget.parse(bench.store_url))
        self._script = Script("write")
        self._bench = bench
        self.script_us: list[float] = []
        """The script's part of the floor's p50, of each batch."""

    async def open(self) -> None:
        answer = await self._set_alias(_request(1), timeout=_CALL_SECONDS)
        self._bench.floor.set_answer(answer)
        content = Content(template())
        for _ in range(2):
            await self._write(
                _script_request(
                    Register(name=PROMPT, content=content, digest=content.digest, commit_message="", tags={})
                )
            )

    async def close(self) -> None:
        await self._store.aclose()
        for channel in self._channels:
            await channel.close()

    async def ours_us(self, calls: int) -> float:
        requests = [_request(number % 2 + 1) for number in range(calls)]
        times = []
        for request in requests:
            began = time.perf_counter_ns()
            await self._set_alias(request, timeout=_CALL_SECONDS)
            times.append(time.perf_counter_ns() - began)
        return statistics.median(times) / 1e3

    async def floor_us(self, calls: int) -> float:
        requests = [
            (
                _request(number % 2 + 1),
                _script_request(SetAlias(name=PROMPT, alias="production", target=number % 2 + 1)),
            )
            for number in range(calls)
        ]
        times, written = [], []
        for request, script_request in requests:
            began = time.perf_counter_ns()
            await self._write(script_request)
            written.append(time.perf_counter_ns() - began)
            await self._empty(request, timeout=_CALL_SECONDS)
            times.append(time.perf_counter_ns() - began)
        self.script_us.append(statistics.median(written) / 1e3)
        return statistics.median(times) / 1e3

    async def _write(self, request: str) -> None:
        _, answer = await self._script.run(
            self._store.writes,
            meta_key(_NAMESPACE),
            request,
            uuid.uuid4().hex[:16],
            REQUEST_KEPT_SECONDS,
            LOG_ENTRIES_KEPT,
            notify_channel(0),
            limits.ROLLBACKS_MAX,
        )
        if '"error"' in answer:
            raise RuntimeError(f"the write script refused: {answer}")


def _request(version: int) -> bytes:
    options = common_pb.WriteOptions(request_id=uuid.uuid4().hex, actor=_ACTOR)
    return pb.SetAliasRequest(name=PROMPT, alias="production", version=version, write=options).SerializeToString()


def _script_request(operation: Operation) -> str:
    return write_json(Write(operations=(operation,), request_id=uuid.uuid4().hex, actor=_ACTOR))
