"""As many calls as it can: `python -m benchmarks.peers.flood OPTIONS`, a JSON object: `target`, `method`, `request` in
hex, `connections`, `in_flight` on each, `seconds`. For machines without h2load, which sends more with less of the
processor. Prints how many calls were made.
"""

import asyncio
import json
import sys
import time
from contextlib import suppress
from typing import Any

import grpc

_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


async def flood(target: str, method: str, request: str, connections: int, in_flight: int, seconds: float) -> int:
    made, data, ends = 0, bytes.fromhex(request), time.monotonic() + seconds

    async def caller(call: Any) -> None:
        nonlocal made
        while time.monotonic() < ends:
            with suppress(grpc.aio.AioRpcError):  # refused, which is what is measured
                await call(data, timeout=seconds)
            made += 1

    channels = [grpc.aio.insecure_channel(target, options=_OPTIONS) for _ in range(connections)]
    async with asyncio.TaskGroup() as callers:
        for channel in channels:
            for _ in range(in_flight):
                callers.create_task(caller(channel.unary_unary(method)))
    for channel in channels:
        await channel.close()
    return made


if __name__ == "__main__":
    print(asyncio.run(flood(**json.loads(sys.argv[1]))), flush=True)
