"""The one pub/sub subscription of a process: which namespaces have changed, and what services ask each other.

All namespaces share one channel, so that following one more costs the store nothing. Nobody relies on what it carries:
pub/sub may lose a message. A subscriber also polls by the clock, and is called with an empty message each time the
subscription is made, which includes every reconnect.

A message is `<namespace> <topic> <text>`. Messages are plain PUBLISH also on a Cluster, whose nodes pass them on to
each other: a channel of one shard would need a subscription for each node, and could not be published to by the write
script of another shard.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError, RedisError

from promptwire_service.storage.tasks import end, heed_cancellation

_log = structlog.get_logger(__name__)

Receive = Callable[[str], None]
"""Gets a message's text, or an empty one after each (re)connect."""

_RETRY_SECONDS: Final = 0.2
_PING_SECONDS: Final = 5.0


def notify_channel(db: int) -> str:
    """The channel of a store. Redis shares channels between its databases, so the name tells them apart."""
    return f"pw:notify:{db}"


class Notifications:
    """Keeps the subscription while anybody is subscribed, on any node that `connect` names; reconnects when lost."""

    def __init__(self, channel: str, connect: Callable[[], Awaitable[Redis]]) -> None:
        self.channel = channel
        self._connect = connect
        self._receivers: list[Receive] = []
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, receive: Receive) -> Callable[[], None]:
        """Calls `receive` with each message from now on; returns what ends that."""
        self._receivers.append(receive)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="promptwire-notifications")
        return lambda: self._receivers.remove(receive)

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                redis = await self._connect()
                async with redis.pubsub() as pubsub:
                    await pubsub.subscribe(self.channel)
                    await self._receive(pubsub)
            except (RedisError, OSError) as error:
                _log.info("notifications lost, connecting again", error=str(error))
            heed_cancellation()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _receive(self, pubsub: PubSub) -> None:
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
            if message["type"] in ("message", "subscribe"):
                self._deliver(message["data"] if message["type"] == "message" else "")

    def _deliver(self, text: str) -> None:
        """Anybody may publish anything: a message that one receiver cannot read must not stop the others."""
        for receive in tuple(self._receivers):
            try:
                receive(text)
            except Exception:
                _log.exception("a message cannot be understood", text=text[:100])
