"""The server's log file: kept small, and read for the line that says why it ended."""

import os
import re
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 1 << 20
"""A log that is longer is put aside as `valkey.log.1`, in place of the one before."""
_READ_BYTES = 64 * 1024

# "11637:M 23 Nov 2026 19:58:52.172 # Valkey is now ready to exit, bye bye..."
_LINE = re.compile(r"^\d+:\S+ .*?\d\d:\d\d:\d\d\.\d{3} (?P<level>[.\-*#]) (?P<text>.*)$")
# Said at each start that the machine could be set up better, or at each end; never the reason of an end.
_IDLE = ("WARNING", "bye bye")


class ValkeyLog:
    """A file and not a pipe: a busy owner can't make the store wait, and what it says after the owner's end is kept.

    The server opens it anew for each line, so that it can be put aside at any time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    def open_run(self) -> int:
        """Begins a run of the server: a descriptor for what it prints before it has read where its log is."""
        self.rotate()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._start = os.fstat(descriptor).st_size
        return descriptor

    def rotate(self) -> None:
        with suppress(OSError):
            if self.path.stat().st_size > MAX_BYTES:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                self._start = 0

    def said(self) -> str:
        """The last thing of weight that the server said in this run; empty if there is none."""
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._start, end - _READ_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        grave = ""
        plain = ""
        for line in filter(None, map(str.strip, lines)):
            match = _LINE.match(line)
            if not match:
                plain = line
            elif match["level"] == "#" and not any(idle in match["text"] for idle in _IDLE):
                grave = match["text"]
        return grave or plain
