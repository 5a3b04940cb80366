"""A hit: `client.load_prompt("prompts:/name@production")` against `self._d[key]` in a plain method.

The floor is what a program would write that kept its prompts in a dictionary of its own and never learned of a change.
Both sides look up the same key object in dictionaries of the same keys, in the loop of one process, in turns. The
client is a real one with an open stream to a real service, so that its threads are there and its lease holds; nothing
changes meanwhile.

For a million entries the client's live table is filled through its own attribute with one shared value: loading a
million prompts would measure something else. With "keys at random" each lookup is of another of 100,000 keys, so that
the processor's caches miss as they would for an agent with very many prompts; the loop over these keys counts on both
sides.
"""

import random
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Final

import promptwire
from benchmarks.support.bench import REFERENCE, Bench
from benchmarks.support.sampling import Comparison, interleave, statement

CALLS: Final = 200_000


class Plain:
    def __init__(self, entries: dict[str, object]) -> None:
        self._d = entries

    def get(self, key: str) -> object:
        return self._d[key]


def run(bench: Bench) -> Iterator[Comparison]:
    with promptwire.Client(bench.service.target) as client:
        client.load_prompt(REFERENCE)
        for count in (10, 1_000_000):
            keys = _fill(client, count)
            plain = Plain(dict(_entries(client)))
            yield _compare(
                bench,
                f"{count:,} entries",
                statement("client.load_prompt(key)", number=CALLS, client=client, key=REFERENCE),
                statement("plain.get(key)", number=CALLS, plain=plain, key=REFERENCE),
            )
        some = random.Random(1).choices(keys, k=CALLS // 2)
        yield _compare(
            bench, f"{count:,} entries, keys at random", _each(client.load_prompt, some), _each(plain.get, some)
        )


def _compare(bench: Bench, case: str, ours: Callable[[], float], floor: Callable[[], float]) -> Comparison:
    mine, theirs = interleave(ours, floor, repeats=bench.pick(31, 11), seconds=bench.seconds / 4)
    return Comparison(
        benchmark="hit",
        case=f"load_prompt, {case}",
        floor_is="self._d[key] in a method",
        unit="ns",
        ours=mine,
        floor=theirs,
        goal=2.5,
    )


def _entries(client: promptwire.Client) -> MutableMapping[str, promptwire.PromptVersion]:
    """What hits read. The client's own business: this breaks when it changes, and should."""
    return client._live.entries


def _fill(client: promptwire.Client, count: int) -> list[str]:
    """Brings the live table to so many entries of one shared value; returns all keys."""
    deadline = time.monotonic() + 10
    while not client.status().fresh:  # before that, its stream may still exchange the table
        if time.monotonic() > deadline:
            raise TimeoutError("the client's stream did not confirm its prompt")
        time.sleep(0.01)
    entries, value = _entries(client), client.load_prompt(REFERENCE)
    entries.update((f"prompts:/agents/{number}@production", value) for number in range(count - len(entries)))
    return list(entries)


def _each(look_up: Callable[[str], object], keys: list[str]) -> Callable[[], float]:
    """Nanoseconds per call of a loop over keys."""

    def measure() -> float:
        began = time.perf_counter_ns()
        for key in keys:
            look_up(key)
        return (time.perf_counter_ns() - began) / len(keys)

    return measure
