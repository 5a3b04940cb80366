"""A flip to 1,000 streams whose agents say what they have applied, against one to 1,000 whose agents do not.

Both sets of streams are to one service, from the same processes; each follows a prompt of its own, so that a flip is
told to one of them. An agent waits up to 250 ms, at random, before it says so, as our client does. Flips are half a
second apart: reports meet the rest of their own flip's fan-out, and not the next one's.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from json import dumps
from typing import Final

import promptwire
from benchmarks.cases.flip import PROCESSES
from benchmarks.support.bench import PROMPT, WATCH, Bench, template
from benchmarks.support.flips import FLOOR, OURS, Followers, rows
from benchmarks.support.processes import READY_SECONDS, Peer
from benchmarks.support.sampling import Comparison
from promptwire.v1 import prompt_service_pb2 as pb

FLIPS_IN_BLOCK: Final = 5
_APART_SECONDS: Final = 0.5
SILENT: Final = "silent"
"""The prompt that agents follow who do not report."""


def run(bench: Bench) -> Iterator[Comparison]:
    streams = bench.pick(1_000, 200)
    with ExitStack() as stack:
        client = stack.enter_context(promptwire.Client(bench.service.target))
        for _ in range(2):
            client.register_prompt(SILENT, template())
        client.set_prompt_alias(SILENT, "production", 1)
        peers = [stack.enter_context(_peer(bench, streams // PROCESSES)) for _ in range(PROCESSES)]
        for peer in peers:
            assert {peer.line(READY_SECONDS), peer.line(READY_SECONDS)} == {str(OURS), str(FLOOR)}
        followers = Followers(peers)
        _in_turns(client, followers, bench.pick(15, 4), bench.seconds)
        delays = followers.collect()
    yield from rows("flip_reports", f"{streams:,} streams", "the same without reports", delays, flips=FLIPS_IN_BLOCK)


def _in_turns(client: promptwire.Client, followers: Followers, blocks: int, seconds: float) -> None:
    deadline, version = time.monotonic() + seconds, 1

    def flip(name: str) -> int:
        client.set_prompt_alias(name, "production", version)
        return time.monotonic_ns()

    for block in range(blocks):
        if block >= 3 and time.monotonic() > deadline:
            return
        for side in (OURS, FLOOR) if block % 2 == 0 else (FLOOR, OURS):
            for _ in range(FLIPS_IN_BLOCK):
                time.sleep(_APART_SECONDS)
                version = 3 - version
                followers.flip(side, lambda: flip(PROMPT if side == OURS else SILENT))  # noqa: B023 - called at once


def _peer(bench: Bench, streams: int) -> Peer:
    sides = []
    for name, reports in ((PROMPT, True), (SILENT, False)):
        follows = [pb.Subscription(name=name, aliases=["production"])]
        hello = pb.WatchHello(client_id="benchmark", client_name=name, subscriptions=follows, reports=reports)
        encoded = pb.WatchRequest(hello=hello).SerializeToString().hex()
        sides.append({"target": bench.service.target, "method": WATCH, "hello": encoded, "reports": reports})
    return Peer("benchmarks.peers.streams", dumps({"count": streams, "sides": sides}))
