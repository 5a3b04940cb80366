"""The floor under the service: what grpc.aio itself costs, with handlers that do nothing.

`python -m benchmarks.peers.floor` serves on a free port of 127.0.0.1, prints it, and ends when its stdin does.
"""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

NAME: Final = "benchmarks.Floor"
SET_ANSWER: Final = f"/{NAME}/SetAnswer"
ANSWER: Final = f"/{NAME}/Answer"
FOLLOW: Final = f"/{NAME}/Follow"
PUBLISH: Final = f"/{NAME}/Publish"

Context = grpc.aio.ServicerContext[Any, Any]


class Floor:
    """Bytes in, bytes out: no message is parsed or made."""

    def __init__(self) -> None:
        self._answer = b""
        self._followers: set[asyncio.Queue[bytes]] = set()

    async def set_answer(self, request: bytes, _: Context) -> bytes:
        self._answer = request
        return b""

    async def answer(self, _: bytes, __: Context) -> bytes:
        """The empty call: what was set, whatever is asked."""
        return self._answer

    async def follow(self, _: AsyncIterator[bytes], __: Context) -> AsyncIterator[bytes]:
        """One empty message once the stream follows, then whatever is published."""
        messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._followers.add(messages)
        try:
            yield b""
            while True:
                yield await messages.get()
        finally:
            self._followers.discard(messages)

    async def publish(self, request: bytes, _: Context) -> bytes:
        """Hands the message to every follower's queue; the streams send it when the loop comes to them. Answers when
        that was, in nanoseconds of CLOCK_MONOTONIC, as 8 bytes."""
        at_ns = time.monotonic_ns()
        for messages in self._followers:
            messages.put_nowait(request)
        return at_ns.to_bytes(8, "big")

    def handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "SetAnswer": grpc.unary_unary_rpc_method_handler(self.set_answer),
                "Answer": grpc.unary_unary_rpc_method_handler(self.answer),
                "Follow": grpc.stream_stream_rpc_method_handler(self.follow),
                "Publish": grpc.unary_unary_rpc_method_handler(self.publish),
            },
        )


async def main() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Floor().handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await stdin_ended()
    await server.stop(None)


async def stdin_ended() -> None:
    """Returns at the end of stdin, which is the end of whoever started this."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
