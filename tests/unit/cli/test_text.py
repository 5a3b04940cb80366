"""Other people's text on a terminal, and in JSON."""

import json

import pytest

from promptwire.cli.text import json_text, safe_block, safe_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 日本語, 👩‍💻", "plain, ünïcode, 日本語, 👩‍💻"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m", r"\u009b31m"),
        ("\x00\x08\x7f", r"\x00\x08\x7f"),
        ("user\u202enimda", r"user\u202enimda"),
        ("one\u2028two", r"one\u2028two"),
        ("lone \ud800", r"lone \ud800"),
        ("[red]not markup[/]", "[red]not markup[/]"),
    ],
)
def test_what_could_drive_a_terminal_becomes_visible_and_the_rest_stays(text: str, shown: str) -> None:
    assert safe_line(text) == shown
    assert safe_block(text) == shown


def test_a_block_keeps_its_lines_and_tabs_but_no_carriage_return_that_would_overwrite_one() -> None:
    assert safe_block("a\tb\nc\r\nd\re") == "a\tb\nc\r\nd\\re"


def test_a_line_stays_one_line() -> None:
    assert safe_line("a\tb\nc\rd") == r"a\tb\nc\rd"


def test_json_says_the_same_and_escapes_what_could_drive_a_terminal() -> None:
    value = {"template": "ünï \x1b[0m \x9b \x7f \u202e \ud800 \n\t\\"}
    written = json_text(value)
    assert json.loads(written) == value
    assert "ünï" in written
    assert not set(written) & set("\x1b\x9b\x7f\u202e\ud800")
