"""Many agents' streams in one process, to the service and to its floor: raw bytes in, each arrival's time noted.

`python -m benchmarks.peers.streams OPTIONS`, a JSON object: `count` streams to each of `sides`, a list of {target,
method, hello, reports}, hello in hex; with `reports` a stream says what it has applied, as our client does. Each stream
has a connection of its own, as an agent's has; one that the service is too busy to take is opened again. Prints a
side's number each time all of its streams have received one message more; at the end of stdin prints all times,
[side][message][stream], in nanoseconds of CLOCK_MONOTONIC (which is one clock for all processes of a Linux machine),
and the last message of each side in hex.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from benchmarks.peers.floor import stdin_ended
from promptwire.v1 import prompt_service_pb2 as pb

_REPORT_DELAY_SECONDS = 0.25
_AGAIN_SECONDS = 0.5
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


class Side:
    """The streams to one server."""

    def __init__(self, number: int, count: int, target: str, method: str, hello: str, reports: bool = False) -> None:
        self._number = number
        self._count = count
        self._target, self._method, self._hello, self._reports = target, method, bytes.fromhex(hello), reports
        self.times: list[list[int]] = []
        self.last = b""
        self._ended = asyncio.Event()

    async def follow(self) -> None:
        """One stream, until `end`."""
        async with grpc.aio.insecure_channel(self._target, options=_OPTIONS) as channel:
            method: Any = channel.stream_stream(self._method)
            while not await self._follow(method):  # noqa: ASYNC110 - nothing tells when the service is less busy
                await asyncio.sleep(random.uniform(0.0, _AGAIN_SECONDS))

    async def _follow(self, method: Any) -> bool:
        """False if the service took too many others at the same time to take this one."""
        requests: asyncio.Queue[bytes] = asyncio.Queue()
        call = method(self._requests(requests))
        messages = 0
        try:
            async for message in call:
                self._arrived(messages, time.monotonic_ns(), message)
                messages += 1
                if self._reports:
                    report = _report(message)
                    delay = random.uniform(0.0, _REPORT_DELAY_SECONDS)
                    asyncio.get_running_loop().call_later(delay, requests.put_nowait, report)
        except asyncio.CancelledError:
            call.cancel()
            raise
        except grpc.aio.AioRpcError:
            # One that gRPC did not accept ends in several ways, as INTERNAL too if its first message was on its way.
            # Who waits for all streams gives up if it goes on like that.
            if messages:
                raise
            return False
        return True

    def end(self) -> None:
        self._ended.set()

    async def _requests(self, requests: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
        yield self._hello
        if not self._reports:
            await self._ended.wait()
        while not self._ended.is_set():
            yield await requests.get()

    def _arrived(self, message: int, at_ns: int, data: bytes) -> None:
        if message == len(self.times):
            self.times.append([])
        times = self.times[message]
        times.append(at_ns)
        if len(times) == self._count:
            self.last = data
            print(self._number, flush=True)


def _report(message: bytes) -> bytes:
    """That an update was applied."""
    revision = pb.WatchResponse.FromString(message).update.revision
    return pb.WatchRequest(applied=pb.WatchApplied(revision=revision)).SerializeToString()


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
