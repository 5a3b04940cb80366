"""The bell: one pub/sub connection that tells which namespaces may have changed, and what services ask each other.

It carries nothing that anyone relies on. Pub/sub may lose a message; who listens also looks at the log by the
clock, and is rung each time a subscription is made, so after every reconnect too.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError, RedisError

from promptwire_service.storage.tasks import end, heed_cancellation

_log = structlog.get_logger(__name__)

_RETRY_SECONDS = 0.2
_PING_SECONDS = 5.0


class Bell:
    """Subscriptions of one process, over one connection: opened for the first listener, reopened when lost."""

    def __init__(self, redis: Redis, sharded: bool = False) -> None:
        self._redis = redis
        self._sharded = sharded
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self, channel: str, hear: Callable[[str], None]) -> Callable[[], None]:
        """Calls `hear` with each message on the channel, and with "" each time it is subscribed; returns what ends
        that.
        """
        self._listeners.setdefault(channel, []).append(hear)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="promptwire-bell")

        def stop() -> None:
            self._listeners[channel].remove(hear)
            if not self._listeners[channel]:
                del self._listeners[channel]
                self._changed.set()

        return stop

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub, asyncio.TaskGroup() as tasks:
                    await self._subscribe(pubsub, tasks)
            except* (RedisError, OSError) as errors:
                _log.info("bell lost, connecting again", errors=[str(error) for error in errors.exceptions])
            await asyncio.sleep(_RETRY_SECONDS)

    async def _subscribe(self, pubsub: PubSub, tasks: asyncio.TaskGroup) -> None:
        subscribed: set[str] = set()
        hearing = False
        while True:
            self._changed.clear()
            wanted = set(self._listeners)
            for channels in self._together(wanted - subscribed):
                await (pubsub.ssubscribe if self._sharded else pubsub.subscribe)(*channels)
                if not hearing:
                    tasks.create_task(self._hear(pubsub))
                    hearing = True
            for channels in self._together(subscribed - wanted):
                await (pubsub.sunsubscribe if self._sharded else pubsub.unsubscribe)(*channels)
            subscribed = wanted
            heed_cancellation()
            await self._changed.wait()

    def _together(self, channels: set[str]) -> list[list[str]]:
        """What one command may name: on a Cluster, channels of one slot."""
        if self._sharded:
            return [[channel] for channel in channels]
        return [list(channels)] if channels else []

    async def _hear(self, pubsub: PubSub) -> None:
        pinged = False
        while True:
            heed_cancellation()
            message = await pubsub.get_message(timeout=_PING_SECONDS)
            if message is None:
                if pinged:
                    raise ConnectionError("no answer to a ping")
                await pubsub.ping()
                pinged = True
                continue
            pinged = False
            if message["type"] == "sunsubscribe" and message["channel"] in self._listeners:
                raise ConnectionError("the channel's slot was moved away")
            if message["type"] in ("message", "smessage", "subscribe", "ssubscribe"):
                self._tell(message["channel"], message["data"] if message["type"].endswith("message") else "")

    def _tell(self, channel: str, text: str) -> None:
        """Anybody may publish anything there: what one listener makes nothing of must not deafen the others."""
        for hear in tuple(self._listeners.get(channel, ())):
            try:
                hear(text)
            except Exception:
                _log.exception("a message cannot be understood", channel=channel, text=text[:100])
