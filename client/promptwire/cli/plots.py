"""Metrics drawn into a picture. Needs matplotlib (`promptwire[experiments]`)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from promptwire.cli.failures import UsageError

if TYPE_CHECKING:
    from promptwire.values import MetricSummary


def draw(file: str, name: str, summaries: Sequence["MetricSummary"], metric: str, against: str | None) -> None:
    """A metric's mean by version, or against another one's, with intervals of 95 %. Raises UsageError."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise UsageError("--plot needs matplotlib: pip install 'promptwire[experiments]'") from error
    drawn = {one.version: one for one in summaries if one.metric == metric}
    other = {one.version: one for one in summaries if one.metric == against}
    versions = sorted(drawn.keys() & other.keys() if against else drawn.keys())
    if not versions:
        raise UsageError(f"nothing was observed to draw of {metric}{f' and {against}' if against else ''}")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    heights, errors = [drawn[one].mean for one in versions], [_half_interval(drawn[one]) for one in versions]
    if against:
        places, widths = [other[one].mean for one in versions], [_half_interval(other[one]) for one in versions]
        axes.errorbar(places, heights, yerr=errors, xerr=widths, fmt="o", capsize=4)
        for version, place, height in zip(versions, places, heights, strict=True):
            axes.annotate(f" {version}", (place, height))
        axes.set_xlabel(against)
    else:
        axes.errorbar(range(len(versions)), heights, yerr=errors, fmt="o-", capsize=4)
        axes.set_xticks(range(len(versions)), [str(one) for one in versions])
        axes.set_xlabel("version")
    axes.set_ylabel(metric)
    axes.set_title(f"{name}: means with intervals of 95 %")
    axes.grid(alpha=0.3)
    try:
        figure.savefig(file, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error


def _half_interval(summary: "MetricSummary") -> float:
    """By the normal distribution: good enough for a picture."""
    return 1.96 * summary.std / math.sqrt(summary.count)
