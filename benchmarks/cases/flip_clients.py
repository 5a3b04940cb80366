"""From an acknowledged flip to 20 real clients, each in a process of its own, against a bare grpc.aio fan-out to these
processes.

As in `flip`, but our side stops its clock when an agent's `load_prompt` returns the new version: decoding, checking the
digest and exchanging the table are part of it. The floor's stream is a blocking grpc one in the same process, with its
message undecoded. On a machine with few processors both are mostly twenty processes that wait for their turn.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from json import dumps
from typing import Final

import grpc

import promptwire
from benchmarks.cases.flip import sent_for_a_flip
from benchmarks.support.bench import REFERENCE, Bench
from benchmarks.support.flips import FLOOR, OURS, Followers, Publisher, in_turns, rows
from benchmarks.support.processes import READY_SECONDS, Peer
from benchmarks.support.sampling import Comparison

AGENTS: Final = 20
FLIPS_IN_BLOCK: Final = 5


def run(bench: Bench) -> Iterator[Comparison]:
    agents = bench.pick(AGENTS, 8)
    with ExitStack() as stack:
        client = stack.enter_context(promptwire.Client(bench.service.target))
        channel = stack.enter_context(grpc.insecure_channel(bench.floor.target))
        publisher = Publisher(client, channel, sent_for_a_flip(bench))
        options = dumps({"ours": bench.service.target, "floor": bench.floor.target, "reference": REFERENCE})
        peers = [stack.enter_context(Peer("benchmarks.peers.agent", options)) for _ in range(agents)]
        for peer in peers:
            opened = {peer.line(READY_SECONDS), peer.line(READY_SECONDS)}
            assert opened == {str(OURS), str(FLOOR)}, opened
        followers = Followers(peers)
        in_turns(followers, publisher, blocks=bench.pick(21, 5), flips=FLIPS_IN_BLOCK, seconds=bench.seconds)
        delays = followers.collect()
    yield from rows("flip_clients", f"{agents} clients", "grpc.aio fan-out", delays, flips=FLIPS_IN_BLOCK)
