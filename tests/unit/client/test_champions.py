"""Champions by Welch's test, against scipy's own."""

import random
import sys

import pytest
from scipy import stats

from promptwire import PromptwireError
from promptwire.champions import choose
from promptwire.values import MetricSummary


def summary(version: int, mean: float, std: float, count: int) -> MetricSummary:
    return MetricSummary(
        name="p",
        version=version,
        metric="m",
        count=count,
        mean=mean,
        std=std,
        min=mean,
        max=mean,
        p50=mean,
        p95=mean,
        p99=mean,
    )


def test_t_and_p_are_scipys() -> None:
    draws = random.Random(3)
    for _ in range(50):
        one = summary(1, draws.gauss(0, 1), draws.uniform(0.1, 2), draws.randrange(2, 99))
        other = summary(2, draws.gauss(0, 1), draws.uniform(0.1, 2), draws.randrange(2, 99))
        chosen = choose("p", "m", [one, other], minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
        best, worse = chosen.candidates
        wanted = stats.ttest_ind_from_stats(
            best.mean, best.std, best.count, worse.mean, worse.std, worse.count, equal_var=False
        )
        (found,) = chosen.comparisons
        assert (found.t, found.p) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))
        assert (chosen.version is not None) == (wanted.pvalue <= 0.05)
        assert (found.confidence[0] > 0) == (wanted.pvalue < 0.05)


def test_several_comparisons_cost_something() -> None:
    candidates = [summary(1, 1.0, 1.0, 50), summary(2, 0.55, 1.0, 50), summary(3, 0.5, 1.0, 50)]
    two = choose("p", "m", candidates[:2], minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
    three = choose("p", "m", candidates, minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
    assert two.version == three.version == 1
    assert [one.version for one in three.comparisons] == [2, 3]
    third = choose("p", "m", [candidates[0], candidates[2]], minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
    # Holm: the smallest is doubled, the other one is not less than that.
    assert three.comparisons[1].p == pytest.approx(2 * third.comparisons[0].p)
    assert three.comparisons[0].p == pytest.approx(max(2 * third.comparisons[0].p, two.comparisons[0].p))


@pytest.mark.parametrize(("mean", "winner"), [(1.0, None), (0.5, 1)])
def test_values_that_do_not_vary_are_equal_or_surely_not(mean: float, winner: int | None) -> None:
    candidates = [summary(1, 1.0, 0.0, 5), summary(2, mean, 0.0, 5)]
    chosen = choose("p", "m", candidates, minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
    assert chosen.version == winner


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    candidates = [summary(1, 1.0, 1.0, 50), summary(2, 0.5, 1.0, 50)]
    with pytest.raises(PromptwireError, match=r"promptwire\[experiments\]"):
        choose("p", "m", candidates, minimize=False, alpha=0.05, min_samples=2, min_effect=0.0)
