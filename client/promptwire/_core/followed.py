"""What is known of one prompt, and what each reference to it means by that.

No locks, no clock, no entries: `live` owns these objects and guards them with its lock.
"""

import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from promptwire._core.lease import Lease
from promptwire.domain.names import LATEST
from promptwire.domain.references import Selector
from promptwire.handle import Handle
from promptwire.values import PromptVersion, Revision


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt's pointers, as pushed."""

    latest: int
    aliases: Mapping[str, int]
    etag: int
    """Revision number of the prompt's last change."""

    def version_of(self, selector: Selector) -> int | None:
        if isinstance(selector, int):
            return selector
        return self.latest if selector == LATEST else self.aliases.get(selector)

    def aliases_of(self, version: int) -> tuple[str, ...]:
        return tuple(sorted(alias for alias, target in self.aliases.items() if target == version))


@dataclass(frozen=True, slots=True)
class PushedState:
    """A prompt as an update tells it: complete, but for bodies that were told before."""

    name: str
    record: Record | None
    """None when there is no such prompt."""
    bodies: Mapping[int, PromptVersion]


class Item:
    """What one selector of one prompt means, and who wants to know."""

    __slots__ = ("asks", "body", "handles", "lease", "prompt", "references", "selector", "value")

    def __init__(self, prompt: "Followed", selector: Selector, lease: Lease) -> None:
        self.prompt = prompt
        self.selector = selector
        self.references: list[str] = []
        """As users wrote them: `a@x` and `prompts:/a@x` are one item."""
        self.handles: list[weakref.ref[Handle]] = []
        self.lease = lease
        self.value: PromptVersion | None = None
        """The last known good; None when the next load must ask."""
        self.body: PromptVersion | None = None
        """What `value` was made of."""
        self.asks = False
        """The next load must ask although there is a last known good: this process never confirmed it."""

    def take(self, value: PromptVersion | None, body: PromptVersion | None = None) -> None:
        """Exchanges the value. The old one keeps its age from here on: the watch no longer speaks of it."""
        if self.value is not None:
            _attach(self.value, self.lease.copy())
        if value is not None:
            _attach(value, self.lease)
        self.value, self.body, self.asks = value, body, False

    def rest_on(self, lease: Lease) -> None:
        self.lease = lease
        if self.value is not None:
            _attach(self.value, lease)


def _attach(value: PromptVersion, lease: Lease) -> None:
    object.__setattr__(value, "_lease", lease)


class Followed:
    """One prompt that this client uses."""

    __slots__ = ("bodies", "borrowed", "floor", "floor_at", "items", "name", "pushed", "record", "told_at")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[Selector, Item] = {}
        self.told_at = math.inf
        """When the open stream was told all of its selectors, by the clock; infinite while some are untold."""
        self.pushed = False
        """Whether the stream, or one that it resumes, has told its state: `record` and `bodies`."""
        self.record: Record | None = None
        """None when there is no such prompt."""
        self.bodies: dict[int, PromptVersion] = {}
        """Pushed versions that a selector needs; the stream re-sends one only when its tags change."""
        self.borrowed: dict[int, PromptVersion] = {}
        """Versions that Resolve brought and the stream did not, so far."""
        self.floor: Revision | None = None
        """This client has seen the prompt, or written it, at this revision: what was pushed counts from there on."""
        self.floor_at = 0.0
        """When it was there at the latest, by the clock."""

    def raise_floor(self, revision: Revision, seen_at: float) -> None:
        if self.floor is None or not revision.is_behind(self.floor):
            self.floor, self.floor_at = revision, seen_at

    def believes(self, position: Revision | None) -> bool:
        """Whether what was pushed, known to be right up to `position`, is at least as new as what was seen."""
        if self.floor is None:
            return True
        return position is not None and position.epoch == self.floor.epoch and not position.is_behind(self.floor)

    def seen_in(self, epoch: str) -> bool:
        """Whether Resolve or a write told of it in that history, ahead of the stream."""
        return self.floor is not None and self.floor.epoch == epoch

    def last_change(self, position: Revision | None) -> Revision | None:
        """The newest change that a push has made count here."""
        if self.record is None or self.floor is not None or position is None:
            return None
        return Revision(position.epoch, self.record.etag)

    @property
    def complete(self) -> bool:
        """Whether a stream that resumes need not tell it again."""
        return self.pushed and not self.borrowed

    def learn(self, record: Record | None, bodies: Mapping[int, PromptVersion]) -> None:
        """Takes in a pushed state; `settle` makes it count."""
        self.pushed, self.record = True, record
        for number, body in bodies.items():
            self.borrowed.pop(number, None)
            if self.bodies.get(number) != body:  # the same body stays the same object
                self.bodies[number] = body
        if record is None:
            self.forget()
            return
        needed = {record.version_of(selector) for selector in self.items}
        for number in self.bodies.keys() - needed:
            del self.bodies[number]

    def unlearn(self) -> None:
        """What was pushed no longer counts."""
        self.pushed, self.record = False, None
        self.bodies.clear()

    def forget(self) -> None:
        self.bodies.clear()
        self.borrowed.clear()

    def settle(self, shared: Lease) -> Iterator[Item]:
        """Makes each item mean what was pushed, resting on the watch's lease where that is the better one.

        Yields the items that changed.
        """
        needed: set[int] = set()
        for item in self.items.values():
            number = self.record.version_of(item.selector) if self.record else None
            body = None if number is None else self.bodies.get(number) or self.borrowed.get(number)
            if number is not None:
                needed.add(number)
            if self._settle_item(item, body) | self.promote(item, shared):
                yield item
        for number in self.borrowed.keys() - needed:
            del self.borrowed[number]

    def _settle_item(self, item: Item, body: PromptVersion | None) -> bool:
        if body is None or self.record is None:
            changed = item.value is not None
            item.take(None)
            return changed
        aliases = self.record.aliases_of(body.version)
        if item.body is body and item.value is not None and item.value.aliases == aliases and not item.asks:
            return False
        value = replace(body, aliases=aliases)
        if item.value == value:
            item.body, item.asks = body, False
        else:
            item.take(value, body)
        return True

    def promote(self, item: Item, shared: Lease) -> bool:
        """Hands an item over to the watch's lease, if the stream speaks of it; whether that changed anything.

        A borrowed body's tags may have changed before the stream was told to follow it. Once a bookmark answers a Renew
        that was sent after that, the stream has carried such a change.
        """
        if item.value is None or item.lease is shared or item.lease.confirmed_at > shared.confirmed_at:
            return False
        carried = item.value.version in self.bodies or self.told_at <= shared.confirmed_at
        if self.floor is not None or not self.pushed or not carried:
            return False
        item.rest_on(shared)
        return True
