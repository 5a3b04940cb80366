"""`handle.current` against the same read of an attribute of a plain object.

The floor's object has slots, as the handle has: Python reads a slot and an ordinary attribute equally fast. Ten reads
stand in the body of the loop, so that the ratio is one of reads and not of loops.
"""

from collections.abc import Iterator
from typing import Final

import promptwire
from benchmarks.support.bench import REFERENCE, Bench
from benchmarks.support.sampling import Comparison, interleave, statement

READS: Final = 2_000_000


class Plain:
    __slots__ = ("current",)

    def __init__(self, current: object) -> None:
        self.current = current


def run(bench: Bench) -> Iterator[Comparison]:
    with promptwire.Client(bench.service.target) as client:
        handle = client.handle(REFERENCE)
        ours, floor = interleave(
            statement("handle.current", number=READS, handle=handle),
            statement("plain.current", number=READS, plain=Plain(handle.current)),
            repeats=bench.pick(31, 11),
            seconds=bench.seconds / 4,
        )
    yield Comparison(
        benchmark="handle",
        case="handle.current",
        floor_is="attribute of a plain object",
        unit="ns",
        ours=ours,
        floor=floor,
        goal=1.2,
    )
