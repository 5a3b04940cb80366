"""A flip to 1,000 streams while some others do not read, against the same while they do.

A process with a few streams of its own is stopped (SIGSTOP), so that its sockets fill up: it is made sure of, before
anything is measured, that the service has news for each of these streams that it cannot send. Then the same process
reads again, and its arrears are gone before the other side is measured. Both sides are thus of one service, one set of
1,000 streams, and the same minute. The streams that stall follow a large prompt besides, which is changed only between
the measurements.

The last row is the service's resident memory after all of that, against what it had when all streams were open: a
queue for each stream would have held every change of the large prompt, the mark that the service keeps instead holds
none.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from json import dumps
from typing import Final

import psutil

import promptwire
from benchmarks.cases.flip import FLIPS_IN_BLOCK, PROCESSES
from benchmarks.support.bench import PROMPT, WATCH, Bench
from benchmarks.support.flips import ARRIVAL_SECONDS, OURS, Followers
from benchmarks.support.processes import READY_SECONDS, Peer
from benchmarks.support.sampling import Comparison, percentile
from promptwire.v1 import prompt_service_pb2 as pb

STREAMS: Final = 1_000
STALLED: Final = 8
LARGE: Final = "large"
LARGE_BYTES: Final = 500_000


def run(bench: Bench) -> Iterator[Comparison]:
    streams = bench.pick(STREAMS, 200)
    with ExitStack() as stack:
        client = stack.enter_context(promptwire.Client(bench.service.target))
        for letter in "ab":
            client.register_prompt(LARGE, letter * LARGE_BYTES)
        client.set_prompt_alias(LARGE, "production", 1)
        peers = [stack.enter_context(_peer(bench, streams // PROCESSES, PROMPT)) for _ in range(PROCESSES)]
        others = stack.enter_context(_peer(bench, STALLED, PROMPT, LARGE))
        for peer in (*peers, others):
            assert peer.line(READY_SECONDS) == str(OURS)
        before = _memory_mib(bench)
        case = _Case(client, Followers(peers), others.pid)
        stack.callback(case.go_on)
        sides = list(case.in_turns(blocks=bench.pick(15, 4), seconds=bench.seconds))
        after = _memory_mib(bench)
        case.go_on()
        (delays,) = case.followers.collect([OURS])
    blocks = [delays[first : first + FLIPS_IN_BLOCK] for first in range(0, len(delays), FLIPS_IN_BLOCK)]
    p99 = [percentile([delay for flip in block for delay in flip], 99) for block in blocks]
    yield Comparison(
        benchmark="flip_stalled",
        case=f"{streams:,} streams beside {STALLED} stalled, p99",
        floor_is="beside as many that read",
        unit="ms",
        ours=[value for value, stalled in zip(p99, sides, strict=True) if stalled][1:],
        floor=[value for value, stalled in zip(p99, sides, strict=True) if not stalled][1:],
        goal=1.1,
    )
    yield Comparison(
        benchmark="flip_stalled",
        case="memory of the service at the end",
        floor_is="when all streams were open",
        unit="MiB",
        ours=[after],
        floor=[before],
        goal=1.25,
        notes=(f"while they stalled, {case.large_changes} changes of {LARGE_BYTES:,} bytes were theirs to be told",),
    )


class _Case:
    """Flips in blocks, while the other process reads and while it does not."""

    def __init__(self, client: promptwire.Client, followers: Followers, others_pid: int) -> None:
        self.followers = followers
        self.large_changes = 0
        self._client = client
        self._others_pid = others_pid
        self._version = 1

    def in_turns(self, *, blocks: int, seconds: float) -> Iterator[bool]:
        """Whether each block was one of stalled streams; the first of each kind warms up."""
        deadline = time.monotonic() + seconds
        for block in range(blocks + 1):
            if block >= 4 and time.monotonic() > deadline:
                return
            for stalled in (True, False) if block % 2 == 0 else (False, True):
                self._stall() if stalled else self._read()
                for _ in range(FLIPS_IN_BLOCK):
                    self.followers.flip(OURS, self._flip)
                yield stalled

    def go_on(self) -> None:
        os.kill(self._others_pid, signal.SIGCONT)

    def _stall(self) -> None:
        os.kill(self._others_pid, signal.SIGSTOP)
        while not all(self._queued()):
            self._change_large()
        for _ in range(STALLED):
            self._change_large()

    def _read(self) -> None:
        self.go_on()
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while any(self._queued()):
            if time.monotonic() > deadline:
                raise TimeoutError("the streams that had stalled do not catch up")
            time.sleep(0.05)

    def _queued(self) -> list[int]:
        watchers = self._client.server_status().watchers
        queued = [watcher.queued for watcher in watchers if watcher.client_name == LARGE]
        assert len(queued) == STALLED, queued
        return queued

    def _flip(self) -> int:
        self._version = 3 - self._version
        self._client.set_prompt_alias(PROMPT, "production", self._version)
        return time.monotonic_ns()

    def _change_large(self) -> None:
        self.large_changes += 1
        self._client.set_prompt_alias(LARGE, "production", 1 + self.large_changes % 2)


def _peer(bench: Bench, streams: int, *names: str) -> Peer:
    hello = pb.WatchHello(
        client_id="benchmark",
        client_name=names[-1],
        subscriptions=[pb.Subscription(name=name, aliases=["production"]) for name in names],
    )
    side = {
        "target": bench.service.target,
        "method": WATCH,
        "hello": pb.WatchRequest(hello=hello).SerializeToString().hex(),
    }
    return Peer("benchmarks.peers.streams", dumps({"count": streams, "sides": [side]}))


def _memory_mib(bench: Bench) -> float:
    """Resident memory of the service's process, without its store."""
    return float(psutil.Process(bench.service.pid).memory_info().rss) / 2**20
