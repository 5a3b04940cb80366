"""Characters that nobody sees are found, and those that a language or an emoji needs are left alone."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain.content import Content, warnings_of
from promptwire.domain.hidden_text import COUNT_MAX, EXAMINED_MAX, find_hidden, show_hidden

FLAG_OF_ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    "text",
    [
        "plain, tabs\tand\nlines\r\n",
        "ünï 日本語",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f469\U0001f3fd\u200d\U0001f4bb",
        "\u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3 \u260e\ufe0e",
        FLAG_OF_ENGLAND,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "क्\u200dष ന്\u200d",
        "葛\U000e0100 ≨\ufe00",
    ],
)
def test_what_a_language_or_an_emoji_needs_is_not_hidden(text: str) -> None:
    assert find_hidden(text) is None
    assert show_hidden(text, repr) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\u200bb", "line 1, column 2: U+200B ZERO WIDTH SPACE, which readers do not see"),
        ("\n\n  x\x1b[2J", "line 3, column 4: U+001B CONTROL CHARACTER, which readers do not see"),
        ("hi \U000e0068\U000e0069", "line 1, column 4: U+E0068 TAG LATIN SMALL LETTER H and 1 more,"),
        (FLAG_OF_ENGLAND + "\U000e0068", "line 1, column 8: U+E0068"),
        ("\U0001f3f4" + "\U000e0061" * 30 + "\U000e007f", "U+E0061 TAG LATIN SMALL LETTER A and 30 more"),
        ("😀\ufe0f\ufe01\ufe02", "line 1, column 3: U+FE01 VARIATION SELECTOR-2 and 1 more"),
        ("क्\u200d\u200d", "line 1, column 4: U+200D ZERO WIDTH JOINER"),
        ("word\u200dword", "U+200D ZERO WIDTH JOINER"),
        ("user\u202enimda", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("\ufeffbegin", "line 1, column 1: U+FEFF"),
        ("a\rb", "U+000D"),
        ("\u200b" * 5_000, f"and at least {COUNT_MAX - 1:,} more"),
    ],
)
def test_what_is_hidden_is_named_with_its_place(text: str, says: str) -> None:
    assert says in str(find_hidden(text))


def test_every_control_and_format_character_that_has_no_glyph_is_found() -> None:
    # Arabic, Kaithi and Egyptian format characters are drawn.
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440)}
    every = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cf", "Cc", "Zl", "Zp"))
    missed = [hex(code) for code in every if chr(code) not in "\t\n" and not find_hidden(f"a{chr(code)}b")]
    assert {int(code, 16) for code in missed} == drawn & {int(code, 16) for code in missed}


@given(st.text())
def test_what_is_shown_has_nothing_hidden_and_loses_nothing_else(text: str) -> None:
    shown = show_hidden(text, lambda character: f"<{ord(character):x}>")
    assert find_hidden(shown) is None
    assert (shown == text) == (find_hidden(text) is None)


def test_a_text_full_of_marks_is_examined_in_part() -> None:
    assert find_hidden("क्\u200d" * EXAMINED_MAX + "\u200b") is None
    assert find_hidden("क्\u200d" * (EXAMINED_MAX - 1) + "\u200b") is not None


def test_a_contents_warnings_name_the_field_and_the_first_text() -> None:
    content = Content(
        messages_json='[{"role": "user", "content": "fine"}, {"role": "user", "content": "a\\u200bb"}]',
        model_config_json='{"stop": ["\\u0007"]}',
        response_format_json='{"pro\\u200bperty": 1}',
    )
    assert [(one.field, one.description.partition(" ZERO")[0]) for one in warnings_of(content)] == [
        ("content.response_format_json: the key 'pro\\u200bperty'", "line 1, column 4: U+200B"),
        ("content.model_config_json.stop[0]", "line 1, column 1: U+0007 CONTROL CHARACTER, which readers do not see"),
        ("content.messages_json[1].content", "line 1, column 2: U+200B"),
    ]
    assert warnings_of(Content(text="fine")) == []
