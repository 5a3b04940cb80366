"""Summaries of numbers: as good as the numbers themselves, but for 1 % in quantiles, however they were added up."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire_service.domain.sketch import RELATIVE_ERROR, SMALLEST, Sketch
from tests.support.sketches import merged

sizes = st.floats(1e-8, 1e14)
numbers = st.lists(sizes | sizes.map(lambda value: -value) | st.just(0.0), min_size=1, max_size=60)


def sketch(values: list[float]) -> Sketch:
    made = Sketch()
    for value in values:
        made.add(value)
    return made


@given(numbers, st.sampled_from([0.0, 0.25, 0.5, 0.95, 0.99, 1.0]))
def test_quantiles_are_within_one_percent_of_a_value_that_has_the_rank(values: list[float], fraction: float) -> None:
    exact = sorted(values)[math.floor(fraction * (len(values) - 1))]
    found = sketch(values).quantile(fraction)
    assert abs(found - exact) <= RELATIVE_ERROR * abs(exact) * (1 + 1e-9) + SMALLEST


@given(st.lists(numbers, min_size=1, max_size=5))
def test_parts_add_up_to_the_whole(parts: list[list[float]]) -> None:
    whole, values = merged(sketch(part) for part in parts), [value for part in parts for value in part]
    assert whole.count == len(values)
    assert (whole.least, whole.greatest) == (min(values), max(values))
    assert whole.buckets == sketch(values).buckets
    scale = max(map(abs, values)) or 1.0
    assert whole.mean == pytest.approx(statistics.fmean(values), abs=1e-9 * scale)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    assert whole.standard_deviation == pytest.approx(spread, rel=1e-6, abs=1e-6 * scale)


def test_extreme_and_empty_ones() -> None:
    assert math.isnan(Sketch().quantile(0.5))
    assert sketch([1e300]).quantile(0.5) == 1e300
    assert sketch([1e-300, -1e-300]).quantile(0.5) == pytest.approx(0.0, abs=1e-9)
    assert len(sketch([10.0**power for power in range(-300, 300)]).buckets) < 60
