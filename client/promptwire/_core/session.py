"""One Watch stream by the rules of the protocol: what is said, and what an answer does to the live table. No I/O.

The rules are docs/protocol.md's.
"""

import itertools
import logging
import math
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from promptwire._core import decoding
from promptwire._core.followed import PushedState
from promptwire._core.lease import Clock
from promptwire._core.live import LiveTable
from promptwire._core.subscriptions import Subscribed
from promptwire.domain import limits
from promptwire.errors import PromptwireError
from promptwire.prompt_version import PromptVersion
from promptwire.v1 import common_pb2, prompt_service_pb2
from promptwire.values import Revision

_log = logging.getLogger("promptwire")

_REPORT_DELAY_SECONDS = 0.25
"""Longer than it takes to tell a thousand agents of a change: their reports come when that is done."""
_REPORTS_MAX = 32


class Fault(Exception):
    """The stream broke the protocol: what it told cannot be built upon, so the next one starts over."""


class Session:
    """The client's half of one stream."""

    def __init__(self, live: LiveTable, clock: Clock, most: int = limits.SELECTORS_MAX_PER_MESSAGE) -> None:
        self._live = live
        self._clock = clock
        self._most = most
        self._parts: list[prompt_service_pb2.WatchUpdate] = []
        self._synced = False
        """Whether the update that opens the stream, or follows a Resync, has been applied."""
        self._nonce = 0
        self._renews: dict[int, float] = {}
        """When each Renew that is not answered yet was sent, by its nonce."""
        self._applied: deque[tuple[Revision, float]] = deque(maxlen=_REPORTS_MAX)
        """What is to be reported, and when each was applied."""
        self.report_at = math.inf
        """When to send the report, by the clock."""

    @property
    def unanswered_since(self) -> float | None:
        """When the oldest Renew that is not answered was sent, by the clock."""
        return next(iter(self._renews.values()), None)

    def hello(self, namespace: str, client_id: str, client_name: str) -> prompt_service_pb2.WatchRequest:
        resume, followed = self._live.greet(self._most, self._nonce + 1)
        hello = prompt_service_pb2.WatchHello(
            namespace=namespace,
            client_id=client_id,
            client_name=client_name,
            resume=common_pb2.Revision(epoch=resume.epoch, number=resume.number) if resume else None,
            subscriptions=_subscriptions(followed),
            reports=True,
        )
        return prompt_service_pb2.WatchRequest(hello=hello)

    def subscribes(self) -> Iterator[prompt_service_pb2.WatchRequest]:
        """What the stream need not follow any more, and what it has to follow too.

        Nothing before its first update, which replaces what came before.
        """
        dropped = self._live.dropped() if self._synced else []
        for start in range(0, len(dropped), self._most):
            names = dropped[start : start + self._most]
            yield prompt_service_pb2.WatchRequest(unsubscribe=prompt_service_pb2.WatchUnsubscribe(names=names))
        while self._synced and (followed := self._live.untold(self._most, self._nonce + 1)):
            subscribe = prompt_service_pb2.WatchSubscribe(subscriptions=_subscriptions(followed))
            yield prompt_service_pb2.WatchRequest(subscribe=subscribe)

    def renew(self) -> prompt_service_pb2.WatchRequest:
        self._nonce += 1
        self._renews[self._nonce] = self._clock()
        return prompt_service_pb2.WatchRequest(renew=prompt_service_pb2.WatchRenew(nonce=self._nonce))

    def update(self, update: prompt_service_pb2.WatchUpdate) -> None:
        """Raises Fault."""
        revision = decoding.revision(update.revision)
        if self._parts and self._parts[0].revision != update.revision:
            raise Fault("the parts of an update are of different revisions")
        if not self._live.replacing:
            self._check_follows(update.prev_revision, revision)
        self._parts.append(update)
        if update.more:
            return
        parts, self._parts = self._parts, []
        states = list(_states(parts))
        if (name := self._live.lacking(states)) is not None:
            raise Fault(f"an update relies on a body of {name!r} that was not told")
        self._live.apply(states, revision)
        self._synced = True
        now = self._clock()
        self._applied.append((revision, now))
        # Many agents apply a change at once: their reports must not hold up the fan-out to the others.
        self.report_at = min(self.report_at, now + random.uniform(0.0, _REPORT_DELAY_SECONDS))

    def reports(self) -> Iterator[prompt_service_pb2.WatchRequest]:
        """What is due to be told of what was applied."""
        now = self._clock()
        if now < self.report_at:
            return
        self.report_at = math.inf
        while self._applied:
            revision, applied_at = self._applied.popleft()
            applied = prompt_service_pb2.WatchApplied(
                revision=common_pb2.Revision(epoch=revision.epoch, number=revision.number)
            )
            applied.held.FromMicroseconds(int((now - applied_at) * 1_000_000))
            yield prompt_service_pb2.WatchRequest(applied=applied)

    def _check_follows(self, prev_number: int, revision: Revision) -> None:
        position = self._live.position
        if position is None:
            return
        if revision.epoch != position.epoch:
            raise Fault("the epoch changed without a resync")
        if prev_number != position.number or revision.number < prev_number:
            raise Fault(f"an update from {prev_number} to {revision.number} does not follow {position.number}")

    def bookmark(self, bookmark: prompt_service_pb2.WatchBookmark) -> None:
        """Raises Fault."""
        sent_at = self._renews.get(bookmark.nonce, -math.inf)
        for nonce in [nonce for nonce in self._renews if nonce <= bookmark.nonce]:
            del self._renews[nonce]
        if self._parts:
            raise Fault("a bookmark came between the parts of an update")
        if not self._synced:
            return  # it speaks of a state that has not been told
        revision = decoding.revision(bookmark.revision)
        position = self._live.position
        if position is not None and (revision.epoch != position.epoch or revision.is_behind(position)):
            raise Fault(f"a bookmark at {revision} does not follow {position}")
        self._live.bookmark(revision, sent_at, bookmark.nonce)

    def resync(self) -> None:
        self._parts = []
        self._synced = False
        self._applied.clear()
        self.report_at = math.inf
        self._live.replacing = True


def _subscriptions(
    followed: Iterable[Subscribed],
) -> Iterator[prompt_service_pb2.Subscription]:
    for one in followed:
        yield prompt_service_pb2.Subscription(
            name=one.name,
            aliases=[selector for selector in one.selectors if isinstance(selector, str)],
            versions=[selector for selector in one.selectors if isinstance(selector, int)],
            held=one.held,
        )


def _states(parts: Iterable[prompt_service_pb2.WatchUpdate]) -> Iterator[PushedState]:
    """The states of an update. One that does not fit into a part goes on in the next ones."""
    pieces: list[prompt_service_pb2.PromptState] = []
    for piece in itertools.chain.from_iterable(part.states for part in parts):
        if pieces and not piece.continues:
            yield _state(pieces)
            pieces = []
        pieces.append(piece)
    if pieces:
        yield _state(pieces)


def _state(pieces: Sequence[prompt_service_pb2.PromptState]) -> PushedState:
    first = pieces[0]
    bodies: dict[int, PromptVersion] = {}
    unusable: set[bytes] = set()
    for message in itertools.chain.from_iterable(piece.versions for piece in pieces):
        try:
            bodies[message.version] = decoding.prompt_version(message)
        except PromptwireError:
            # One prompt's trouble is not the others': without a body its next load asks, and raises this itself.
            _log.exception("a pushed version cannot be used")
            unusable.add(message.token)
    record = decoding.record(first.prompt) if first.HasField("prompt") else None
    return PushedState(first.name, record, bodies, frozenset(first.held), frozenset(unusable))
