"""One Watch stream in each of many namespaces, which renews its lease every 5 s, as an agent's does.

`python -m benchmarks.peers.watchers TARGET FIRST COUNT CONNECTIONS` watches `p@production` in the namespaces
`team-FIRST` and following, prints a line once all have their state, and ends when its stdin does.
"""

import asyncio
import random
import sys
from typing import Any, Final

import grpc

from benchmarks.peers.floor import stdin_ended
from promptwire.v1 import prompt_service_pb2 as pb

RENEW_SECONDS: Final = 5.0
_OPENING: Final = 50
_RETRY_SECONDS: Final = 0.1
WATCH: Final = "/promptwire.v1.PromptService/Watch"


def namespace(number: int) -> str:
    return f"team-{number}"


async def main(target: str, first: int, count: int, connections: int) -> None:
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(connections)]
    opening = asyncio.Semaphore(_OPENING)
    opened = 0
    ready = asyncio.Event()

    async def watch(number: int) -> None:
        nonlocal opened
        hello = pb.WatchHello(
            client_id=f"benchmark-{number}",
            namespace=namespace(number),
            subscriptions=[pb.Subscription(name="p", aliases=["production"])],
        )
        async with opening:
            call = await _opened(channels[number % connections], pb.WatchRequest(hello=hello).SerializeToString())
        opened += 1
        if opened == count:
            ready.set()
        renewing = asyncio.create_task(_renew(call))
        try:
            while await call.read() is not grpc.aio.EOF:
                pass
        finally:
            renewing.cancel()

    async with asyncio.TaskGroup() as streams:
        tasks = [streams.create_task(watch(number)) for number in range(first, first + count)]
        await ready.wait()
        print("ready", flush=True)
        await stdin_ended()
        for task in tasks:
            task.cancel()
    for channel in channels:
        await channel.close()


async def _opened(channel: grpc.aio.Channel, hello: bytes) -> Any:
    """A stream that has its state. A service that takes no more at this moment is asked again, as clients do."""
    while True:
        call: Any = channel.stream_stream(WATCH)()
        try:
            await call.write(hello)
            await call.read()
            return call
        except grpc.aio.AioRpcError:
            await asyncio.sleep(_RETRY_SECONDS)


async def _renew(call: Any) -> None:
    renew = pb.WatchRequest(renew=pb.WatchRenew(nonce=1)).SerializeToString()
    await asyncio.sleep(random.uniform(0, RENEW_SECONDS))
    while True:
        await call.write(renew)
        await asyncio.sleep(RENEW_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
