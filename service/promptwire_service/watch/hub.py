"""The prompts of one namespace that anyone watches, as they are at one revision, and who watches them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final
from weakref import WeakValueDictionary

from promptwire.domain.references import Selector
from promptwire_service.domain.changes import LogEntry, apply, apply_to_version
from promptwire_service.domain.convergence import AliasPoint, Part
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.storage.cached import CachedStore
from promptwire_service.watch.convergence import Convergence
from promptwire_service.watch.tail import Tail
from promptwire_service.watch.watcher import Follows, Sent, State, Tokens, Update, Watcher, versions_of

_SHARED_MAX_STATES: Final = 16
"""Updates of more prompts are not looked up for sharing: streams that far apart rarely are in the same position."""
_STEPS_MAX: Final = 16
"""Positions of streams that a prompt remembers what to send to."""
_AT_ONCE: Final = 500
"""Prompts that a stream begins to follow before others have their turn."""
_NO_TOKENS: Final[Mapping[str, Tokens]] = MappingProxyType({})


@dataclass(slots=True)
class _Watched:
    """One prompt. Changes up to revision number `known_at` are in `prompt` already. `bodies` has the versions that
    `wanted`, which is all that its watchers follow, counted, leads to.
    """

    name: str
    prompt: PromptRecord | None
    known_at: int
    bodies: Mapping[int, VersionRecord] = field(default_factory=dict)
    wanted: Counter[Selector] = field(default_factory=Counter)
    watchers: set[Watcher] = field(default_factory=set)
    steps: dict[object, tuple[State | None, Sent]] = field(default_factory=dict, init=False)

    @property
    def newest(self) -> int:
        """The revision number that it needs to be told at, at least."""
        return max(self.known_at, *(body.etag for body in self.bodies.values()), 0)

    def after(self, entry: LogEntry, name: str) -> "_Watched":
        """With all that one write did to the prompt of this name, which may be several changes."""
        prompt, bodies = self.prompt, dict(self.bodies)
        for change in entry.changes:
            if change.name != name:
                continue
            prompt = apply(prompt, entry, change)
            for version, body in self.bodies.items():
                if entry.number > body.etag:
                    bodies[version] = apply_to_version(bodies[version], entry, change)
        return replace(self, prompt=prompt, known_at=entry.number, bodies=bodies)

    def told(self, selectors: Collection[Selector]) -> tuple[list[VersionRecord], Sent]:
        """The bodies that selectors lead to, by number, and what a stream has that was sent all of them."""
        wanted = sorted(versions_of(self.prompt, selectors) & self.bodies.keys())
        bodies = [self.bodies[version] for version in wanted]
        return bodies, Sent(self.prompt.etag if self.prompt else 0, frozenset(body.token for body in bodies))

    def step(self, selectors: frozenset[Selector], sent: Sent | None, asked: bool) -> tuple[State | None, Sent]:
        """See watcher.Pinned. Worked out once for all streams in the same position: a flip costs each of a thousand a
        lookup.
        """
        key = (selectors, sent, asked)
        step = self.steps.get(key)
        if step is None:
            if len(self.steps) >= _STEPS_MAX:
                self.steps.clear()
            step = self.steps[key] = self._step(selectors, sent, asked)
        return step

    def _step(self, selectors: frozenset[Selector], sent: Sent | None, asked: bool) -> tuple[State | None, Sent]:
        bodies, now = self.told(selectors)
        known = sent.tokens if sent else frozenset()
        fresh = tuple(body for body in bodies if body.token not in known)
        if not (asked or fresh or sent is None or sent.etag != now.etag):
            return None, now
        return State(self.name, self.prompt, fresh, tuple(now.tokens & known)), now


class Hub:
    """Folds the log into the watched prompts and marks them on each watcher that follows them.

    What watchers see changes in `_publish` only, which never waits: so all of it is of one revision, whole.
    Changes wait in `_unpublished` till the tail has come as far as the newest thing among them.
    """

    def __init__(self, namespace: str, cache: CachedStore) -> None:
        self.revision = Revision("", 0)
        self.watchers: set[Watcher] = set()
        self.tail: Tail
        self.convergence = Convergence()
        self._namespace = namespace
        self._cache = cache
        self._watched: dict[str, _Watched] = {}
        self._unpublished: dict[str, _Watched] = {}
        self._shared: WeakValueDictionary[object, Update] = WeakValueDictionary()
        self._restarting: str | None = None

    async def open(
        self,
        watcher: Watcher,
        follows: Follows,
        resume: Revision | None,
        held: Mapping[str, Tokens] = _NO_TOKENS,
    ) -> None:
        """Begins to serve a watcher. Raises the store's error when it is away."""
        self.watchers.add(watcher)
        if not self.revision.epoch:
            await self.tail.poll()
        await self.follow(watcher, follows, held)
        if resume:
            await self._resume(watcher, resume)

    def leave(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)
        self.unfollow(watcher, tuple(watcher.follows))
        self.convergence.moved()

    async def follow(self, watcher: Watcher, follows: Follows, held: Mapping[str, Tokens] = _NO_TOKENS) -> None:
        """Adds to what a watcher follows, which has bodies with these tokens; returns once all of that is published.
        Raises the store's error when it is away.
        """
        names = list(follows)
        for start in range(0, len(names), _AT_ONCE):
            some = {name: follows[name] for name in names[start : start + _AT_ONCE]}
            await self._follow(watcher, some, held)
            watcher.mark(*some)
            await asyncio.sleep(0)

    async def _follow(self, watcher: Watcher, follows: Follows, held: Mapping[str, Tokens]) -> None:
        await self._know(follows)
        behind = False
        for name, selectors in follows.items():
            watched = self._watched[name]
            watched.watchers.add(watcher)
            watched.wanted.update(watcher.add(name, selectors))
            watcher.ask(name, held.get(name, frozenset()))
            if (
                watched.newest > self.revision.number
                or versions_of(watched.prompt, watched.wanted) - watched.bodies.keys()
            ):
                self._unpublished.setdefault(name, replace(watched))
                behind = True
        if behind:
            await self.tail.poll()

    def unfollow(self, watcher: Watcher, names: Iterable[str]) -> None:
        for name in names:
            if name not in watcher.follows:
                continue
            watched = self._watched[name]
            watched.watchers.discard(watcher)
            watched.wanted.subtract(watcher.drop(name))
            # In place: an unpublished copy shares the counter.
            for selector in [selector for selector, count in watched.wanted.items() if count <= 0]:
                del watched.wanted[selector]
            if not watched.watchers:
                del self._watched[name]
                self._unpublished.pop(name, None)

    def pin(self, name: str) -> _Watched:
        """A followed prompt as it is published now: what is published later is another object."""
        return self._watched[name]

    def share(self, update: Update) -> Update:
        """The same update as another watcher's, if one is in the same position: so that it is encoded once."""
        if len(update.states) > _SHARED_MAX_STATES:
            return update
        # An update that is shared keeps its states: no other ones get their identities.
        return self._shared.setdefault((update.prev, update.revision, update.more, *map(id, update.states)), update)

    def parts(self, epoch: str, points: Sequence[AliasPoint]) -> list[Part]:
        """What this service's watchers have of some changes of aliases."""
        known = epoch == self.revision.epoch
        return [
            self.convergence.part(
                point, watched.watchers if (watched := self._watched.get(point.name)) else (), known=known
            )
            for point in points
        ]

    def invalidate(self, entries: Sequence[LogEntry]) -> None:
        self._cache.apply(self._namespace, entries)

    async def dispatch(self, entries: Sequence[LogEntry], head: Revision) -> int:
        self.convergence.learn(entries)
        for entry in entries:
            for name in dict.fromkeys(change.name for change in entry.changes):
                watched = self._unpublished.get(name) or self._watched.get(name)
                if watched is not None and entry.number > watched.known_at:
                    self._unpublished[name] = watched.after(entry, name)
        return await self._settle(head)

    def is_published(self, head: Revision) -> bool:
        return self.revision == head and not self._unpublished and self._restarting is None

    async def restart(self, head: Revision, reason: str) -> int:
        self._cache.reset(self._namespace)
        self.convergence.restart()
        self._restarting = reason
        names = list(self._watched)
        reads = await asyncio.gather(*(self._cache.prompt(self._namespace, name) for name in names))
        if any(read.revision.epoch != head.epoch for read in reads):
            return head.number + 1  # as in `_settle`
        self._unpublished = {
            name: replace(watched, prompt=read.value, known_at=read.revision.number, bodies={})
            for name, read in zip(names, reads, strict=True)
            if (watched := self._watched.get(name))
        }
        return await self._settle(head)

    async def _resume(self, watcher: Watcher, resume: Revision) -> None:
        if resume.number > self.revision.number:
            await self.tail.poll()
        if resume.epoch != self.revision.epoch:
            watcher.refuse_resume("EPOCH_CHANGED")
        elif resume.number > self.revision.number:
            watcher.refuse_resume("HISTORY_LOST")
        else:
            watcher.sent_revision = resume.number
            await self._resume_prompts(watcher, resume)

    async def _resume_prompts(self, watcher: Watcher, resume: Revision) -> None:
        for count, (name, selectors) in enumerate(list(watcher.follows.items()), 1):
            watched = self._watched[name]
            sent = watched.told(selectors)[1]
            # One that is not there is told again: it may have been purged since, and nothing of it says when.
            if watched.prompt is not None and sent.etag <= resume.number:
                watcher.resume(name, sent)
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)
                if self.revision.epoch != resume.epoch:
                    watcher.refuse_resume("EPOCH_CHANGED")
                    return

    async def _know(self, names: Collection[str]) -> None:
        """Brings the names into `_watched`, each right up to the tail's cursor or later."""
        while missing := [name for name in names if not self._knows(name)]:
            reads = await asyncio.gather(*(self._cache.prompt(self._namespace, name) for name in missing))
            head = self.tail.head
            if any(read.revision.epoch != head.epoch for read in reads):
                # Read from a history that the tail has not come to: its numbers mean nothing here yet.
                await self.tail.poll()
                continue
            for name, read in zip(missing, reads, strict=True):
                # No waiting from here on. What is cached is right up to the cursor; what is not, up to its own
                # revision: if the cursor has moved past that, once more.
                cached = self._cache.peek_prompt(self._namespace, name)
                if name not in self._watched and (cached or read.revision.number >= head.number):
                    best = cached or read
                    self._watched[name] = _Watched(name, best.value, max(best.revision.number, head.number))

    def _knows(self, name: str) -> bool:
        """Whether it is in `_watched`, where it goes at once if it is cached."""
        if name in self._watched:
            return True
        cached, head = self._cache.peek_prompt(self._namespace, name), self.tail.head
        if cached is None or cached.revision.epoch != head.epoch:
            return False
        self._watched[name] = _Watched(name, cached.value, max(cached.revision.number, head.number))
        return True

    async def _settle(self, head: Revision) -> int:
        """Publishes at `head`, or returns the later revision number that the tail has to come to first."""
        absent: set[tuple[str, int]] = set()
        # Again as long as something is missing: streams may have begun to follow more while bodies were read.
        while missing := self._missing_bodies() - absent:
            keys = list(missing)
            reads = await self._read_bodies(keys)
            if any(read.revision.epoch != head.epoch for read in reads):
                return head.number + 1  # another history has begun: the tail's next read finds it, and restarts
            for (name, version), read in zip(keys, reads, strict=True):
                if read.value is None:
                    absent.add((name, version))
                elif watched := self._unpublished.get(name):
                    watched.bodies = {**watched.bodies, version: read.value}
        needed = max((watched.newest for watched in self._unpublished.values()), default=0)
        if needed > head.number:
            return needed
        self._publish(head)
        return 0

    async def _read_bodies(self, keys: Sequence[tuple[str, int]]) -> list[Read[VersionRecord | None]]:
        """In the order of the keys. A task is made only for what is not cached: there may be many."""
        found = {key: read for key in keys if (read := self._cache.peek_version(self._namespace, *key))}
        rest = [key for key in keys if key not in found]
        reads = await asyncio.gather(*(self._cache.version(self._namespace, *key) for key in rest))
        found.update(zip(rest, reads, strict=True))
        return [found[key] for key in keys]

    def _missing_bodies(self) -> set[tuple[str, int]]:
        return {
            (name, version)
            for name, watched in self._unpublished.items()
            for version in versions_of(watched.prompt, watched.wanted) - watched.bodies.keys()
        }

    def _publish(self, head: Revision) -> None:
        self.revision = head
        if self._restarting:
            for watcher in self.watchers:
                watcher.restart(self._restarting)
            self._restarting = None
        unpublished, self._unpublished = self._unpublished, {}
        for name, watched in unpublished.items():
            wanted = versions_of(watched.prompt, watched.wanted)
            bodies = {version: body for version, body in watched.bodies.items() if version in wanted}
            self._watched[name] = replace(watched, bodies=bodies)
            for watcher in watched.watchers:
                watcher.mark(name)
        self.convergence.published(head)
