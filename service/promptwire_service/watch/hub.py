"""The prompts of one namespace that anyone watches, as they are at one revision, and who watches them."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from promptwire.domain.references import Selector
from promptwire_service.domain.changes import LogEntry, apply, apply_to_version
from promptwire_service.domain.convergence import AliasPoint, Part
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord
from promptwire_service.storage.cached import CachedStore
from promptwire_service.watch.convergence import Convergence
from promptwire_service.watch.feed import Feed
from promptwire_service.watch.watcher import Follows, Sent, State, Update, Watcher, versions_of

# Updates of more prompts than this are not looked up for sharing: streams that far apart rarely are in the same
# position.
_SHARED_MAX_STATES = 16


@dataclass(slots=True)
class _Watched:
    """One prompt. Changes up to revision number `known_at` are in `prompt` already. `bodies` has the versions that
    `wanted`, which is all that its watchers follow, counted, leads to.
    """

    prompt: PromptRecord | None
    known_at: int
    bodies: Mapping[int, VersionRecord] = field(default_factory=dict)
    wanted: Counter[Selector] = field(default_factory=Counter)
    watchers: set[Watcher] = field(default_factory=set)

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
        etag = self.prompt.etag if self.prompt else 0
        return bodies, Sent(etag, frozenset((body.version, body.etag) for body in bodies))


class Hub:
    """Folds the log into the watched prompts and marks them on each watcher that follows them.

    What watchers see changes in `_publish` only, which never waits: so all of it is of one revision, whole.
    Changes wait in `_unpublished` till the feed has come as far as the newest thing among them.
    """

    def __init__(self, namespace: str, cache: CachedStore) -> None:
        self.revision = Revision("", 0)
        self.watchers: set[Watcher] = set()
        self.feed: Feed
        self.convergence = Convergence()
        self._namespace = namespace
        self._cache = cache
        self._watched: dict[str, _Watched] = {}
        self._unpublished: dict[str, _Watched] = {}
        self._steps: dict[object, tuple[State | None, Sent]] = {}
        self._shared: dict[object, Update] = {}
        self._restarting: str | None = None

    async def open(self, watcher: Watcher, follows: Follows, resume: Revision | None) -> None:
        """Begins to serve a watcher. Raises the store's error when it is away."""
        self.watchers.add(watcher)
        if not self.revision.epoch:
            await self.feed.look()
        await self.follow(watcher, follows)
        if resume:
            await self._resume(watcher, resume)

    def leave(self, watcher: Watcher) -> None:
        self.watchers.discard(watcher)
        self.unfollow(watcher, tuple(watcher.follows))
        self.convergence.moved()

    async def follow(self, watcher: Watcher, follows: Follows) -> None:
        """Adds to what a watcher follows; returns once all of that is published. Raises the store's error when it
        is away.
        """
        await self._know(follows)
        behind = False
        for name, selectors in follows.items():
            watched = self._watched[name]
            watched.watchers.add(watcher)
            watched.wanted.update(watcher.add(name, selectors))
            if (
                watched.newest > self.revision.number
                or versions_of(watched.prompt, watched.wanted) - watched.bodies.keys()
            ):
                self._unpublished.setdefault(name, replace(watched))
                behind = True
        if behind:
            await self.feed.look()
        watcher.mark(*follows)

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
                self._forget_steps()

    def sent(self, name: str, selectors: frozenset[Selector]) -> Sent:
        """What a stream has that was sent all of a prompt that these selectors lead to."""
        return self._watched[name].told(selectors)[1]

    def step(self, name: str, selectors: frozenset[Selector], sent: Sent | None) -> tuple[State | None, Sent]:
        """What a stream that has `sent` is to be sent of a prompt, if anything, and what it has then. Worked out once
        for all streams in the same position: a flip costs each of a thousand a lookup.
        """
        key = (name, selectors, sent)
        step = self._steps.get(key)
        if step is None:
            watched = self._watched[name]
            bodies, now = watched.told(selectors)
            fresh = [body for body in bodies if sent is None or (body.version, body.etag) not in sent.bodies]
            new = bool(fresh) or sent is None or sent.etag != now.etag
            step = self._steps[key] = (State(name, watched.prompt, tuple(fresh)) if new else None, now)
        return step

    def share(self, update: Update) -> Update:
        """The same update as another watcher's, if one is in the same position: so that it is encoded once."""
        if len(update.states) > _SHARED_MAX_STATES:
            return update
        # The states are kept by `_steps` for as long as this is kept: no other ones get their identities.
        return self._shared.setdefault((update.prev, update.more, *map(id, update.states)), update)

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
            await self.feed.look()
        if resume.epoch != self.revision.epoch:
            watcher.refuse_resume("EPOCH_CHANGED")
        elif resume.number > self.revision.number:
            watcher.refuse_resume("HISTORY_LOST")
        else:
            watcher.resume(resume.number)

    async def _know(self, names: Collection[str]) -> None:
        """Brings the names into `_watched`, each right up to the feed's cursor or later."""
        while missing := [name for name in names if name not in self._watched]:
            reads = await asyncio.gather(*(self._cache.prompt(self._namespace, name) for name in missing))
            head = self.feed.head
            if any(read.revision.epoch != head.epoch for read in reads):
                # Read from a history that the feed has not come to: its numbers mean nothing here yet.
                await self.feed.look()
                continue
            for name, read in zip(missing, reads, strict=True):
                # No waiting from here on. What is cached is right up to the cursor; what is not, up to its own
                # revision: if the cursor has moved past that, once more.
                cached = self._cache.peek_prompt(self._namespace, name)
                if name not in self._watched and (cached or read.revision.number >= head.number):
                    best = cached or read
                    self._watched[name] = _Watched(best.value, max(best.revision.number, head.number))

    async def _settle(self, head: Revision) -> int:
        """Publishes at `head`, or returns the later revision number that the feed has to come to first."""
        absent: set[tuple[str, int]] = set()
        # Again as long as something is missing: streams may have begun to follow more while bodies were read.
        while missing := self._missing_bodies() - absent:
            keys = list(missing)
            reads = await asyncio.gather(*(self._cache.version(self._namespace, *key) for key in keys))
            if any(read.revision.epoch != head.epoch for read in reads):
                return head.number + 1  # another history has begun: the feed's next look finds it, and restarts
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

    def _missing_bodies(self) -> set[tuple[str, int]]:
        return {
            (name, version)
            for name, watched in self._unpublished.items()
            for version in versions_of(watched.prompt, watched.wanted) - watched.bodies.keys()
        }

    def _forget_steps(self) -> None:
        self._steps.clear()
        self._shared.clear()

    def _publish(self, head: Revision) -> None:
        self.revision = head
        self._forget_steps()
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
