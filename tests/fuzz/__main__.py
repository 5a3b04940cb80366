"""`make fuzz SECONDS=600 SEED=1`: every target in turn until time is up.

What fails is kept in `corpus/`, and the exit code is 1.
"""

import argparse
import hashlib
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import structlog

from tests.fuzz import local
from tests.fuzz.calls import InProcess
from tests.fuzz.faces import Arguments, CommandLine
from tests.fuzz.local import Target
from tests.fuzz.wire import Served, Wire

CORPUS: Final = Path(__file__).parent / "corpus"
_TURN_SECONDS: Final = 5.0
_TURNS: Final = {"wire": 4, "calls": 4}
"""Turns of a round; other targets have one."""


class Run:
    """Inputs and failures, by target."""

    def __init__(self, seed: int, corpus: Path = CORPUS) -> None:
        self.inputs: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._corpus = corpus
        self._told: set[str] = set()

    def attack(self, target: Target, seconds: float, most: int = sys.maxsize) -> None:
        """Runs inputs of one target until the time or their number is over."""
        began = time.monotonic()
        if isinstance(target, Wire):
            count = target.attack(
                self._rng, began + seconds, most, lambda data, error: self.failed(target, data, error)
            )
        else:
            count = 0
            while count < most and time.monotonic() < began + seconds:
                data = target.make(self._rng)
                count += 1
                try:
                    target.run(data)
                except Exception as error:
                    self.failed(target, data, error)
        self.inputs[target.name] += count
        self.seconds[target.name] += time.monotonic() - began  # type: ignore[assignment]

    def failed(self, target: Target, data: bytes, error: BaseException) -> None:
        """Keeps an input, the first of each kind of failure."""
        self.failures[target.name] += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{target.name} {type(error).__name__} {where.filename}:{where.lineno} {str(error)[:60]}"
        if kind in self._told or len(self._told) > 200:
            return
        self._told.add(kind)
        path = self._corpus / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        print(f"FAILED {path.name}: {type(error).__name__}: {str(error)[:1_000]}", flush=True)
        print("".join(traceback.format_exception(error)[-3:])[-3_000:], flush=True)


def opened(stack: ExitStack, only: Collection[str] = ()) -> Iterator[Target]:
    """All targets; a service is started for those that need one, unless only others are wanted."""
    yield from (stack.enter_context(closing(one)) for one in (*local.targets(), InProcess()))
    if not only or {"wire", "cli", "client"}.intersection(only):
        served = stack.enter_context(closing(Served()))
        stack.callback(served.check)
        yield from (stack.enter_context(closing(one(served))) for one in (Wire, CommandLine, Arguments))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", action="append", metavar="TARGET", help="only these targets")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where failing inputs are kept")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    run = Run(given.seed, given.corpus)
    print(f"seed {given.seed}", flush=True)
    with ExitStack() as stack:
        chosen = [one for one in opened(stack, given.only or ()) if not given.only or one.name in given.only]
        until = time.monotonic() + given.seconds
        turn = min(_TURN_SECONDS, given.seconds / sum(_TURNS.get(one.name, 1) for one in chosen))
        while time.monotonic() < until:
            for target in chosen:
                run.attack(target, turn * _TURNS.get(target.name, 1))
    for name, count in sorted(run.inputs.items()):
        rate = count / run.seconds[name]
        print(f"{name:12} {count:>11,} inputs {rate:>9,.0f} a second {run.failures[name]:>6,} failures")
    print(f"{'in all':12} {run.inputs.total():>11,} inputs {'':18} {run.failures.total():>6,} failures")
    return 1 if run.failures.total() else 0


if __name__ == "__main__":
    sys.exit(main())
