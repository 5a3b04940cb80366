"""The real service in a process of its own, as `promptwire serve` starts it."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import children
from tests.support.servers import free_port

READY_SECONDS = 30.0
STOP_SECONDS = 30.0


class ServiceProcess:
    """`promptwire serve` on one port, over one data directory or store; may be killed and started again, as often
    as needed.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        store: str = "embedded",
        port: int = 0,
        host: str = "127.0.0.1",
        python: Sequence[str] = ("-m", "promptwire.cli"),
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._listen = f"{host}:{self.port}"
        self._python = python
        self._arguments = ["--store", store, "--data-dir", str(data_dir), *arguments]
        self._process: subprocess.Popen[str] | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "start() it first"
        return self._process

    def start(self, *, new_session: bool = False) -> None:
        """Returns once it has said that it serves. In a session of its own, it is the leader of a process group."""
        command = [sys.executable, *self._python, "serve", "--listen", self._listen, *self._arguments]
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.log_path = self.data_dir.parent / "service.log"
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=new_session
            )
        line = self._first_line()
        if not re.search(rf"serving on {re.escape(self._listen)}\b", line):
            self.kill()
            raise RuntimeError(f"the service did not start: {line!r}\n{self.log_path.read_text()[-3000:]}")

    def kill(self) -> None:
        """kill -9, and nothing else: what it started has to end by itself."""
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Asks it to end, and waits; its exit code."""
        self.process.send_signal(signal_number)
        code = self.process.wait(STOP_SECONDS)
        self._close()
        return code

    def store_pid(self) -> int:
        """Returns the process id of the embedded Valkey; raises LookupError while there is none."""
        for pid, command in children(self.process.pid).items():
            if any("valkey-server" in word for word in command):
                return pid
        raise LookupError("the embedded store does not run")

    def kill_store(self) -> None:
        """kill -9 of the embedded Valkey; the service starts it again."""
        os.kill(self.store_pid(), signal.SIGKILL)

    def _first_line(self) -> str:
        lines: queue.Queue[str] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            return lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            return ""

    def _close(self) -> None:
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def running_service(
    data_dir: Path, *arguments: str, store: str = "embedded", host: str = "127.0.0.1"
) -> Iterator[ServiceProcess]:
    service = ServiceProcess(data_dir, *arguments, store=store, host=host)
    service.start()
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
