"""From an acknowledged flip to N agents, against a bare grpc.aio fan-out to as many streams.

Our side: `set_prompt_alias` returns, which is after the fsync; the clock starts; it stops when the update is there on
each of N Watch streams that follow `@production`. The floor (benchmarks.peers.floor): a unary call that hands a message
of the same size to N queues and returns; the clock starts (benchmarks.support.flips says exactly when); it stops when
the message is there on each of N bidirectional streams. Both sides' streams live in the same few processes
(benchmarks.peers.streams), each on a connection of its own, and nothing decodes what arrives.

Flips come one at a time, in blocks of one side and then the other. A value is the p99 of a block: that of the slowest
few of its arrivals, so one interruption by another process shows; the median over the blocks is what is compared.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from json import dumps
from typing import Final

import grpc

import promptwire
from benchmarks.peers import floor
from benchmarks.support.bench import PROMPT, WATCH, Bench
from benchmarks.support.flips import FLOOR, OURS, Followers, Publisher, in_turns, rows
from benchmarks.support.processes import READY_SECONDS, Peer
from benchmarks.support.sampling import Comparison
from promptwire.v1 import prompt_service_pb2 as pb

PROCESSES: Final = 2
FLIPS_IN_BLOCK: Final = 10


def run(bench: Bench) -> Iterator[Comparison]:
    for streams in dict.fromkeys((20, 100, bench.streams)):
        yield from _fan_out(bench, streams)


def _fan_out(bench: Bench, streams: int) -> Iterator[Comparison]:
    with ExitStack() as stack:
        client = stack.enter_context(promptwire.Client(bench.service.target))
        channel = stack.enter_context(grpc.insecure_channel(bench.floor.target))
        publisher = Publisher(client, channel, sent_for_a_flip(bench))
        peers = [stack.enter_context(_peer(bench, streams // PROCESSES)) for _ in range(PROCESSES)]
        followers = Followers(peers)
        for peer in peers:
            # Either side may be first to have opened all of its streams.
            opened = {peer.line(READY_SECONDS), peer.line(READY_SECONDS)}
            assert opened == {str(OURS), str(FLOOR)}, opened
        in_turns(
            followers,
            publisher,
            blocks=bench.pick(21, 5),
            flips=FLIPS_IN_BLOCK,
            seconds=bench.seconds,
        )
        delays = followers.collect()
    yield from rows("flip", f"{streams} streams", "grpc.aio fan-out", delays, flips=FLIPS_IN_BLOCK)


def _peer(bench: Bench, streams: int) -> Peer:
    sides = [
        {"target": bench.service.target, "method": WATCH, "hello": hello().hex()},
        {"target": bench.floor.target, "method": floor.FOLLOW, "hello": ""},
    ]
    return Peer("benchmarks.peers.streams", dumps({"count": streams, "sides": sides}))


def hello() -> bytes:
    follows = [pb.Subscription(name=PROMPT, aliases=["production"])]
    return pb.WatchRequest(
        hello=pb.WatchHello(client_id="benchmark", client_name="benchmark@localhost", subscriptions=follows)
    ).SerializeToString()


def sent_for_a_flip(bench: Bench) -> bytes:
    """What the service sends for a flip, as near as makes no difference to its size: the prompt's whole state."""
    with grpc.insecure_channel(bench.service.target) as channel:
        calls: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(WATCH)
        call = calls(iter([hello()]))
        first: bytes = next(iter(call))
        call.cancel()
    return first
