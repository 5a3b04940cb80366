"""One Watch stream, without its transport: what it follows, what it has been sent, what is new."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

from promptwire.domain.references import Selector
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord

Follows = Mapping[str, Collection[Selector]]
"""Prompt names, and the aliases and version numbers of each whose bodies are wanted."""
Tokens = frozenset[bytes]
"""Of bodies; see VersionRecord.token."""

PART_MAX_BYTES: Final = 1 << 20
"""A part ends before the piece that would take it past this. One piece alone may be larger, see limits."""
_PART_MAX_STATES: Final = 500
"""Encoding a part holds the loop for a few milliseconds, however small its states are."""
_LEAVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """One prompt at an update's revision, with the bodies that go along and the tokens of those that the agent has."""

    name: str
    prompt: PromptRecord | None
    bodies: tuple[VersionRecord, ...]
    held: tuple[bytes, ...] = ()
    continues: bool = False
    """Whether it only has more bodies of a state that an earlier piece began."""

    def pieces(self) -> Iterator[tuple["State", int]]:
        """The state cut so that each piece has as many bodies as fit into a part, or one; and how large each is."""
        if (size := self.size_bytes) <= PART_MAX_BYTES:
            yield self, size
            return
        piece, size = replace(self, bodies=()), self._head_bytes
        for body in self.bodies:
            # A small head goes along with the first body, however large that is.
            if size + body.size_bytes > PART_MAX_BYTES and (piece.bodies or size > PART_MAX_BYTES // 2):
                yield piece, size
                piece, size = State(self.name, None, (), continues=True), 0
            piece, size = replace(piece, bodies=(*piece.bodies, body)), size + body.size_bytes
        yield piece, size

    @property
    def size_bytes(self) -> int:
        return self._head_bytes + sum(body.size_bytes for body in self.bodies)

    @property
    def _head_bytes(self) -> int:
        return 100 + 12 * len(self.held) + (self.prompt.size_bytes if self.prompt else 0)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Update:
    """Leads from `prev` to `revision`. Watchers in the same position share one; `wire` is for its encoded form, which
    lives as long as a stream is sending it.
    """

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
    """What a stream has of one prompt: the prompt's etag, and the tokens of its bodies.

    The agent keeps exactly the bodies that the last state listed, sent or held; so both sides know the same.
    """

    etag: int
    tokens: Tokens


class Pinned(Protocol):
    """A prompt as it was published once; it does not change any more."""

    def step(self, selectors: frozenset[Selector], sent: Sent | None, asked: bool) -> tuple[State | None, Sent]:
        """What a stream that has `sent` is to be sent, if anything, and what it has then. `asked`: in any case."""
        ...


class Published(Protocol):
    """What a watcher looks at: the hub."""

    revision: Revision

    def pin(self, name: str) -> Pinned: ...

    def share(self, update: Update) -> Update: ...


@dataclass(slots=True, eq=False)
class Watcher:
    """Remembers names, not events: what is to be sent is worked out when the stream can take it.

    So a slow stream costs at most one mark for each prompt it follows, states it was too slow for are skipped by
    themselves, and it holds up nobody. While it is sent an update, it also holds on to the records in it, which the
    caches have too, but never to more than one encoded part.
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
    """What the agent has: what was sent, and what it said that it holds."""
    _asked: set[str] = field(default_factory=set)
    """Prompts whose next state is sent even if nothing of it is new."""
    _marked: set[str] = field(default_factory=set)
    _taken: dict[str, "_Taken"] = field(default_factory=dict)
    """What the update under way tells of."""
    _nonce: int | None = None
    _resync: str | None = None
    _goodbye: Goodbye | None = None
    _began: bool = False
    _greeted: bool = False
    """Whether it was told where it is, since it began or started over."""
    _ended: bool = False
    _error: Exception | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def queued(self) -> int:
        return len(self._marked)

    def add(self, name: str, selectors: Collection[Selector]) -> frozenset[Selector]:
        """Follows more of a prompt; returns what was not followed before."""
        self.joined_revision = self.hub.revision.number
        followed = self.follows.get(name, frozenset())
        self.follows[name] = followed.union(selectors)
        return self.follows[name] - followed

    def ask(self, name: str, held: Tokens) -> None:
        """Will answer with the prompt's state, without the bodies that the agent says it holds."""
        self._asked.add(name)
        if held:
            sent = self._sent.get(name)
            self._sent[name] = Sent(sent.etag, sent.tokens | held) if sent else Sent(-1, held)

    def drop(self, name: str) -> frozenset[Selector]:
        self._marked.discard(name)
        self._asked.discard(name)
        self._sent.pop(name, None)
        self._taken.pop(name, None)
        return self.follows.pop(name)

    def mark(self, *names: str) -> None:
        """Something of these prompts may be new."""
        self._marked.update(names)
        self._wake.set()

    def restart(self, reason: str) -> None:
        """Start over: history is another one. A stream that was sent nothing yet needs no word of it.

        Bodies that the agent has are known by their tokens, whatever the history: they do not go over the wire again.
        """
        if self._began or self.sent_revision:
            self._resync = reason
            self.resyncs += 1
        self._greeted = False
        self._asked.update(self.follows)
        self.sent_revision = self.applied_revision = self.joined_revision = 0
        self.mark(*self.follows)

    def resume(self, name: str, sent: Sent) -> None:
        """The stream goes on where an earlier one ended, and this has not changed since."""
        self._asked.discard(name)
        self._sent[name] = sent

    def refuse_resume(self, reason: str) -> None:
        """The earlier stream's history is not this one."""
        self._resync = reason
        self._asked.update(self.follows)
        self.sent_revision = 0

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
            for frame in self._take():
                self._raise_error()
                yield frame
            self._raise_error()
            if self._ended:
                return

    def _raise_error(self) -> None:
        if self._error:
            raise self._error

    def _take(self) -> Iterator[Frame]:
        """Everything that is new at the hub's revision, each frame when the stream can take it.

        What is told is fixed before the first of them, so it is one revision, whole. A restart in between ends it: the
        agent drops the parts that it was sent.
        """
        self._began = True
        while reason := self._resync:
            self._resync = None
            yield Resync(reason)
        revision, nonce = self.hub.revision, self._nonce
        self._nonce = None
        yield from self._updates(self._states(), revision)
        if self._starts_over():
            self._answer_later(nonce)
            return
        if nonce is not None:
            self.sent_revision = revision.number
            yield Bookmark(nonce, revision)
        if goodbye := self._goodbye:
            self._goodbye = None
            yield goodbye

    def _starts_over(self) -> bool:
        return self._resync is not None

    def _answer_later(self, nonce: int | None) -> None:
        if self._nonce is None:
            self._nonce = nonce

    def _states(self) -> Iterator[tuple[State, int]]:
        """What is new of each prompt that is marked now, worked out one by one."""
        marked, self._marked = self._marked, set()
        self._taken = {
            name: _Taken(self.follows[name], self.hub.pin(name), self._sent.get(name), name in self._asked)
            for name in sorted(marked)
        }
        self._asked -= marked
        return self._news(list(self._taken))

    def _news(self, names: list[str]) -> Iterator[tuple[State, int]]:
        for name in names:
            # It may have been dropped meanwhile.
            if taken := self._taken.get(name):
                state, taken.now = taken.pinned.step(taken.selectors, taken.sent, taken.asked)
                if state is not None:
                    yield from state.pieces()

    def _updates(self, states: Iterator[tuple[State, int]], revision: Revision) -> Iterator[Update]:
        prev = self.sent_revision
        parts = _parts(states)
        part = next(parts, None)
        if part is None:
            self._commit()
            if self._greeted:
                return
            part = ()
        for following in parts:
            yield self.hub.share(Update(prev, revision, part, more=True))
            if self._starts_over():
                return
            part = following
        self._commit()
        self._greeted = True
        self.sent_revision = revision.number
        yield self.hub.share(Update(prev, revision, part))

    def _commit(self) -> None:
        """The agent has it once it has the last part, with what it has said meanwhile that it holds."""
        for name, taken in self._taken.items():
            if taken.now is not None:
                since = self._sent.get(name)
                told = since.tokens - (taken.sent.tokens if taken.sent else frozenset()) if since else frozenset()
                self._sent[name] = Sent(taken.now.etag, taken.now.tokens | told) if told else taken.now
        self._taken = {}


@dataclass(slots=True, eq=False)
class _Taken:
    """A prompt that an update tells of: as what was published, to a stream that has `sent`, and has `now` then."""

    selectors: frozenset[Selector]
    pinned: Pinned
    sent: Sent | None
    asked: bool
    now: Sent | None = None


def _parts(states: Iterator[tuple[State, int]]) -> Iterator[tuple[State, ...]]:
    part: list[State] = []
    size = 0
    for state, state_bytes in states:
        if part and (size + state_bytes > PART_MAX_BYTES or len(part) == _PART_MAX_STATES):
            yield tuple(part)
            part, size = [], 0
        part.append(state)
        size += state_bytes
    if part:
        yield tuple(part)


def versions_of(prompt: PromptRecord | None, selectors: Collection[Selector]) -> set[int]:
    """The versions that a prompt's selectors lead to now."""
    if prompt is None:
        return set()
    return {version for selector in selectors for version in prompt.versions_of(selector)}
