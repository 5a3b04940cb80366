"""Splits: the same key gets the same version, shares are what they say, and few keys move."""

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptwire.domain.splits import BUCKETS, Split, bucket_of, check_weights, reweighted

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "splits-vectors.json").read_text())

weights = st.dictionaries(
    st.integers(1, 6), st.floats(0, 1e6, allow_nan=False) | st.integers(0, 100), min_size=1, max_size=6
).filter(lambda found: sum(found.values()) > 0)


def owners(split: Split) -> list[int]:
    return [split.version_in(bucket) for bucket in range(BUCKETS)]


def test_buckets_are_those_that_are_published() -> None:
    for one in VECTORS["buckets"]:
        assert bucket_of(one["alias"], one["salt"], one["key"]) == one["bucket"]


def test_sequences_of_weights_lead_to_the_segments_that_are_published() -> None:
    for sequence in VECTORS["sequences"]:
        target = sequence["before"]
        for step in sequence["steps"]:
            given_weights = {int(version): weight for version, weight in step["weights"].items()}
            target = reweighted(target, given_weights, "salt")
            assert [list(segment) for segment in target.segments] == step["segments"]
            for key, version in step["versions"].items():
                assert target.version_for("production", key) == version


@settings(deadline=None, max_examples=60)
@given(before=weights, after=weights)
def test_buckets_move_only_from_who_shrinks_to_who_grows_and_no_more_than_that(
    before: dict[int, float], after: dict[int, float]
) -> None:
    first = reweighted(0, before, "s")
    second = reweighted(first, after, "s")
    had, has = first.weights(), second.weights()
    assert sum(has.values()) == BUCKETS
    moved = [(old, new) for old, new in zip(owners(first), owners(second), strict=True) if old != new]
    for old, new in set(moved):
        assert has.get(old, 0) < had[old]
        assert has[new] > had.get(new, 0)
    assert len(moved) == sum(max(0, buckets - has.get(version, 0)) for version, buckets in had.items())


@settings(deadline=None, max_examples=60)
@given(given_weights=weights)
def test_shares_are_right_to_a_bucket_and_none_is_lost(given_weights: dict[int, float]) -> None:
    split = reweighted(0, given_weights, "s")
    total = sum(given_weights.values())
    for version, weight in given_weights.items():
        buckets = split.weights().get(version, 0)
        assert (buckets > 0) == (weight > 0)
        # A share too small for a bucket has one all the same, which others have less then.
        assert abs(buckets - weight * BUCKETS / total) <= len(given_weights)
    ends = [0, *(end for end, _ in split.segments)]
    assert ends[-1] == BUCKETS
    assert all(begin < end for begin, end in pairwise(ends))
    assert all(one != other for (_, one), (_, other) in pairwise(split.segments))


def test_a_plain_version_before_keeps_all_keys_that_its_share_allows() -> None:
    split = reweighted(3, {3: 90, 4: 10}, "s")
    assert split.segments == ((9_000, 3), (10_000, 4))
    assert reweighted(split, {4: 1}, "s").segments == ((10_000, 4),)


def test_a_million_keys_are_spread_by_the_weights() -> None:
    split = reweighted(0, {1: 70, 2: 20, 3: 9.9, 4: 0.1}, "2026")
    keys = 1_000_000
    counts = Counter(split.version_for("production", f"user-{number}") for number in range(keys))
    expected = {version: keys * buckets / BUCKETS for version, buckets in split.weights().items()}
    chi_squared = sum((counts[version] - wanted) ** 2 / wanted for version, wanted in expected.items())
    # 3 degrees of freedom: past 16.27 once in a thousand. The keys are always the same, so this always comes out alike.
    assert chi_squared < 16.27


def test_another_salt_or_alias_spreads_keys_anew() -> None:
    keys = [f"user-{number}" for number in range(4_000)]
    half = reweighted(0, {1: 1, 2: 1}, "one")
    other = Split("two", half.segments)
    same_salt = sum(half.version_for("a", key) == other.version_for("a", key) for key in keys)
    same_alias = sum(half.version_for("a", key) == half.version_for("b", key) for key in keys)
    assert 1_800 < same_salt < 2_200
    assert 1_800 < same_alias < 2_200


def test_without_a_key_each_draw_is_by_the_weights() -> None:
    random.seed(7)
    split = reweighted(0, {1: 90, 2: 10}, "s")
    counts = Counter(split.drawn() for _ in range(20_000))
    assert 1_800 < counts[2] < 2_200


@pytest.mark.parametrize(
    "wrong", [{}, {1: 0}, {1: -1}, {1: float("nan")}, {1: float("inf")}, dict.fromkeys(range(1, 102), 1.0), {1: 1e13}]
)
def test_weights_that_make_no_sense_are_refused(wrong: dict[int, float]) -> None:
    assert check_weights(wrong) is not None
