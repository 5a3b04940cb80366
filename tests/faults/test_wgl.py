"""The linearizability checker, on histories known to be good or bad, and against one that tries every order."""

import itertools
import math
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.checkers.wgl import Call, linearizable


def write(start: float, end: float, value: int, previous: int | None = None) -> Call[int]:
    return Call(start, end, lambda state: value if previous in (None, state) else None, what=("write", value))


def read(start: float, end: float, value: int) -> Call[int]:
    return Call(start, end, lambda state: state if state == value else None, changes=False, what=("read", value))


def fits(*calls: Call[int]) -> bool:
    return linearizable(calls, 0)[0]


def test_an_empty_history_fits() -> None:
    assert fits()


def test_a_read_sees_the_write_before_it() -> None:
    assert fits(write(0, 1, 1), read(2, 3, 1))
    assert not fits(write(0, 1, 1), read(2, 3, 0))


def test_a_read_during_a_write_sees_either_value() -> None:
    assert fits(write(0, 10, 1), read(2, 3, 0))
    assert fits(write(0, 10, 1), read(2, 3, 1))
    assert fits(write(0, 10, 1), read(2, 3, 0), read(4, 5, 1))


def test_reads_do_not_go_back() -> None:
    assert not fits(write(0, 10, 1), read(2, 3, 1), read(4, 5, 0))


def test_two_compare_and_sets_from_one_value_do_not_both_succeed() -> None:
    assert not fits(write(0, 10, 1, previous=0), write(0, 10, 2, previous=0))
    assert fits(write(0, 10, 1, previous=0), write(0, 10, 2, previous=1))


def test_a_write_in_doubt_may_happen_late_or_never() -> None:
    assert fits(write(0, math.inf, 1), read(5, 6, 0), read(100, 101, 1))
    assert fits(write(0, math.inf, 1), read(5, 6, 0), read(100, 101, 0))
    assert not fits(write(0, math.inf, 1), read(5, 6, 1), read(100, 101, 0))
    assert not fits(write(10, math.inf, 1), read(5, 6, 1))


def test_what_stands_in_the_way_is_told() -> None:
    good, longest = linearizable([write(0, 1, 1), read(2, 3, 1), read(4, 5, 0)], 0)
    assert not good
    assert [call.what for call in longest] == [("write", 1), ("read", 1)]


def test_thousands_of_overlapping_operations_are_checked() -> None:
    draw = random.Random(1)
    calls = sequential(draw, 6_000, overlap=8)
    assert fits(*calls)
    victim = next(index for index in range(3_000, 6_000) if not calls[index].changes)
    calls[victim] = read(calls[victim].start, calls[victim].end, -1)
    assert not fits(*calls)


def sequential(draw: random.Random, count: int, overlap: float, in_doubt: float = 0.0) -> list[Call[int]]:
    """Operations that did happen one after the other, each seen from a random while before to a random while after."""
    calls, value = [], 0
    for point in range(count):
        start, end = point - draw.uniform(0, overlap), point + draw.uniform(0, overlap)
        if draw.random() < 0.5:
            previous, value = value, draw.randrange(1, 4)
            call = write(start, end, value, previous)
            if draw.random() < in_doubt:
                call = replace(call, end=math.inf)
            calls.append(call)
        else:
            calls.append(read(start, end, value))
    return calls


@given(seed=st.integers(), count=st.integers(0, 60), overlap=st.sampled_from([0.4, 2, 6]))
@settings(max_examples=100, deadline=None)
def test_what_came_from_a_sequence_is_accepted(seed: int, count: int, overlap: float) -> None:
    assert fits(*sequential(random.Random(seed), count, overlap, in_doubt=0.1))


@given(seed=st.integers(), count=st.integers(1, 6), overlap=st.sampled_from([0.4, 1.5, 3]))
@settings(max_examples=200, deadline=None)
def test_a_corrupted_answer_is_refused_unless_some_order_explains_it(seed: int, count: int, overlap: float) -> None:
    draw = random.Random(seed)
    calls = sequential(draw, count, overlap, in_doubt=0.2)
    victim = draw.randrange(count)
    start, end = calls[victim].start, calls[victim].end
    calls[victim] = read(start, end if end < math.inf else start + 1, draw.randrange(4))
    assert fits(*calls) == by_brute_force(calls)


def by_brute_force(calls: list[Call[int]]) -> bool:
    """Tries every order of every choice of those in doubt."""
    required = [call for call in calls if not call.optional]
    optional = [call for call in calls if call.optional]
    for size in range(len(optional) + 1):
        for some in itertools.combinations(optional, size):
            if any(_explains(order) for order in itertools.permutations([*required, *some])):
                return True
    return False


def _explains(order: tuple[Call[int], ...]) -> bool:
    state = 0
    for index, call in enumerate(order):
        after = call.step(state)
        if after is None or any(later.end < call.start for later in order[index + 1 :]):
            return False
        state = after
    return True
