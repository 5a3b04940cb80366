"""Flips, and how long after their acknowledgement each follower had them: the part that the flip benchmarks share.

Every time is of CLOCK_MONOTONIC, which all processes of a Linux machine read alike, so that a time noted by the
publisher can be taken from one noted by a follower.

The service acknowledges a flip some time before it begins to tell of it. The floor does both at once, and then its
followers take the processors from the publisher, which would see its acknowledgement late and find the floor faster
than it is, or even done before it began. So the floor's clock starts when its server hands the message to the queues,
plus the time that an acknowledgement takes to travel when nobody follows: as if nobody were in its way.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import promptwire
from benchmarks.peers import floor
from benchmarks.support.bench import PROMPT
from benchmarks.support.processes import Peer, ProcessError
from benchmarks.support.sampling import Comparison, percentile

OURS: Final = 0
FLOOR: Final = 1
ARRIVAL_SECONDS: Final = 15.0

Flip = Callable[[], int]
"""Flips and returns when that was acknowledged, in nanoseconds."""


class Publisher:
    """Flips the alias of the service to and fro, and publishes messages of the same size on the floor.

    Made before anybody follows.
    """

    def __init__(self, client: promptwire.Client, channel: Any, message: bytes) -> None:
        self._client = client
        self._publish = channel.unary_unary(floor.PUBLISH)
        self._message = message
        client.set_prompt_alias(PROMPT, "production", 1)
        self._version = 1
        self._travel_ns = 0
        self._travel_ns = int(statistics.median(time.monotonic_ns() - self.flip_floor() for _ in range(50)))

    def flip_ours(self) -> int:
        self._version = 3 - self._version
        self._client.set_prompt_alias(PROMPT, "production", self._version)
        return time.monotonic_ns()

    def flip_floor(self) -> int:
        handed_over_ns = int.from_bytes(self._publish(self._message, timeout=ARRIVAL_SECONDS), "big")
        return handed_over_ns + self._travel_ns


class Followers:
    """Processes that each print a side's number whenever all that they follow has one message more."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        self.acknowledged: tuple[list[int], list[int]] = [], []
        """When each flip of each side was acknowledged."""

    def wait(self, side: int) -> None:
        """Returns once every process has one message more of a side."""
        for peer in self._peers:
            line = peer.line(ARRIVAL_SECONDS)
            if line != str(side):
                raise ProcessError(f"{peer.name} received a message of side {line!r} when one of {side} was sent")

    def flip(self, side: int, flip: Flip) -> None:
        self.acknowledged[side].append(flip())
        self.wait(side)

    def collect(self, sides: Sequence[int] = (OURS, FLOOR)) -> list[list[list[float]]]:
        """Ends the followers; milliseconds from each acknowledgement to each follower, as [side][flip][follower]."""
        for peer in self._peers:
            peer.close_stdin()
        reports = [json.loads(peer.line(ARRIVAL_SECONDS)) for peer in self._peers]
        return [
            [
                [(at - acknowledged) / 1e6 for report in reports for at in report["times"][side][first + index]]
                for index, acknowledged in enumerate(self.acknowledged[side])
            ]
            for side in sides
            # The first messages of a stream are no flips.
            for first in [len(reports[0]["times"][side]) - len(self.acknowledged[side])]
        ]


def in_turns(followers: Followers, publisher: Publisher, *, blocks: int, flips: int, seconds: float) -> int:
    """Blocks of flips, of each side in turn, after one that counts as any other; returns how many blocks were made."""
    deadline = time.monotonic() + seconds
    for block in range(blocks):
        if block >= 3 and time.monotonic() > deadline:
            return block
        for side in (OURS, FLOOR) if block % 2 == 0 else (FLOOR, OURS):
            for _ in range(flips):
                followers.flip(side, publisher.flip_ours if side == OURS else publisher.flip_floor)
    return blocks


def rows(benchmark: str, case: str, floor_is: str, delays: list[list[list[float]]], *, flips: int) -> list[Comparison]:
    """p99 and p50 of each block of so many flips; the first block warms up."""

    def blocks(side: int, percent: float) -> list[float]:
        starts = range(flips, len(delays[side]), flips)
        return [
            percentile([delay for flip in delays[side][start : start + flips] for delay in flip], percent)
            for start in starts
        ]

    pooled = [percentile([delay for flip in delays[side][flips:] for delay in flip], 99) for side in (OURS, FLOOR)]
    note = (
        f"p99 over all {len(delays[OURS]) - flips} flips at once: {pooled[OURS]:.2f} ms, floor {pooled[FLOOR]:.2f} ms"
    )
    return [
        Comparison(
            benchmark=benchmark,
            case=f"{case}, p{percent}",
            floor_is=floor_is,
            unit="ms",
            ours=blocks(OURS, percent),
            floor=blocks(FLOOR, percent),
            goal=goal,
            notes=notes,
        )
        for percent, goal, notes in ((99, 1.5, (note,)), (50, None, ()))
    ]
