"""A Cluster: each namespace is one slot, each call is one script on the primary that has the slot.

Not the driver's own cluster client: it follows ASK redirections, and must not. While a slot is moved, key by key, a
script that is sent to the new owner finds the keys that have arrived and takes the others for absent; it would register
version 1 again. So a slot that is being moved is out of reach until it has arrived, which its old owner says by MOVED.
There, a script fails at its first absent key, and the first key of a write, its request id, is always absent.
"""

import asyncio
import random
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from promptwire_service.storage.redis.connection import Connections, Replicas, Server, server
from promptwire_service.storage.redis.notifications import Notifications, notify_channel
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.target import Address, StoreTarget
from promptwire_service.storage.tasks import end

_log = structlog.get_logger(__name__)

_REDIRECTIONS = 3
_REFRESH_PAUSE_SECONDS = 0.1
"""Between two looks at the layout that failing calls ask for."""
_ASKED_AT_ONCE = 3


class Cluster(Connections):
    """Connections to the primaries of a Cluster, found and forgotten as slots move."""

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
        self.notifications = Notifications(notify_channel(0), self._any_node)

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

    async def run_for_keys(self, script: Script, keys: Sequence[str]) -> list[tuple[Sequence[int], Any]]:
        if not self._starts:
            await self._look()
        positions: dict[Address | None, list[int]] = {}
        for position, key in enumerate(keys):
            positions.setdefault(self.partition(key), []).append(position)
        answers = await asyncio.gather(
            *(
                self._run_at(address, script, [keys[position] for position in some])
                for address, some in positions.items()
            )
        )
        return list(zip(positions.values(), answers, strict=True))

    async def _run_at(self, address: Address | None, script: Script, keys: Sequence[str]) -> Any:
        """What the script returned there, or the error it failed with."""
        try:
            if address is None:
                raise ClusterDownError("CLUSTERDOWN nobody has this slot")
            found = await script.run(self._server(address).reads, None, *keys)
        except (RedisError, OSError) as error:
            self._look_soon()
            return error
        if any(isinstance(row, str) for row in found[1:]):  # a slot that has moved, or is being moved
            self._look_soon()
        return found

    def partition(self, key: str) -> Address | None:
        return self._owner(key_slot(key.encode())) if self._starts else None

    async def publish(self, text: str) -> int:
        """Any node passes the message on to all others; each knows its own subscriptions only."""
        node = await self._any_node()
        await node.publish(self.notifications.channel, text)
        counts = await asyncio.gather(
            *(self._subscriptions(address) for address in set(self._owners)), return_exceptions=True
        )
        return sum(count for count in counts if isinstance(count, int))

    async def _subscriptions(self, address: Address) -> int:
        ((_, count),) = await self._server(address).reads.pubsub_numsub(self.notifications.channel)
        return int(count)

    async def _any_node(self) -> Redis:
        await self._look()
        return self._server(random.choice(self._owners)).reads

    async def primaries(self) -> list[Redis]:
        await self._look()
        return [self._server(address).reads for address in sorted(set(self._owners))]

    async def drop(self) -> None:
        for node in self._nodes.values():
            await node.drop()

    async def aclose(self) -> None:
        await self.notifications.close()
        if self._looking:
            await end(self._looking)
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
            node = self._nodes[address] = server(target, self._replicas)
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
            await self._nodes.pop(address).aclose()
