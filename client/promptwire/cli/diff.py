"""`promptwire diff`: side by side on a terminal that is wide enough, else as `diff -u` writes it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from promptwire.cli.session import Session, command
from promptwire.cli.text import safe_line

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from promptwire.diffs import DiffLine, DiffPart, DiffSide, PromptDiff

WIDE_COLUMNS: Final = 120

_Side = Annotated[
    str, typer.Argument(help="A version's number, or an alias.", metavar="VERSION|ALIAS", show_default=False)
]


def diff(
    session: Session,
    name: Annotated[str, typer.Argument(help="Prompt's name.", metavar="NAME", show_default=False)],
    before: _Side,
    after: _Side = "latest",
    unified: Annotated[
        bool, typer.Option("--unified", "-u", help="As diff -u writes it, however wide the terminal.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--context", help="Lines around each change.", metavar="LINES", min=0, max=1_000)
    ] = 3,
) -> None:
    """Show what differs between two versions: template, settings and tags. Exit code 0 with differences, too."""
    with session.client() as client:
        found = client.diff_prompt_versions(name, _selector(before), _selector(after), context=lines)
    if session.out.json:
        session.out.document(asdict(found))
    elif session.out.for_people:
        _show(session, found, unified)
    else:
        session.out.block(found.unified())


def _selector(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else text


def _show(session: Session, found: "PromptDiff", unified: bool) -> None:
    session.out.pairs([(side, _side(of)) for side, of in (("before", found.before), ("after", found.after))])
    if not found:
        session.out.note("content and tags are the same")
        return
    if unified or session.out.columns_wide < WIDE_COLUMNS:
        session.out.coloured(unified_text(found.unified()))
        return
    for part in found.parts:
        session.out.coloured(_heading(part))
        session.out.coloured(_table(part))


def _side(side: "DiffSide") -> str:
    return f"version {side.version} by {side.author or '-'}: {side.commit_message or '-'}"


def unified_text(text: str) -> "Text":
    """A unified diff in colour."""
    from rich.text import Text

    shown = Text()
    for line in text.split("\n")[:-1]:
        shown.append(f"{safe_line(line.removesuffix(chr(13)))}\n", _style_of(line))
    shown.rstrip()
    return shown


def _style_of(line: str) -> str:
    if line.startswith(("--- ", "+++ ")):
        return "bold"
    return {"-": "red", "+": "green", "@": "cyan", "\\": "dim"}.get(line[:1], "")


def _heading(part: "DiffPart") -> "Text":
    from rich.text import Text

    notes = [] if part.by_words or not part.hunks else ["words not compared everywhere"]
    if part.cut:
        notes.append("there is more" if part.hunks else "the diff is too large to tell how")
    kind = "" if part.kind == "changed" else f" {part.kind}"
    told = f"  ({'; '.join(notes)})" if notes else ""
    return Text.assemble("\n", (safe_line(part.name), "bold"), kind, (told, "dim"))


def _table(part: "DiffPart") -> "Table":
    from rich.table import Table

    table = Table(box=None, show_header=False, expand=True, padding=(0, 1, 0, 0), pad_edge=False)
    for _ in range(2):
        table.add_column(justify="right", style="dim", no_wrap=True)
        table.add_column(ratio=1, overflow="fold")
    for index, hunk in enumerate(part.hunks):
        if index:
            table.add_row("...", "", "...", "")
        for before, after in _rows(hunk.lines):
            table.add_row(*_cells(before, "delete"), *_cells(after, "insert"))
    return table


def _rows(lines: Sequence["DiffLine"]) -> list[tuple["DiffLine | None", "DiffLine | None"]]:
    """A line that was removed and one that was added right after it share a row."""
    rows: list[tuple[DiffLine | None, DiffLine | None]] = []
    for line in lines:
        if line.before_line:
            rows.append((line, line if line.after_line else None))
        elif rows and rows[-1][1] is None:
            rows[-1] = (rows[-1][0], line)
        else:
            rows.append((None, line))
    return rows


def _cells(line: "DiffLine | None", kind: str) -> tuple["Text | str", "Text | str"]:
    """A side's line number and words."""
    if line is None:
        return "", ""
    from rich.text import Text

    colour = "red" if kind == "delete" else "green"
    text = Text()
    for segment in line.segments:
        if segment.kind == "equal":
            text.append(_shown(segment.text), colour if line.changed else "")
        elif segment.kind == kind:
            whole = len(line.segments) == 1
            text.append(_shown(segment.text, changed=True), colour if whole else f"bold reverse {colour}")
    return str(line.before_line if kind == "delete" else line.after_line), text


def _shown(text: str, *, changed: bool = False) -> str:
    r"""On one line; a line's end is shown, as `\n`, only where it is all that changed."""
    words = text.rstrip("\r\n")
    return safe_line(text) if changed and not words else safe_line(words)


def add_to(app: typer.Typer) -> None:
    command(app, "diff")(diff)
