"""The long run: `make faults MINUTES=30 SEED=1`. Rounds of a minute, over all topologies in turn, until time is up."""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import rounds
from tests.faults.topology import TOPOLOGIES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--round-seconds", type=float, default=60)
    parser.add_argument("--topologies", nargs="+", default=list(TOPOLOGIES), choices=list(TOPOLOGIES))
    parser.add_argument("--kinds", nargs="*", default=[], help="of faults; all by default")
    parser.add_argument("--directory", type=Path, help="for histories; a new one under the temporary directory")
    given = parser.parse_args()
    directory = given.directory or Path(tempfile.mkdtemp(prefix="promptwire-faults-"))
    directory.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + given.minutes * 60
    total: dict[str, Counter[str]] = {"operations": Counter(), "outcomes": Counter(), "told": Counter()}
    total |= {"faults": Counter(), "rounds": Counter(), "violations": Counter()}
    traffic_seconds, number = 0.0, 0
    while time.monotonic() < until:
        topology = given.topologies[number % len(given.topologies)]
        seed, home = given.seed + number, directory / f"round-{number}-{topology}"
        plan = rounds.Round(
            topology=topology, seed=seed, seconds=given.round_seconds, directory=home, kinds=given.kinds
        )
        result = rounds.run(plan)
        traffic_seconds += result.seconds
        for name in ("operations", "outcomes", "told", "faults"):
            total[name] += getattr(result, name)
        total["rounds"][topology] += 1
        total["violations"].update(violation.check for violation in result.violations)
        print(f"round {number} ({topology}, seed {seed}): {_brief(result)}", flush=True)
        if result.violations:
            command = f"make faults MINUTES=1 SEED={seed} ARGS='--topologies {topology}'"
            print(rounds.keep(result, home, command), flush=True)
        number += 1
    summary = {name: dict(counter.most_common()) for name, counter in total.items()}
    checked = sum(total["operations"].values()) - total["operations"]["hits"] + sum(total["told"].values())
    text = json.dumps({"seed": given.seed, "checked": checked, "traffic_seconds": round(traffic_seconds), **summary})
    (directory / "summary.json").write_text(text)
    _print(summary, checked, traffic_seconds, directory)
    return 1 if total["violations"] else 0


def _brief(result: rounds.Result) -> str:
    operations = sum(result.operations.values()) - result.operations["hits"]
    rate = operations / result.seconds
    return (
        f"{operations:,} operations ({rate:,.0f}/s), {sum(result.told.values()):,} told, "
        f"{sum(result.faults.values())} faults, {len(result.violations)} violations"
    )


def _print(summary: dict[str, dict[str, int]], checked: int, seconds: float, directory: Path) -> None:
    print(f"\n{checked:,} checked operations and stream messages in {seconds / 60:.1f} minutes of traffic")
    for name, counts in summary.items():
        print(f"{name}: {', '.join(f'{count:,} {kind}' for kind, count in counts.items()) or 'none'}")
    print(f"summary: {directory / 'summary.json'}")


if __name__ == "__main__":
    sys.exit(main())
