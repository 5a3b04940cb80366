"""One Watch stream, without its transport: what it follows, what it has been sent, what is new."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from promptwire.domain.references import Selector
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord

Follows = Mapping[str, Collection[Selector]]
"""Prompt names, and the aliases and version numbers of each whose bodies are wanted."""

_PART_MAX_BYTES = 1 << 20
_LEAVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """One prompt at an update's revision, with the bodies that go along."""

    name: str
    prompt: PromptRecord | None
    bodies: tuple[VersionRecord, ...]

    @property
    def size_bytes(self) -> int:
        meta = self.prompt.size_bytes if self.prompt else 0
        return meta + sum(body.size_bytes for body in self.bodies)


@dataclass(slots=True, eq=False)
class Update:
    """Leads from `prev` to `revision`. Watchers in the same position share one; `wire` is for its encoded form."""

    prev: int
    revision: Revision
    states: tuple[State, ...]
    more: bool = False
    wire: bytes | None = None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to `revision` has been sent, as of a look at the store after the Renew with this nonce."""

    nonce: int
    revision: Revision


@dataclass(frozen=True, slots=True)
class Resync:
    """What was sent no longer counts."""

    reason: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The stream ends soon."""

    retry_after_ms: int


Frame = Update | Bookmark | Resync | Goodbye


class Sent(NamedTuple):
    """What a stream has of one prompt: the prompt's etag, and the number and etag of each body still wanted."""

    etag: int
    bodies: frozenset[tuple[int, int]]


class Published(Protocol):
    """What a watcher looks at: the hub."""

    revision: Revision

    def sent(self, name: str, selectors: frozenset[Selector]) -> Sent: ...

    def step(self, name: str, selectors: frozenset[Selector], sent: Sent | None) -> tuple[State | None, Sent]: ...

    def share(self, update: Update) -> Update: ...


@dataclass(slots=True, eq=False)
class Watcher:
    """Remembers names, not events: what is to be sent is worked out when the stream can take it.

    So a slow stream costs at most one mark for each prompt it follows, states it was too slow for are skipped by
    themselves, and it holds up nobody.
    """

    hub: Published
    client_id: str
    client_name: str
    peer: str
    started_ms: int
    follows: dict[str, frozenset[Selector]] = field(default_factory=dict)
    reports: bool = False
    """Whether the agent tells what it has applied."""
    applied_revision: int = 0
    joined_revision: int = 0
    """Where the stream was when something was last added to what is followed."""
    sent_revision: int = 0
    resyncs: int = 0
    _sent: dict[str, Sent] = field(default_factory=dict)
    _marked: set[str] = field(default_factory=set)
    _nonce: int | None = None
    _resync: str | None = None
    _goodbye: Goodbye | None = None
    _greeted: bool = False
    _ended: bool = False
    _error: Exception | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def queued(self) -> int:
        return len(self._marked)

    def add(self, name: str, selectors: Collection[Selector]) -> frozenset[Selector]:
        """Follows more of a prompt, and will send its state whole; returns what was not followed before."""
        self._sent.pop(name, None)
        self.joined_revision = self.hub.revision.number
        followed = self.follows.get(name, frozenset())
        self.follows[name] = followed.union(selectors)
        return self.follows[name] - followed

    def drop(self, name: str) -> frozenset[Selector]:
        self._marked.discard(name)
        self._sent.pop(name, None)
        return self.follows.pop(name)

    def mark(self, *names: str) -> None:
        """Something of these prompts may be new."""
        self._marked.update(names)
        self._wake.set()

    def restart(self, reason: str) -> None:
        """Start over: history is another one. A stream that was sent nothing yet needs no word of it."""
        if self._greeted:
            self._resync = reason
            self.resyncs += 1
        self._sent.clear()
        self.sent_revision = self.applied_revision = self.joined_revision = 0
        self.mark(*self.follows)

    def resume(self, number: int) -> None:
        """The stream goes on where an earlier one ended: what has not changed since is there already."""
        self.sent_revision = number
        for name, selectors in self.follows.items():
            sent = self.hub.sent(name, selectors)
            if sent.etag <= number:
                self._sent[name] = sent

    def refuse_resume(self, reason: str) -> None:
        """The earlier stream's history is not this one."""
        self._resync = reason

    def bookmark(self, nonce: int) -> None:
        """A look at the store is done: the newest nonce is answered once all that is marked is sent."""
        self._nonce = nonce
        self._wake.set()

    def goodbye(self, retry_after_ms: int) -> None:
        """The agent is told to leave, and shown out if it does not."""
        asyncio.get_running_loop().call_later(_LEAVE_SECONDS + retry_after_ms / 1000, self.end)
        self._goodbye = Goodbye(retry_after_ms)
        self._wake.set()

    def end(self, error: Exception | None = None) -> None:
        """Ends `frames`, with this error if there is one."""
        self._ended = True
        self._error = error
        self._wake.set()

    async def frames(self) -> AsyncIterator[Frame]:
        """What to send, in order, until `end`. The first frame is an update, even an empty one: it tells the
        revision.
        """
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._error:
                raise self._error
            if self._ended:
                return
            for frame in self._take():
                yield frame

    def _take(self) -> list[Frame]:
        """Everything that is new at the hub's revision. Never waits, so it is one revision, whole."""
        frames: list[Frame] = []
        if self._resync:
            frames.append(Resync(self._resync))
            self._resync = None
        revision = self.hub.revision
        marked, self._marked = self._marked, set()
        states = [state for name in sorted(marked) if (state := self._new_state(name))]
        if states or not self._greeted:
            frames.extend(self._updates(states, revision))
            self._greeted = True
            self.sent_revision = revision.number
        if self._nonce is not None:
            frames.append(Bookmark(self._nonce, revision))
            self._nonce = None
            self.sent_revision = revision.number
        if self._goodbye:
            frames.append(self._goodbye)
            self._goodbye = None
        return frames

    def _new_state(self, name: str) -> State | None:
        state, self._sent[name] = self.hub.step(name, self.follows[name], self._sent.get(name))
        return state

    def _updates(self, states: list[State], revision: Revision) -> list[Update]:
        parts: list[list[State]] = [[]]
        size = 0
        for state in states:
            size += state.size_bytes
            if parts[-1] and size > _PART_MAX_BYTES:
                parts.append([])
                size = state.size_bytes
            parts[-1].append(state)
        last = len(parts) - 1
        return [
            self.hub.share(Update(self.sent_revision, revision, tuple(part), more=index < last))
            for index, part in enumerate(parts)
        ]


def versions_of(prompt: PromptRecord | None, selectors: Collection[Selector]) -> set[int]:
    """The versions that a prompt's selectors lead to now."""
    if prompt is None:
        return set()
    return {version for selector in selectors for version in prompt.versions_of(selector)}
