"""`promptwire diff` on a terminal, and the bars of long work."""

import io
import json
import sys
from typing import Any

import pytest

from promptwire.cli.progress import bar
from promptwire.diffs import DiffSide, PromptDiff
from promptwire.domain.diffs import diff_parts
from tests.unit.cli.conftest import NOW_MS, Cli, StubClient


def a_side(version: int) -> DiffSide:
    return DiffSide(version=version, digest="", commit_message="why", author="ana", creation_timestamp=NOW_MS)


@pytest.fixture(autouse=True)
def asked(client: StubClient, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the client was asked for; it answers a template of which three lines differ."""
    asked: list[Any] = []
    before = "Help with bills.\nBe kind.\nGone\n"
    after = "Help with 5G bills.\nBe kind.\n\x1b[31m{{new}}\nMore\n"

    def diff_prompt_versions(name: str, *sides: int | str, context: int) -> PromptDiff:
        asked.append((name, *sides, context))
        parts = diff_parts({"template": before}, {"template": after if sides[0] != sides[1] else before})
        return PromptDiff(name=name, before=a_side(1), after=a_side(2), parts=parts)

    monkeypatch.setattr(client, "diff_prompt_versions", diff_prompt_versions, raising=False)
    return asked


def test_a_wide_terminal_has_both_sides_in_a_row(terminal: Cli) -> None:
    lines = [line.split() for line in terminal("diff", "telco", "1", "2").stdout.splitlines()]
    assert ["1", "Help", "with", "bills.", "1", "Help", "with", "5G", "bills."] in lines
    assert ["2", "Be", "kind.", "2", "Be", "kind."] in lines
    assert ["3", "Gone", "3", r"\x1b[31m{{new}}"] in lines
    assert ["4", "More"] in lines


@pytest.mark.parametrize("arguments", [("--unified",), ()])
def test_a_narrow_one_and_unified_have_one_under_the_other(
    terminal: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    if not arguments:
        monkeypatch.setenv("COLUMNS", "119")
    shown = terminal("diff", "telco", "1", "2", *arguments).stdout
    assert "-Help with bills.\n+Help with 5G bills.\n Be kind.\n-Gone\n+\\x1b[31m{{new}}\n+More\n" in shown


def test_without_differences_it_says_so(terminal: Cli) -> None:
    done = terminal("diff", "telco", "1", "1")
    assert (done.exit_code, done.stderr) == (0, "content and tags are the same\n")


def test_sides_are_numbers_or_aliases_and_the_second_is_latest(cli: Cli, asked: list[Any]) -> None:
    cli("diff", "telco", "1", "staging", "--context", "0")
    document = json.loads(cli("diff", "telco", "production", "--json").stdout)
    assert asked == [("telco", 1, "staging", 0), ("telco", "production", "latest", 3)]
    assert document["parts"][0]["hunks"][0]["lines"][0]["before_line"] == 1
    assert cli("diff", "telco").exit_code == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_on_a_terminal_alone_and_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stderr, shown, drawn in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr(sys, "stderr", stderr)
        with bar("import", 2, shown=shown) as advance:
            advance(2)
        assert ("2/2" in stderr.getvalue()) == drawn
        assert not drawn or stderr.getvalue().endswith("\x1b[2K")
