"""Processes that a benchmark starts: each is ended by its owner, and ends by itself should the owner be killed."""

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from promptwire_service.storage.embedded import launch

READY_SECONDS = 30.0
STOP_SECONDS = 20.0


class ProcessError(Exception):
    """A process did not do its part. The message says which, and what it left on stderr."""


class SilenceError(ProcessError):
    """It runs, and says nothing."""


class Child:
    """A process that is told things on stdin and tells things on stdout, a line each."""

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (read when something fails; closed by `stop`)
        self._lines: queue.Queue[str | None] = queue.Queue()
        # A session of its own: Ctrl-C in a terminal reaches the owner alone, who ends all of them in order.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        threading.Thread(target=self._read, daemon=True, name=f"reads {name}").start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, seconds: float) -> str:
        """The next line that it prints. Raises ProcessError if it ends instead, SilenceError if none comes in time."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise SilenceError(f"{self.name} said nothing for {seconds:g} s{self._said()}") from None
        if line is None:
            raise ProcessError(f"{self.name} ended{self._said()}")
        return line

    def close_stdin(self) -> None:
        """How a peer is asked to end."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def stop(self) -> None:
        """Ends it, whatever it does, and waits for that."""
        if self.process.poll() is None:
            self._ask()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _ask(self) -> None:
        self.process.terminate()

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                self._lines.put(line.rstrip("\n"))
        except ValueError:
            pass  # closed by `stop`
        self._lines.put(None)

    def _said(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 3_000))
        text = self._errors.read().decode(errors="replace").strip()
        return f":\n{text}" if text else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Peer(Child):
    """A module of ours, run: it ends in order when its stdin does."""

    def __init__(self, module: str, *arguments: str) -> None:
        super().__init__([sys.executable, "-m", module, *arguments], module)

    def _ask(self) -> None:
        self.close_stdin()


class Service(Child):
    """`promptwire serve` on a free port of 127.0.0.1, with an embedded store in a directory."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "promptwire.cli", "serve", "--listen", "127.0.0.1:0", "--store", "embedded"]
        command += ["--data-dir", str(data_dir), *arguments]
        if sys.platform == "linux":
            # It does not look at its stdin, so the kernel has to end it if we are killed.
            command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "--", *command]
        super().__init__(command, "promptwire serve")
        try:
            self.greeting = self.line(READY_SECONDS)
            found = re.search(r"serving on (\S+:\d+)", self.greeting)
            if not found:
                raise ProcessError(f"{self.name} did not say where it serves: {self.greeting!r}{self._said()}")
        except BaseException:
            self.stop()
            raise
        self.target = found[1]

    def _ask(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def ending_undisturbed() -> Iterator[None]:
    """Enter it after what starts processes: when the block ends, however it does, a further Ctrl-C no longer keeps them
    from being ended in order. The program is expected to end soon after."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def cpu_seconds(pid: int) -> float | None:
    """Processor time that all threads of a process have had, by the scheduler's count; None where there is none."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, ValueError, IndexError):
        return None
