"""Diffs: both sides are in it, words are told apart from lines, and nasty texts take bounded time."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain.alignment import PAUSE_COMPARISONS, Budget, align
from promptwire.domain.diffs import (
    COMPARISONS_MAX,
    LINES_MAX,
    LINES_READ_MAX,
    DiffBounds,
    DiffPart,
    diff_parts,
    parts_of,
)

LETTERS = st.lists(st.sampled_from("abc"), max_size=12)
TEXTS = st.text(st.sampled_from("ab \t\n\r{}é🙂"), max_size=60)


def only(before: str, after: str, context_lines: int = 1_000) -> DiffPart:
    (part,) = diff_parts({"template": before}, {"template": after}, context_lines)
    return part


def lines_of(parts: tuple[DiffPart, ...]) -> int:
    return sum(len(hunk.lines) for part in parts for hunk in part.hunks)


def longest_common(left: list[str], right: list[str]) -> int:
    row = [0] * (len(right) + 1)
    for item in left:
        following = [0]
        for j, other in enumerate(right):
            following.append(max(row[j] + 1 if item == other else 0, row[j + 1], following[-1]))
        row = following
    return row[-1]


@given(LETTERS, LETTERS)
def test_what_is_aligned_is_equal_in_order_and_as_much_as_can_be(left: list[str], right: list[str]) -> None:
    pairs = align(left, right, Budget(10_000))
    assert pairs is not None
    assert all(left[i] == right[j] for i, j in pairs)
    assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))
    assert len(pairs) == longest_common(left, right)


@given(TEXTS, TEXTS)
def test_with_all_lines_around_it_both_sides_can_be_read_back(before: str, after: str) -> None:
    if before == after:
        assert diff_parts({"template": before}, {"template": after}) == ()
        return
    lines = [line for hunk in only(before, after).hunks for line in hunk.lines]
    assert "".join(line.before for line in lines) == before
    assert "".join(line.after for line in lines) == after
    assert [line.before_line for line in lines if line.before_line] == list(
        range(1, before.count("\n") + 1 + bool(before.rpartition("\n")[2]))
    )
    assert [line.after_line for line in lines if line.after_line] == list(
        range(1, after.count("\n") + 1 + bool(after.rpartition("\n")[2]))
    )


def test_words_are_told_apart_within_a_line() -> None:
    part = only("Help {{customer}} with bills.\nBe kind.", "Help {{customer}} with 5G bills.\nBe kind.")
    first, second = part.hunks[0].lines
    assert [(segment.kind, segment.text) for segment in first.segments] == [
        ("equal", "Help {{customer}} with "),
        ("insert", "5G "),
        ("equal", "bills.\n"),
    ]
    assert (second.changed, second.before_line, second.after_line) == (False, 2, 2)


def test_a_line_put_before_one_that_changed_is_not_taken_for_it() -> None:
    part = only("You are an agent for bills.\n", "Be kind.\nYou are an agent for invoices.\n")
    added, changed = part.hunks[0].lines
    assert (added.before_line, added.after_line, added.after) == (None, 1, "Be kind.\n")
    assert (changed.before_line, changed.after_line) == (1, 2)


def test_changed_words_with_a_space_between_are_one_change() -> None:
    part = only("always say good morning to them", "always say nice evening to them")
    kinds = [(segment.kind, segment.text) for segment in part.hunks[0].lines[0].segments]
    assert ("delete", "good morning") in kinds
    assert ("insert", "nice evening") in kinds


def test_lines_that_share_little_are_a_removed_and_an_added_one() -> None:
    lines = only("completely different words here", "nothing of that is kept").hunks[0].lines
    assert [(line.before_line, line.after_line) for line in lines] == [(1, None), (None, 1)]


def test_another_end_of_line_is_a_change() -> None:
    line = only("one\r\n", "one\n").hunks[0].lines[0]
    assert [(segment.kind, segment.text) for segment in line.segments] == [
        ("equal", "one"),
        ("delete", "\r\n"),
        ("insert", "\n"),
    ]


def test_far_changes_are_hunks_of_their_own() -> None:
    before = [f"line {number}\n" for number in range(100)]
    after = list(before)
    after[10], after[90] = "LINE 10\n", "LINE 90\n"
    first, second = only("".join(before), "".join(after), context_lines=2).hunks
    assert [line.before_line for line in first.lines if line.before_line] == [9, 10, 11, 12, 13]
    assert [line.after_line for line in second.lines if line.after_line] == [89, 90, 91, 92, 93]


def test_parts_that_only_one_side_has_are_added_or_removed() -> None:
    parts = diff_parts({"template": "x", "tags.a": "1"}, {"template": "x", "tags.b": "2"})
    assert [(part.name, part.kind) for part in parts] == [("tags.a", "removed"), ("tags.b", "added")]


def test_json_is_compared_as_it_is_best_read() -> None:
    parts = parts_of(
        {
            "text": "Hi",
            "model_config": '{"temperature":0.2,"model":"m"}',
            "messages": '[{"role":"system","content":"Be\\nkind"},{"role":"user","content":[1]}]',
        },
        {"b": "2", "a": "1"},
    )
    assert parts["template"] == "Hi"
    assert parts["model_config"] == '{\n  "model": "m",\n  "temperature": 0.2\n}'
    assert parts["messages[0]"] == "system:\nBe\nkind"
    assert list(parts)[-2:] == ["tags.a", "tags.b"]


def a_million(alphabet: str, seed: int, separator: str = "") -> str:
    return separator.join(random.Random(seed).choices(alphabet, k=(1 << 20) // (1 + len(separator))))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (a_million("ab", 1, "\n"), a_million("ab", 2, "\n")),
        (a_million("ab ", 1), a_million("ab ", 2)),
        ("a\n" * (1 << 19), "b\n" * (1 << 19)),
        (a_million("abc \n", 3), a_million("abc \n", 4)),
        (("x" * 1_000 + "\n") * 1_000, ("x" * 999 + "y\n") * 1_000),
    ],
    ids=["short lines", "one line", "all lines differ", "many words", "long lines"],
)
def test_nasty_texts_of_a_million_bytes_end_and_stay_bounded(before: str, after: str) -> None:
    bounds = DiffBounds()
    (part,) = diff_parts({"template": before}, {"template": after}, 3, bounds)
    assert part.hunks
    assert lines_of((part,)) <= LINES_MAX
    # The last comparison may go past the bound, but by no more than the edits of one round, or one line's words.
    assert min(bounds.lines.left, bounds.words.left) > -100_000
    assert bounds.reading.left >= 0


def test_all_parts_of_a_diff_share_one_bound() -> None:
    before = {f"tags.{number:03}": "a\n" * 49_000 for number in range(100)}
    after = dict.fromkeys(before, "b\n" * 49000)
    bounds = DiffBounds()
    parts = diff_parts(before, after, bounds=bounds)
    assert [(part.name, part.kind) for part in parts] == [(name, "changed") for name in before], (
        "all that differ are told"
    )
    assert lines_of(parts) == LINES_MAX
    whole = [part for part in parts if not part.hunks]
    assert len(whole) >= 98
    assert all(part.cut and not part.by_words for part in whole)
    assert LINES_READ_MAX - bounds.reading.left <= 2 * 49_000, "what is past the bound is not even taken apart"


def test_a_part_that_has_more_lines_than_may_be_read_is_told_as_replaced() -> None:
    (part,) = diff_parts({"template": "\n" * LINES_READ_MAX}, {"template": "\n" * LINES_READ_MAX + "x"})
    assert (part.kind, part.hunks, part.by_words, part.cut) == ("changed", (), False, True)


def test_a_diff_lets_others_in_after_a_bounded_number_of_comparisons() -> None:
    paused = 0

    def pause() -> None:
        nonlocal paused
        paused += 1

    before, after = a_million("ab", 1, "\n")[:20_000], a_million("ab", 2, "\n")[:20_000]
    bounds = DiffBounds(pause)
    diff_parts({"template": before}, {"template": after}, 3, bounds)
    done = 2 * COMPARISONS_MAX - bounds.lines.left - bounds.words.left
    assert paused >= done // (2 * PAUSE_COMPARISONS) > 10


def test_a_diff_that_is_stopped_compares_nothing_more() -> None:
    bounds = DiffBounds()
    bounds.lines.pause = bounds.stop
    before = {"template": a_million("ab", 1, "\n")[:20_000], "tags.a": "1\n"}
    after = {"template": a_million("ab", 2, "\n")[:20_000], "tags.a": "2\n"}
    assert [bool(part.hunks) for part in diff_parts(before, after, bounds=bounds)] == [True, False]


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 3), st.integers(1, 12))
def test_lines_far_from_any_change_make_no_difference(changed: list[bool], context_lines: int, room: int) -> None:
    before = [f"{number}\n" for number in range(len(changed))]
    after = [f"{number}!\n" if new else f"{number}\n" for number, new in enumerate(changed)]
    bounds = DiffBounds()
    bounds.room = room
    parts = diff_parts({"template": "".join(before)}, {"template": "".join(after)}, context_lines, bounds)
    near = {
        number
        for number in range(len(changed))
        if any(changed[max(0, number - context_lines) : number + context_lines + 1])
    }
    shown = [line.before_line - 1 for part in parts for hunk in part.hunks for line in hunk.lines if line.before_line]
    assert shown == sorted(near)[: len(shown)]
    if parts and not parts[0].cut:
        assert len(shown) == len(near)
    assert lines_of(parts) <= room
