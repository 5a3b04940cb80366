"""Values in tables: in words for people, exact for programs."""

import pytest

from promptwire.cli.cells import Cell, Size, When, age, for_people, for_programs, iso, size

NOW = 1_795_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("ago_ms", "said"),
    [
        (0, "just now"),
        (-5 * HOUR, "just now"),
        (1_999, "1 s ago"),
        (5 * MINUTE, "5 min ago"),
        (3 * HOUR + 59 * MINUTE, "3 h ago"),
        (DAY, "1 day ago"),
        (29 * DAY, "29 days ago"),
    ],
)
def test_ages_have_one_unit_and_are_never_negative(ago_ms: int, said: str) -> None:
    assert age(NOW - ago_ms, NOW) == said


def test_what_is_long_ago_is_a_date() -> None:
    assert age(NOW - 400 * DAY, NOW) == "2025-10-14"


def test_a_time_for_programs_is_utc_with_milliseconds() -> None:
    assert iso(NOW + 123) == "2026-11-18T11:06:40.123Z"
    assert iso(1 << 62) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1_023, "1023 B"), (1_024, "1 KiB"), (1_536, "1.5 KiB"), (256 << 20, "256 MiB")]
)
def test_sizes_have_binary_units(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("cell", "people", "programs"),
    [
        (None, "-", ""),
        ("", "-", ""),
        ((), "-", ""),
        ({}, "-", ""),
        (When(None), "-", ""),
        (True, "yes", "yes"),
        (12_345, "12345", "12345"),
        (Size(1_536), "1.5 KiB", "1536"),
        (["a", "b"], "a, b", "a,b"),
        ({"k": "v", "l": "w"}, "k=v, l=w", "k=v,l=w"),
        ("a\tb\nc", r"a\tb\nc", r"a\tb\nc"),
        (["a\x1b"], r"a\x1b", r"a\x1b"),
        ({"k": "a\tb"}, r"k=a\tb", r"k=a\tb"),
    ],
)
def test_a_cell_is_one_line_for_people_and_for_programs(cell: Cell, people: str, programs: str) -> None:
    assert for_people(cell, NOW) == people
    assert for_programs(cell) == programs
