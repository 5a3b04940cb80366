"""LIKE: the same as a regular expression, in steps, at a cost that no pattern and no text can raise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire_service.domain.search.like import Pattern, literal_prefix

patterns = st.text("abA%_\\", max_size=12)
short_texts = st.text("abA\n", max_size=20)

MEBIBYTE = 1 << 20
LONG = "a" * MEBIBYTE
UNITS_MAX = 1_500_000
"""For one pattern of up to 10,000 characters and one text of 1 MiB: a third of a second."""
STEP_UNITS_MAX = 20_000


def model(pattern: str, *, ignores_case: bool) -> "re.Pattern[str]":
    expression, characters = "", iter(pattern)
    for character in characters:
        match character:
            case "%":
                expression += ".*"
            case "_":
                expression += "."
            case "\\":
                expression += re.escape(next(characters, "\\"))
            case _:
                expression += re.escape(character)
    return re.compile(expression + r"\Z", re.DOTALL | (re.IGNORECASE if ignores_case else 0))


def cost(pattern: Pattern, text: str) -> tuple[bool, int, int]:
    """Whether a text matches, the work that it took, and the most of it between two pauses."""
    steps, units = pattern.scan(text), []
    while True:
        try:
            units.append(next(steps))
        except StopIteration as end:
            return bool(end.value), sum(units), max(units, default=0)


@given(patterns, short_texts, st.booleans())
def test_it_matches_what_a_regular_expression_does(pattern: str, text: str, ignores_case: bool) -> None:
    expected = model(pattern, ignores_case=ignores_case).match(text) is not None
    assert Pattern(pattern, ignores_case=ignores_case).matches(text) is expected


@given(st.text("ab", min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=3), st.integers(0, 2_000))
def test_a_segment_with_any_characters_is_found_wherever_it_stands(segment: str, gaps: list[int], place: int) -> None:
    with_gaps = "".join("_" if index in gaps else character for index, character in enumerate(segment))
    text = "c" * place + segment + "c" * 5
    for pattern in (f"%{with_gaps}ccccc", f"%c{with_gaps}%", f"%{with_gaps}d%", f"%{with_gaps}%c_c"):
        assert Pattern(pattern).matches(text) is (model(pattern, ignores_case=False).match(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("ä%", "Äther"),
        ("%ΟΔΟΣ", "οδος"),
        ("K%", "\u212aelvin"),
        ("i%", "\u0130stanbul"),
        ("%\u0130_tanbul", "istanbul"),
    ],
)
def test_case_is_ignored_character_by_character(pattern: str, text: str) -> None:
    assert Pattern(pattern, ignores_case=True).matches(text)
    assert not Pattern(pattern).matches(text)


def test_more_characters_than_a_byte_can_tell_apart_are_told_apart() -> None:
    characters = [chr(0x4E00 + number) for number in range(600)]
    text = "x" * 300 + "-".join(characters)
    assert Pattern("%" + "_".join(characters)).matches(text)
    assert not Pattern("%" + "_".join([*characters[:-1], "y"])).matches(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "%_" + "a" * 4_000 + "b%",
        "%" + "a_" * 4_900 + "b%",
        "%" + "a_" * 1_000 + "b%" + "a_" * 1_000 + "b%",
        "%a_a" * 2_400 + "%b%",
        "%" + "a" * 2_000 + "b" + "a" * 2_000 + "%",
        "%_a" + "_".join(chr(0x4E00 + number) for number in range(4_000)) + "%",
        "%" * 9_000 + "b",
    ],
    ids=["one run", "alternating", "two alternating", "many short", "in the middle", "all different", "only percents"],
)
@pytest.mark.parametrize("ignores_case", [False, True])
def test_no_pattern_takes_more_than_a_bounded_number_of_steps_of_a_bounded_size(
    pattern: str, ignores_case: bool
) -> None:
    matched, units, largest = cost(Pattern(pattern, ignores_case=ignores_case), LONG)
    assert not matched
    assert units <= UNITS_MAX
    assert largest <= STEP_UNITS_MAX


def test_the_cost_of_a_pattern_grows_with_the_text_and_no_faster() -> None:
    pattern = Pattern("%" + "a_" * 200 + "b%")
    half, whole = cost(pattern, LONG[: MEBIBYTE // 2])[1], cost(pattern, LONG)[1]
    assert whole < 2.2 * half


@given(patterns, short_texts)
def test_what_matches_begins_with_the_literal_prefix(pattern: str, text: str) -> None:
    prefix, is_all = literal_prefix(pattern)
    if Pattern(pattern).matches(text):
        assert text.startswith(prefix)
    assert not is_all or Pattern(pattern).matches(text) is (text == prefix)
