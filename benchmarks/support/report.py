"""The rows as a table for people, and as JSON for whoever compares runs."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.support.machine import Facts
from benchmarks.support.sampling import Comparison, quartiles

_STYLES: Final = {"met": "green", "met?": "green", "missed?": "yellow", "missed": "red", "": "dim"}


def table(rows: Iterable[Comparison]) -> Table:
    shown = Table(
        caption="ratio: median and quartiles of the ratios of neighbouring repeats; ?: the goal lies between these"
    )
    shown.caption_justify = "left"
    for heading in ("benchmark", "case", "floor"):
        shown.add_column(heading, overflow="fold")
    for heading in ("ours", "floor", "unit", "ratio", "goal", "verdict"):
        shown.add_column(heading, justify="left" if heading in ("unit", "verdict") else "right", no_wrap=True)
    last = ""
    for row in rows:
        low, high = row.ratio_quartiles
        goal = f"{'>=' if row.more_is_better else '<='} {row.goal:.2f}x" if row.goal is not None else ""
        shown.add_row(
            row.benchmark if row.benchmark != last else "",
            row.case,
            escape(row.floor_is),
            number(statistics.median(row.ours)),
            number(statistics.median(row.floor)),
            row.unit,
            f"{row.ratio:.2f}x ({low:.2f}-{high:.2f})",
            goal,
            f"[{_STYLES[row.verdict]}]{row.verdict}[/]" if row.verdict else "",
        )
        last = row.benchmark
    return shown


def number(value: float) -> str:
    """Three digits or more, as far as they mean something."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def write_json(path: Path, rows: Sequence[Comparison], machine: Facts, settings: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "settings": settings, "comparisons": [_as_json(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def _as_json(row: Comparison) -> dict[str, Any]:
    return {
        "benchmark": row.benchmark,
        "case": row.case,
        "floor_is": row.floor_is,
        "unit": row.unit,
        "repeats": len(row.ours),
        "ours": _side(row.ours),
        "floor": _side(row.floor),
        "ratio": row.ratio,
        "ratio_quartiles": row.ratio_quartiles,
        "goal": row.goal,
        "more_is_better": row.more_is_better,
        "verdict": row.verdict,
        "notes": list(row.notes),
    }


def _side(values: Sequence[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "quartiles": quartiles(values), "values": list(values)}


def show(console: Console, rows: Sequence[Comparison]) -> None:
    console.print(table(rows))
    for row in rows:
        for note in row.notes:
            console.print(f"{row.benchmark}, {row.case}: {note}", style="dim", highlight=False)
