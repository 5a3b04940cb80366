"""A TCP proxy between two processes of a test that can delay, cut, swallow and half-close what goes through it."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal

Mode = Literal["pass", "delay", "blackhole", "half_open", "refuse"]
"""`blackhole` swallows both directions, `half_open` what comes back from the server; connections stay open. `refuse`
hangs up on each new one.
"""

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Listens on a port of its own, in a thread of its own, and connects to `host:port` for each connection."""

    def __init__(self, host: str, port: int, listen_port: int = 0) -> None:
        self.mode: Mode = "pass"
        self.delay_seconds = 0.05
        """Of each chunk, while the mode is `delay`."""
        self.bytes_to_client = 0
        """That went through."""
        self._upstream = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", listen_port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def redirect(self, port: int) -> None:
        """New connections go to another port of the same host."""
        self._upstream = (self._upstream[0], port)

    def drop(self) -> int:
        """Cuts all connections, and says how many there were. New ones are as the mode has it."""
        count: int = self._do(self._drop())
        return count

    def set(self, mode: Mode) -> None:
        """For connections that are open as well. Going back to `pass` cuts those that have lost bytes."""
        lost = self.mode in ("blackhole", "half_open")
        self.mode = mode
        if lost:
            self.drop()

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _drop(self) -> int:
        count = len(self._open) // 2
        for writer in self._open:
            writer.transport.abort()
        return count

    async def _close(self) -> None:
        self._server.close()
        await self._drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.mode == "refuse":
                return
            with suppress(OSError):
                upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
                await self._join((reader, writer), (upstream_reader, upstream_writer))
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _join(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._open |= {client[1], server[1]}
        both = [
            asyncio.ensure_future(self._pump(client[0], server[1], "blackhole")),
            asyncio.ensure_future(self._pump(server[0], client[1], "blackhole", "half_open")),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            server[1].transport.abort()
            self._open -= {client[1], server[1]}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *swallowed: Mode) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self.mode == "delay":
                    await asyncio.sleep(self.delay_seconds)
                if self.mode in swallowed:
                    continue
                if "half_open" in swallowed:
                    self.bytes_to_client += len(chunk)
                writer.write(chunk)
                await writer.drain()
