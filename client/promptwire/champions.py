"""Which of several versions is best by a metric, and whether that is more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from promptwire.errors import PromptwireError
from promptwire.values import MetricSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The best candidate against one of the others, by Welch's t test on their means."""

    version: int
    """The other one."""
    difference: float
    """The best one's mean less the other's."""
    confidence: tuple[float, float]
    """Interval of the difference, at the confidence that was asked for, less what several comparisons cost."""
    effect_size: float
    """Hedges' g: the difference in pooled standard deviations."""
    t: float
    degrees_of_freedom: float
    p: float
    """Two-sided, adjusted for several comparisons (Holm)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """What a comparison of candidates found."""

    name: str
    metric: str
    version: int | None
    """The winner; None when there is none."""
    why: str
    candidates: tuple[MetricSummary, ...]
    """Best mean first."""
    comparisons: tuple[Comparison, ...]


def choose(
    name: str,
    metric: str,
    summaries: Sequence[MetricSummary],
    *,
    minimize: bool,
    alpha: float,
    min_samples: int,
    min_effect: float,
) -> Champion:
    """The candidate with the best mean, if it beats every other one: p at most alpha, and the effect at least
    `min_effect`. Needs scipy (`promptwire[experiments]`).
    """
    ranked = tuple(sorted(summaries, key=lambda one: one.mean if minimize else -one.mean))
    few = [one for one in ranked if one.count < max(2, min_samples)]
    if few:
        missing = ", ".join(f"version {one.version} has {one.count}" for one in few)
        return _none(name, metric, ranked, (), f"{max(2, min_samples)} observations are needed of each: {missing}")
    best, *others = ranked
    comparisons = _compared(best, others, alpha)
    unsure = next((one for one in comparisons if one.p > alpha), None)
    if unsure:
        why = f"version {best.version} is not surely better than version {unsure.version}: p = {unsure.p:.3g}"
        return _none(name, metric, ranked, comparisons, why)
    small = next((one for one in comparisons if abs(one.effect_size) < min_effect), None)
    if small:
        why = (
            f"version {best.version} is better than version {small.version} by too little: g = {small.effect_size:.2g}"
        )
        return _none(name, metric, ranked, comparisons, why)
    least = "lowest" if minimize else "highest"
    worst_p = max((one.p for one in comparisons), default=0.0)
    why = f"version {best.version} has the {least} mean {metric}, {best.mean:.4g}; p <= {max(worst_p, 1e-12):.2g}"
    return Champion(
        name=name,
        metric=metric,
        version=best.version,
        why=why,
        candidates=ranked,
        comparisons=comparisons,
    )


def no_observations(name: str, version: int, metric: str) -> MetricSummary:
    nothing = math.nan
    return MetricSummary(
        name=name,
        version=version,
        metric=metric,
        count=0,
        mean=nothing,
        std=nothing,
        min=nothing,
        max=nothing,
        p50=nothing,
        p95=nothing,
        p99=nothing,
    )


def _none(
    name: str, metric: str, ranked: tuple[MetricSummary, ...], comparisons: tuple[Comparison, ...], why: str
) -> Champion:
    return Champion(name=name, metric=metric, version=None, why=why, candidates=ranked, comparisons=comparisons)


def _compared(best: MetricSummary, others: Sequence[MetricSummary], alpha: float) -> tuple[Comparison, ...]:
    try:
        from scipy import stats
    except ModuleNotFoundError as missing:
        raise PromptwireError(
            "choosing a champion needs scipy: pip install 'promptwire[experiments]'", "MISSING_DEPENDENCY"
        ) from missing
    found = []
    for other in others:
        t, df, error = _welch(best, other)
        p = float(2.0 * stats.t.sf(abs(t), df)) if math.isfinite(t) else 0.0
        half = float(stats.t.ppf(1.0 - alpha / (2.0 * len(others)), df)) * error if error else 0.0
        found.append((other, t, df, p, half))
    adjusted = _holm([p for _, _, _, p, _ in found])
    return tuple(
        Comparison(
            version=other.version,
            difference=best.mean - other.mean,
            confidence=(best.mean - other.mean - half, best.mean - other.mean + half),
            effect_size=_hedges(best, other),
            t=t,
            degrees_of_freedom=df,
            p=p,
        )
        for (other, t, df, _, half), p in zip(found, adjusted, strict=True)
    )


def _welch(one: MetricSummary, other: MetricSummary) -> tuple[float, float, float]:
    """t, degrees of freedom (Welch-Satterthwaite), and the standard error of the difference."""
    a, b = one.std**2 / one.count, other.std**2 / other.count
    difference = one.mean - other.mean
    if a + b == 0.0:
        return (math.copysign(math.inf, difference) if difference else 0.0), float(one.count + other.count - 2), 0.0
    df = (a + b) ** 2 / (a**2 / (one.count - 1) + b**2 / (other.count - 1))
    return difference / math.sqrt(a + b), df, math.sqrt(a + b)


def _hedges(one: MetricSummary, other: MetricSummary) -> float:
    df = one.count + other.count - 2
    pooled = math.sqrt(((one.count - 1) * one.std**2 + (other.count - 1) * other.std**2) / df)
    difference = one.mean - other.mean
    if pooled == 0.0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / pooled * (1.0 - 3.0 / (4.0 * df - 1.0))


def _holm(values: Sequence[float]) -> list[float]:
    """Each times how many are left from it on, in ascending order, never less than the one before."""
    adjusted = [0.0] * len(values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = min(1.0, max(least, values[index] * (len(values) - rank)))
        adjusted[index] = least
    return adjusted
