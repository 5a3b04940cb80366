"""Many agents' streams in one process, to the service and to its floor: raw bytes in, each arrival's time noted.

`python -m benchmarks.peers.streams OPTIONS`, a JSON object: `count` streams to each of `sides`, a list of {target,
method, hello}, hello in hex. Each stream has a connection of its own, as an agent's has. Prints a side's number each
time all of its streams have received one message more; at the end of stdin prints all times, [side][message][stream],
in nanoseconds of CLOCK_MONOTONIC (which is one clock for all processes of a Linux machine), and the last message of
each side in hex.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from benchmarks.peers.floor import stdin_ended

_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


class Side:
    """The streams to one server."""

    def __init__(self, number: int, count: int, target: str, method: str, hello: str) -> None:
        self._number = number
        self._count = count
        self._target, self._method, self._hello = target, method, bytes.fromhex(hello)
        self.times: list[list[int]] = []
        self.last = b""
        self._ended = asyncio.Event()

    async def follow(self) -> None:
        """One stream, until `end`."""
        async with grpc.aio.insecure_channel(self._target, options=_OPTIONS) as channel:
            method: Any = channel.stream_stream(self._method)
            call = method(self._requests())
            messages = 0
            try:
                async for message in call:
                    self._arrived(messages, time.monotonic_ns(), message)
                    messages += 1
            except asyncio.CancelledError:
                call.cancel()
                raise

    def end(self) -> None:
        self._ended.set()

    async def _requests(self) -> AsyncIterator[bytes]:
        yield self._hello
        await self._ended.wait()

    def _arrived(self, message: int, at_ns: int, data: bytes) -> None:
        if message == len(self.times):
            self.times.append([])
        times = self.times[message]
        times.append(at_ns)
        if len(times) == self._count:
            self.last = data
            print(self._number, flush=True)


async def main() -> None:
    options = json.loads(sys.argv[1])
    count: int = options["count"]
    sides = [Side(number, count, **side) for number, side in enumerate(options["sides"])]
    async with asyncio.TaskGroup() as tasks:
        streams = [tasks.create_task(side.follow()) for side in sides for _ in range(count)]
        await stdin_ended()
        for stream in streams:
            stream.cancel()
    print(
        json.dumps({"times": [side.times for side in sides], "last": [side.last.hex() for side in sides]}), flush=True
    )


if __name__ == "__main__":
    asyncio.run(main())
