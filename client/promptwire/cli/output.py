"""Where a command's words go. stdout has the answer: for people on a terminal, tab-separated in a pipe, or JSON.
stderr has everything else, so that a script can read stdout whole.
"""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from promptwire.cli import cells
from promptwire.cli.cells import Cell
from promptwire.cli.text import json_text, safe_block, safe_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Output:
    """Writes for one command."""

    def __init__(self, json: bool) -> None:
        self.json = json

    @property
    def for_people(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout.isatty()

    def document(self, value: object) -> None:
        """The whole answer as JSON."""
        self._write(f"{json_text(value, indent=2)}\n")

    def json_line(self, value: object) -> None:
        """One of many answers, at once."""
        self._write(f"{json_text(value)}\n")
        sys.stdout.flush()

    def raw(self, text: str) -> None:
        """Byte for byte into a pipe. A terminal gets it made safe, with a line's end that it may not have."""
        if self.for_people:
            self.block(text)
        else:
            self._write(text, verbatim=True)

    def line(self, text: str) -> None:
        self._write(f"{safe_line(text)}\n")

    def block(self, text: str) -> None:
        """Text of several lines."""
        safe = safe_block(text)
        self._write(safe if safe.endswith("\n") else f"{safe}\n")

    def columns(self, *columns: Cell) -> None:
        """One row that is told at once, without waiting for those that follow."""
        if self.for_people:
            now = now_ms()
            self._write("  ".join(cells.for_people(cell, now) for cell in columns).rstrip() + "\n")
        else:
            self._write_row(columns)
        sys.stdout.flush()

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Rows under headers; in a pipe without headers, one line a row, whole."""
        if not self.for_people:
            for row in rows:
                self._write_row(row)
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for header in headers:
            table.add_column(header, overflow="fold")
        now = now_ms()
        for row in rows:
            # Text, never str: a str would be read as rich's markup.
            table.add_row(*(Text(cells.for_people(cell, now)) for cell in row))
        _console(sys.stdout).print(table)

    def pairs(self, rows: Sequence[tuple[str, Cell]]) -> None:
        """What something is called and what it is."""
        if not self.for_people:
            for row in rows:
                self._write_row(row)
            return
        from rich.text import Text

        console, now = _console(sys.stdout), now_ms()
        width = max((len(safe_line(name)) for name, _ in rows), default=0)
        for name, cell in rows:
            # Left to the terminal to wrap, so that what is copied from it is whole.
            line = Text.assemble((f"{safe_line(name):{width}}  ", "bold"), cells.for_people(cell, now))
            console.print(line, soft_wrap=True)

    @property
    def columns_wide(self) -> int:
        """Of the terminal."""
        return _console(sys.stdout).width

    def coloured(self, what: "RenderableType") -> None:
        """Writes what is made for a terminal; its texts are made safe as all others."""
        _console(sys.stdout).print(what)

    def clear(self) -> None:
        """Empties the terminal for what comes next; in a pipe, nothing."""
        if self.for_people:
            _console(sys.stdout).clear()

    def note(self, text: str) -> None:
        """Worth knowing, and not the answer."""
        if self.json:
            _write_error(f"{json_text({'note': text})}\n")
        else:
            _styled_error(text, "dim")

    def warning(self, text: str) -> None:
        """Tells people what is probably not meant, and was done all the same; JSON has it in its document."""
        if not self.json:
            _styled_error(f"warning: {text}", "yellow")

    def error(self, message: str, *, hint: str = "", **details: object) -> None:
        """Why the command ends; `details` are for programs, `hint` is for people."""
        if self.json:
            _write_error(f"{json_text({'error': {'message': message, **details}})}\n")
            return
        _styled_error(f"error: {message}", "red")
        if hint:
            _styled_error(hint, "dim")

    def _write_row(self, row: Sequence[Cell]) -> None:
        self._write("\t".join(map(cells.for_programs, row)) + "\n")

    def _write(self, text: str, *, verbatim: bool = False) -> None:
        """The one way to stdout but for what rich lays out: safe for a terminal, whoever wrote the text.

        Always UTF-8, whatever the locale says: prompts are UTF-8, and so is JSON.
        """
        sys.stdout.flush()
        sys.stdout.buffer.write((text if verbatim else safe_block(text)).encode("utf-8", "backslashreplace"))


def discard_stdout() -> None:
    """Whoever read stdout is gone: what is still buffered goes nowhere, instead of failing again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _styled_error(text: str, style: str) -> None:
    """One line on stderr."""
    line = safe_line(text)
    if not sys.stderr.isatty():
        _write_error(f"{line}\n")
        return
    from rich.text import Text

    _console(sys.stderr).print(Text(line, style=style), soft_wrap=True)


def _write_error(text: str) -> None:
    sys.stderr.write(safe_block(text))
    sys.stderr.flush()


def _console(stream: TextIO) -> "Console":
    """Returns rich's console, which makes every text safe that it lays out: its own escapes are added after that."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(safe_block(segment.text), segment.style)

    return SafeConsole(file=stream, markup=False, highlight=False, emoji=False)
