"""The long run: `make faults MINUTES=30 SEED=1`. Rounds of a minute, over all topologies in turn, until time is up.

`make faults KILLS=1000` instead kills service and embedded store with -9, in several setups at a time.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import rounds
from tests.faults.rounds import Result, Round
from tests.faults.setups import TOPOLOGIES

KILLS_A_ROUND = 50
_COUNTED = ("operations", "outcomes", "told", "faults", "excused")


@dataclass(slots=True)
class Total:
    """What all rounds add up to."""

    directory: Path
    seed: int
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in (*_COUNTED, "rounds", "violations", "unfinished")}
    )
    traffic_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, plan: Round) -> None:
        """Runs a round, says what came of it, and adds it up. One that cannot be finished counts as that."""
        try:
            result = rounds.run(plan)
        except Exception:
            traceback.print_exc()
            with self._lock:
                self.counts["unfinished"][plan.topology] += 1
            print(f"{plan.directory.name}, seed {plan.seed}: not finished", flush=True)
            return
        with self._lock:
            self.traffic_seconds += result.seconds
            for name in _COUNTED:
                self.counts[name] += getattr(result, name)
            self.counts["rounds"][plan.topology] += 1
            self.counts["violations"].update(violation.check for violation in result.violations)
            print(f"{plan.directory.name}, seed {plan.seed}: {_brief(result)}", flush=True)
            if result.violations:
                print(rounds.explain(result, plan), flush=True)

    @property
    def checked(self) -> int:
        """Operations, bursts of hits as one, and messages of streams."""
        operations = self.counts["operations"]
        return operations.total() - operations["hits"] + self.counts["told"].total()

    def summarize(self) -> None:
        counts = {name: dict(counter.most_common()) for name, counter in self.counts.items()}
        summary = {"seed": self.seed, "checked": self.checked, "traffic_seconds": round(self.traffic_seconds), **counts}
        path = self.directory / "summary.json"
        path.write_text(json.dumps(summary, indent=1))
        print(
            f"\n{self.checked:,} checked operations and stream messages in {self.traffic_seconds / 60:.1f} minutes of "
            f"traffic, seed {self.seed}"
        )
        for name, some in counts.items():
            print(f"{name}: {', '.join(f'{count:,} {kind}' for kind, count in some.items()) or 'none'}")
        print(f"summary: {path}")


def main() -> int:
    given = _arguments()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="promptwire-faults-"))
    directory.mkdir(parents=True, exist_ok=True)
    total = Total(directory, given.seed)
    try:
        if given.kills:
            with ThreadPoolExecutor(given.parallel) as pool:
                for future in [pool.submit(total.run, plan) for plan in _kills(given.kills, given.seed, directory)]:
                    future.result()
        else:
            until = time.monotonic() + given.minutes * 60
            number = 0
            while time.monotonic() < until:
                topology = given.topologies[number % len(given.topologies)]
                total.run(
                    Round(
                        topology=topology,
                        seed=given.seed + number,
                        seconds=given.round_seconds,
                        directory=directory / f"round-{number}-{topology}",
                        kinds=given.kinds,
                    )
                )
                number += 1
    finally:
        total.summarize()
    return 1 if total.counts["violations"] or total.counts["unfinished"] else 0


def _kills(count: int, seed: int, directory: Path) -> Iterator[Round]:
    for number, done in enumerate(range(0, count, KILLS_A_ROUND)):
        yield Round(
            topology="embedded",
            seed=seed + number,
            kills=min(KILLS_A_ROUND, count - done),
            directory=directory / f"kills-{number}",
            writers=6,
            pause_seconds=0.01,
            readers=2,
            watchers=2,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--kills", type=int, default=0, help="so many kills -9 instead, with --parallel setups at a time"
    )
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--round-seconds", type=float, default=60)
    parser.add_argument("--topologies", nargs="+", default=list(TOPOLOGIES), choices=list(TOPOLOGIES))
    parser.add_argument("--kinds", nargs="*", default=[], help="of faults; all by default")
    parser.add_argument("--directory", type=Path, help="for histories; a new one under the temporary directory")
    return parser.parse_args()


def _brief(result: Result) -> str:
    operations = result.operations.total() - result.operations["hits"]
    return (
        f"{operations:,} operations ({operations / result.seconds:,.0f}/s), {result.told.total():,} told, "
        f"{result.faults.total()} faults, {result.excused.total()} excused, {len(result.violations)} violations"
    )


if __name__ == "__main__":
    sys.exit(main())
