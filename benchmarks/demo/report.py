"""What the demo shows: lines as it goes, a table at the end, and the same as JSON."""

import json
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import promptwire
from benchmarks.demo.prompts import short
from benchmarks.demo.run import Flip, Outcome, Plan, Seen, pace_text


class Screen:
    """A line for each thing that happens, and under them, on a terminal, a bar."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self.progress.add_task("starting the service", total=plan.flips)

    def serving(self, greeting: str) -> None:
        self._say(greeting, "bold")
        self.progress.update(self._task, description="registering")

    def registered(self, version: promptwire.PromptVersion) -> None:
        tags = ", ".join(f"{key} {value}" for key, value in version.tags.items())
        self._say(f"registered {version.name} version {version.version} ({tags}): {version.commit_message}", "dim")
        self.progress.update(self._task, description="starting agents")

    def agents_ready(self, count: int) -> None:
        self._say(f"{count} agents have loaded @production of all prompts and go on loading")
        self.progress.update(self._task, description="flips")

    def flipped(self, flip: Flip) -> None:
        move = flip.move
        missing = flip.arrivals_ms.count(None)
        seen = f"last agent {max(flip.arrived):.1f} ms later" if flip.arrived else "seen by no agent"
        missed = f", {missing} missed it" if missing else ""
        self._say(
            f"{move.what:<9} {short(move.name):<9} {flip.previous} > {move.version}   "
            f"acknowledged in {flip.took_ms:4.1f} ms, {seen}{missed}   ({move.reason})",
            "green" if move.what == "promote" else "yellow",
        )
        self.progress.advance(self._task)

    def _say(self, line: str, style: str = "") -> None:
        self.progress.console.print(line, style=style, highlight=False, soft_wrap=True)


def show(console: Console, outcome: Outcome) -> None:
    console.print(_table(outcome))
    console.print(pace_text(outcome.plan), style="dim", highlight=False)
    early = sum(delay < 0 for flip in outcome.flips for delay in flip.arrived)
    if early:
        console.print(
            f"{early} times an agent returned the new version before the acknowledgement was back at the publisher: "
            "below 0 ms.",
            style="dim",
            highlight=False,
        )
    for fault in outcome.faults:
        console.print(fault, style="red", highlight=False)
    flips = len(outcome.flips)
    if outcome.faults:
        console.print(f"Not every agent saw all {flips} flips in order and in time.", style="bold red", highlight=False)
    else:
        console.print(
            f"All {len(outcome.agents)} agents saw every flip, {flips} of {flips}, in order; none went back.",
            style="bold green",
            highlight=False,
        )


def _table(outcome: Outcome) -> Table:
    table = Table(title="What each agent saw of @production")
    table.add_column("agent", justify="right")
    table.add_column("versions, in order", overflow="fold")
    for heading in ("flips", "visible after ack\nmedian", "\nmax", "a hit", "hits"):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, seen in enumerate(outcome.agents):
        delays = delays_ms(outcome, index)
        table.add_row(
            str(index + 1),
            _sequences(seen),
            str(len(delays)),
            f"{statistics.median(delays):.1f} ms" if delays else "-",
            f"{max(delays):.1f} ms" if delays else "-",
            f"{seen.ns_per_hit:.0f} ns",
            f"{seen.hits:,}",
            end_section=True,
        )
    return table


def _sequences(seen: Seen) -> str:
    rows = ((reference.removeprefix("prompts:/").partition("@")[0], row) for reference, row in seen.versions.items())
    return "\n".join(f"{short(name):<9} {' > '.join(map(str, versions))}" for name, versions in rows)


def delays_ms(outcome: Outcome, agent: int) -> list[float]:
    """From each acknowledged flip until this agent returned the new version."""
    return [delay for flip in outcome.flips if (delay := flip.arrivals_ms[agent]) is not None]


def write_json(path: Path, outcome: Outcome) -> None:
    content: dict[str, Any] = {
        "service": outcome.greeting,
        "all_in_order": not outcome.faults,
        "faults": outcome.faults,
        "expected": outcome.expected,
        "flips": [
            {
                "name": flip.move.name,
                "version": flip.move.version,
                "previous": flip.previous,
                "what": flip.move.what,
                "took_ms": flip.took_ms,
                "arrivals_ms": flip.arrivals_ms,
            }
            for flip in outcome.flips
        ],
        "agents": [
            {
                "saw": seen.versions,
                "delays_ms": delays_ms(outcome, index),
                "hits": seen.hits,
                "ns_per_hit": seen.ns_per_hit,
            }
            for index, seen in enumerate(outcome.agents)
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
