"""A Cluster: each namespace is one slot, each call is one script on the primary that has the slot.

Not the driver's own cluster client: it follows ASK redirections, and must not. While a slot is moved, key by key, a
script that is sent to the new owner finds the keys that have arrived and takes the others for absent; it would register
version 1 again. So a slot that is being moved is out of reach until it has arrived, which its old owner says by MOVED.
There, a script fails at its first absent key, and the first key of a write, its request id, is always absent.
"""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from promptwire_service.storage.redis.connection import Connections, Replicas, Server, server
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.target import Address, StoreTarget
from promptwire_service.storage.tasks import end, heed_cancellation

_log = structlog.get_logger(__name__)

_REDIRECTIONS = 3
_REFRESH_PAUSE_SECONDS = 0.1
"""Between two looks at the layout that failing calls ask for."""
_LOOK_SECONDS = 1.0
"""How often the layout is read, and each channel's place checked, without any call's having failed."""
_ASKED_AT_ONCE = 3


@dataclass(slots=True)
class _Listener:
    """Who hears a channel, and at which node."""

    channel: str
    hear: Callable[[str], None]
    node: Address | None = None
    stop: Callable[[], None] | None = None


class Cluster(Connections):
    """Connections to the primaries of a Cluster, found and forgotten as slots move."""

    publish_command = "SPUBLISH"
    left_for_good = False  # a slot that is moved away may be moved back

    def __init__(self, target: StoreTarget, replicas: Replicas | None = None) -> None:
        self._target = target
        self._replicas = replicas
        self._nodes: dict[Address, Server] = {}
        self._starts: list[int] = []
        """First slot of each range, ascending, and who has it."""
        self._owners: list[Address] = []
        self._moved: dict[int, Address] = {}
        """Single slots, as MOVED told since the last look at the layout."""
        self._looking: asyncio.Task[None] | None = None
        self._listeners: list[_Listener] = []
        self._placing: asyncio.Task[None] | None = None
        self._poke = asyncio.Event()

    async def run(self, script: Script, key: str, *arguments: str | int, writes: bool = False) -> Any:
        slot = key_slot(key.encode())
        for _ in range(_REDIRECTIONS):
            node = await self._node(slot)
            try:
                return await node.run(script, key, *arguments, writes=writes)
            except MovedError as moved:  # nothing ran there
                self._moved[slot] = self._address(moved.host, moved.port)
                self._look_soon()
            except (RedisConnectionError, RedisTimeoutError, ClusterDownError):
                self._look_soon()
                raise
        raise ClusterDownError("CLUSTERDOWN a slot is moved to and fro")

    async def publish(self, channel: str, text: str) -> int:
        node = await self._node(key_slot(channel.encode()))
        return int(await node.reads.spublish(channel, text))

    def listen(self, channel: str, hear: Callable[[str], None]) -> Callable[[], None]:
        listener = _Listener(channel, hear)
        self._listeners.append(listener)
        self._poke.set()
        if self._placing is None:
            self._placing = asyncio.create_task(self._keep_placed(), name="promptwire-cluster-bell")

        def stop() -> None:
            self._listeners.remove(listener)
            if listener.stop:
                listener.stop()

        return stop

    async def primaries(self) -> list[Redis]:
        await self._look()
        return [self._server(address).reads for address in sorted(set(self._owners))]

    async def drop(self) -> None:
        for node in self._nodes.values():
            await node.drop()

    async def aclose(self) -> None:
        for task in (self._placing, self._looking):
            if task:
                await end(task)
        for node in self._nodes.values():
            await node.aclose()

    async def _node(self, slot: int) -> Server:
        if not self._starts:
            await self._look()
        address = self._owner(slot)
        if address is None:
            self._look_soon()
            raise ClusterDownError(f"CLUSTERDOWN nobody has slot {slot}")
        return self._server(address)

    def _owner(self, slot: int) -> Address | None:
        if moved := self._moved.get(slot):
            return moved
        index = bisect_right(self._starts, slot) - 1
        return self._owners[index] if index >= 0 else None

    def _server(self, address: Address) -> Server:
        node = self._nodes.get(address)
        if node is None:
            target = replace(self._target, kind="server", host=address[0], port=address[1])
            node = self._nodes[address] = server(target, self._replicas, sharded=True)
        return node

    def _address(self, host: str | None, port: int) -> Address:
        # A node that does not know its own name leaves it out: it is the one where we asked.
        return (host or self._target.host, int(port))

    def _look_soon(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_after_pause(), name="promptwire-cluster-layout")

    async def _look_after_pause(self) -> None:
        await asyncio.sleep(_REFRESH_PAUSE_SECONDS)
        with suppress(RedisError, OSError):
            await self._look()

    async def _look(self) -> None:
        """Reads the layout from whoever of a few nodes tells it first: one that hangs must not be waited for.

        Raises what the last of them failed with.
        """
        failure: Exception = RedisConnectionError("there is no node to ask")
        known = list(dict.fromkeys((*self._owners, *self._nodes, *self._target.hosts)))
        random.shuffle(known)
        for start in range(0, len(known), _ASKED_AT_ONCE):
            asked = {asyncio.create_task(self._layout(one)) for one in known[start : start + _ASKED_AT_ONCE]}
            try:
                for answer in asyncio.as_completed(asked):
                    try:
                        rows, told_by = await answer
                    except (RedisError, OSError) as error:
                        failure = error
                    else:
                        await self._take(rows, told_by)
                        return
            finally:
                for task in asked:
                    await end(task)
        raise failure

    async def _layout(self, address: Address) -> tuple[list[Any], Address]:
        node = self._server(address)
        rows = await node.reads.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        if not rows:
            raise ClusterDownError("CLUSTERDOWN its slots are not shared out yet")
        return rows, address

    async def _take(self, rows: list[Any], told_by: Address) -> None:
        layout = sorted((int(row[0]), int(row[1]), (row[2][0] or told_by[0], int(row[2][1]))) for row in rows)
        self._starts = [first for first, _, _ in layout]
        self._owners = [owner for _, _, owner in layout]
        self._moved.clear()
        gone = [address for address in self._nodes if address not in self._owners]
        for address in gone:
            if not any(listener.node == address for listener in self._listeners):
                await self._nodes.pop(address).aclose()

    async def _keep_placed(self) -> None:
        while True:
            heed_cancellation()
            self._poke.clear()
            with suppress(RedisError, OSError):
                await self._look()
                self._place()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._poke.wait()

    def _place(self) -> None:
        """Each channel is heard at the node that has its slot; where that is another one than it was, anew."""
        for listener in self._listeners:
            owner = self._owner(key_slot(listener.channel.encode()))
            if owner is None or owner == listener.node:
                continue
            if listener.stop:
                listener.stop()
            listener.node, listener.stop = owner, self._server(owner).listen(listener.channel, listener.hear)
