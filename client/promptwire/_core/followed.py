"""What is known of one prompt, and what each reference to it means by that.

No locks, no clock, no entries: `live` owns these objects and guards them with its lock.
"""

import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from promptwire._core.lease import Lease
from promptwire._core.split_alias import Meaning, SplitAlias
from promptwire.domain.names import LATEST
from promptwire.domain.references import Selector
from promptwire.domain.splits import Split
from promptwire.errors import AliasNotFoundError, NotFoundError, PromptNotFoundError, VersionNotFoundError
from promptwire.handle import Handle
from promptwire.prompt_version import PromptVersion
from promptwire.values import Prompt, Revision


@dataclass(frozen=True, slots=True)
class Record:
    """A prompt's pointers, as pushed."""

    latest: int
    aliases: Mapping[str, int]
    etag: int
    """Revision number of the prompt's last change."""
    deleted_versions: frozenset[int] = frozenset()
    deleted: bool = False
    splits: Mapping[str, Split] = field(default_factory=dict)

    def version_of(self, selector: Selector) -> int | None:
        """None where there is none, or several."""
        versions = self.versions_of(selector)
        return versions[0] if len(versions) == 1 and self.split_of(selector) is None else None

    def versions_of(self, selector: Selector) -> tuple[int, ...]:
        if self.deleted:
            return ()
        if isinstance(selector, int):
            return () if selector in self.deleted_versions else (selector,)
        if split := self.splits.get(selector):
            return split.versions
        version = self.latest if selector == LATEST else self.aliases.get(selector)
        return (version,) if version else ()

    def split_of(self, selector: Selector) -> Split | None:
        return self.splits.get(selector) if isinstance(selector, str) and not self.deleted else None

    def aliases_of(self, version: int) -> tuple[str, ...]:
        plain = (alias for alias, target in self.aliases.items() if target == version)
        return tuple(sorted([*plain, *(alias for alias, one in self.splits.items() if version in one.versions)]))


@dataclass(frozen=True, slots=True)
class PushedState:
    """A prompt as an update tells it: complete, but for bodies that were told before."""

    name: str
    record: Record | None
    """None when there is no such prompt."""
    bodies: Mapping[int, PromptVersion]
    held: frozenset[bytes] = frozenset()
    """Tokens of the bodies that are right as they were told before, or as the client said that it holds them."""
    unusable: frozenset[bytes] = frozenset()
    """Tokens of bodies that were told and that this client cannot read."""


class Body:
    """A version without its aliases, and up to where it is known right."""

    __slots__ = ("as_of", "pushed", "token", "value")

    def __init__(self, value: PromptVersion, as_of: Revision, pushed: bool, token: bytes) -> None:
        self.value = value
        self.token = token
        """The service's word for it: empty where it has none."""
        self.as_of = as_of
        self.pushed = pushed
        """Whether the last state that was pushed lists it: the service knows that it is here."""


class Item:
    """What one selector of one prompt means, and who wants to know."""

    __slots__ = (
        "acked",
        "asks",
        "body",
        "handles",
        "lease",
        "picks",
        "prompt",
        "references",
        "selector",
        "told",
        "value",
    )

    def __init__(self, prompt: "Followed", selector: Selector, lease: Lease) -> None:
        self.prompt = prompt
        self.selector = selector
        self.references: list[str] = []
        """As users wrote them: `a@x` and `prompts:/a@x` are one item."""
        self.handles: list[weakref.ref[Handle]] = []
        self.lease = lease
        self.value: Meaning | None = None
        """The last known good; None when the next load must ask."""
        self.body: Meaning | None = None
        """What `value` was made of."""
        self.picks: dict[str, PromptVersion] = {}
        """Of a version by its number: the value as loads by split aliases have it, by alias."""
        self.asks = False
        """The next load must ask although there is a last known good: this process never confirmed it."""
        self.told = math.inf
        """Nonce of the first Renew after the open stream was told to follow it; infinite until then."""
        self.acked = False
        """Whether that Renew was answered: from then on the stream speaks of its body."""

    def take(self, value: Meaning | None, body: Meaning | None = None) -> None:
        """Exchanges the value. The old one keeps its age from here on: the watch no longer speaks of it."""
        if self.value is not None:
            for old in (self.value, *self.picks.values()):
                _attach(old, self.lease.copy())
            self.picks.clear()
        if value is not None:
            _attach(value, self.lease)
        self.value, self.body, self.asks = value, body, False

    def pick(self, alias: str, split: Split) -> PromptVersion | None:
        """The value as a load by a split alias has it: it says by which; one object for all loads."""
        if not isinstance(self.value, PromptVersion):
            return None
        picked = self.picks.get(alias)
        if picked is None or (picked.split is not split and picked.split != split):
            if picked is not None:
                _attach(picked, self.lease.copy())
            picked = self.picks[alias] = replace(self.value, alias=alias, split=split)
        return picked

    def differs_from(self, answer: PromptVersion | Prompt) -> bool:
        """Whether its value and an answer cannot both be right."""
        if self.value is None:
            return False
        if isinstance(answer, Prompt):
            deleted = frozenset(answer.deleted_versions)
            record = Record(answer.latest_version, answer.aliases, answer.etag, deleted, splits=answer.splits)
            if isinstance(self.value, SplitAlias):
                return record.split_of(self.selector) != self.value.split
            version = self.value.version
            return record.version_of(self.selector) != version or record.aliases_of(version) != self.value.aliases
        if isinstance(self.value, SplitAlias):
            return (self.selector in answer.aliases) != (answer.version in self.value.split.versions)
        if self.value.version == answer.version:
            return self.value != answer
        if self.selector == LATEST:
            return self.value.version < answer.version
        return self.selector in answer.aliases

    def rest_on(self, lease: Lease) -> None:
        self.lease = lease
        if self.value is not None:
            for one in (self.value, *self.picks.values()):
                _attach(one, lease)


def alias_of(selector: Selector) -> str:
    """The alias of a selector; empty for a number, and for `latest`, which is none that anybody moves."""
    return selector if isinstance(selector, str) and selector != LATEST else ""


def _attach(value: Meaning, lease: Lease) -> None:
    object.__setattr__(value, "_lease", lease)


class Followed:
    """One prompt that this client uses."""

    __slots__ = ("bodies", "floor", "floor_at", "items", "name", "pushed", "record", "unusable")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: dict[Selector, Item] = {}
        self.pushed = False
        """Whether the stream, or one that it resumes, has told its state."""
        self.record: Record | None = None
        """As pushed; None when there is no such prompt."""
        self.bodies: dict[int, Body] = {}
        """All that the last state listed, and what else the items need."""
        self.unusable: frozenset[bytes] = frozenset()
        """Tokens of what the last state listed and this client cannot read."""
        self.floor: Revision | None = None
        """This client has seen the prompt, or written it, at this revision: what was pushed counts from there on."""
        self.floor_at = 0.0
        """When it was there at the latest, by the clock."""

    def raise_floor(self, revision: Revision, seen_at: float) -> None:
        if self.floor is None or not revision.is_behind(self.floor):
            self.floor, self.floor_at = revision, seen_at

    def believes(self, position: Revision | None) -> bool:
        """Whether what was pushed, known to be right up to `position`, is at least as new as what was seen."""
        return self.floor is None or (position is not None and position.reaches(self.floor))

    def missing(self, selector: Selector) -> NotFoundError | None:
        """Why a selector means nothing, by what was pushed; None if it means something, or may."""
        if self.record is None:
            return PromptNotFoundError(
                f"there is no prompt {self.name!r}", "PROMPT_NOT_FOUND", {"name": self.name}, "NOT_FOUND"
            )
        if self.record.deleted:
            return PromptNotFoundError(
                f"prompt {self.name!r} is deleted", "PROMPT_DELETED", {"name": self.name}, "NOT_FOUND"
            )
        if selector in self.record.deleted_versions or (selector == LATEST and not self.record.latest):
            what = f"version {selector}" if isinstance(selector, int) else "every version"
            return VersionNotFoundError(
                f"{what} of prompt {self.name!r} is deleted", "VERSION_DELETED", {"name": self.name}, "NOT_FOUND"
            )
        if isinstance(selector, str) and not self.record.versions_of(selector):
            known = ", ".join(sorted([*self.record.aliases, *self.record.splits])[:10]) or "none"
            return AliasNotFoundError(
                f"prompt {self.name!r} has no alias {selector!r}; it has {known}",
                "ALIAS_NOT_FOUND",
                {"name": self.name, "alias": selector},
                "NOT_FOUND",
            )
        if isinstance(selector, int) and selector > self.record.latest:
            return VersionNotFoundError(
                f"prompt {self.name!r} has no version {selector}; its newest is {self.record.latest}",
                "VERSION_NOT_FOUND",
                {"name": self.name, "version": str(selector), "latest_version": str(self.record.latest)},
                "NOT_FOUND",
            )
        return None

    def seen_in(self, epoch: str) -> bool:
        """Whether Resolve or a write told of it in that history, ahead of the stream."""
        return self.floor is not None and self.floor.epoch == epoch

    def overtakes(self, revision: Revision, asked_at: float, position: Revision | None, position_at: float) -> bool:
        """Whether more is known of it than an answer at a revision, that was asked for at a time of the clock."""
        seen, seen_at = self.floor, self.floor_at
        if seen is None and self.record is not None and position is not None:
            seen, seen_at = Revision(position.epoch, self.record.etag), position_at
        if seen is None or revision.reaches(seen):
            return False
        # Of two epochs the one that was found later is the store's.
        return revision.epoch == seen.epoch or asked_at <= seen_at

    @property
    def told(self) -> bool:
        """Whether the open stream was told to follow any of it."""
        return any(item.told < math.inf for item in self.items.values())

    @property
    def complete(self) -> bool:
        """Whether a stream that resumes need not tell it again."""
        needed = [self.bodies.get(number) for number in self._needed()]
        return self.pushed and all(body is not None and body.pushed for body in needed)

    def _needed(self, acked_only: bool = False) -> set[int]:
        """Versions that its selectors lead to."""
        if self.record is None:
            return set()
        items = (item for item in self.items.values() if item.acked or not acked_only)
        return {number for item in items for number in self.record.versions_of(item.selector)}

    def vouched_version(self, number: int, epoch: str) -> PromptVersion | None:
        """A version that the stream speaks of and has told, as of the prompt's last change."""
        body = self.bodies.get(number)
        if self.record is None or not self.pushed or self.floor is not None or body is None or not body.pushed:
            return None
        if number not in self._needed(acked_only=True) or not body.as_of.reaches(Revision(epoch, self.record.etag)):
            return None
        return replace(body.value, aliases=self.record.aliases_of(number), alias="")

    def borrow(self, value: PromptVersion, revision: Revision) -> None:
        """Takes in what Resolve brought, until the stream brings it."""
        held = self.bodies.get(value.version)
        if held is None or not held.pushed:
            plain = replace(value, aliases=(), alias="")
            self.bodies[value.version] = Body(plain, revision, pushed=False, token=value._token)

    def tokens(self, *, untold_only: bool) -> list[bytes]:
        """Of the bodies that are here; or only of those that the open stream does not know to be."""
        return [body.token for body in self.bodies.values() if body.token and not (untold_only and body.pushed)]

    def lacks(self, state: PushedState) -> bool:
        """Whether a state relies on a body that is not here."""
        return not state.held <= self.unusable.union(self.tokens(untold_only=False))

    def learn(self, state: PushedState, revision: Revision) -> None:
        """Takes in a state that was pushed; `settle` makes it count.

        It lists every body that the service knows to be wanted: no other counts from now on.
        """
        self.pushed, self.record = True, state.record
        for body in self.bodies.values():
            body.pushed = body.token in state.held
            if body.pushed and not body.as_of.reaches(revision):
                body.as_of = revision
        for number, value in state.bodies.items():
            held = self.bodies.get(number)
            same = held.value if held is not None and held.value == value else value  # the same stays the same object
            self.bodies[number] = Body(same, revision, pushed=True, token=value._token)
        self.unusable = state.unusable | (self.unusable & state.held)

    def unlearn(self) -> None:
        """What was pushed no longer counts. Bodies stay: the next stream is told of them, and may find them right."""
        self.pushed, self.record = False, None
        for body in self.bodies.values():
            body.pushed = False

    def settle(self, shared: Lease, epoch: str) -> Iterator[Item]:
        """Makes each item mean what was pushed, resting on the watch's lease where that is the better one.

        Yields the items that changed.
        """
        for item in self.items.values():
            if self._settle_item(item, self._body_of(item, epoch)) | self.promote(item, shared):
                yield item
        for number in self.bodies.keys() - self._needed():
            if not self.bodies[number].pushed:
                del self.bodies[number]

    def _body_of(self, item: Item, epoch: str) -> Meaning | None:
        """The body that an item leads to, if it is known right as of the prompt's last change; or its split."""
        if self.record and (split := self.record.split_of(item.selector)):
            return SplitAlias(name=self.name, alias=str(item.selector), split=split)
        number = self.record.version_of(item.selector) if self.record else None
        if number is None or self.record is None:
            return None
        body = self.bodies.get(number)
        return body.value if body is not None and body.as_of.reaches(Revision(epoch, self.record.etag)) else None

    def _settle_item(self, item: Item, body: Meaning | None) -> bool:
        if body is None or self.record is None:
            changed = item.value is not None
            item.take(None)
            return changed
        if isinstance(body, SplitAlias):
            if item.value == body and not item.asks:
                return False
            item.take(body, body)
            return True
        aliases = self.record.aliases_of(body.version)
        if (
            item.body is body
            and isinstance(item.value, PromptVersion)
            and item.value.aliases == aliases
            and not item.asks
        ):
            return False
        value = replace(body, aliases=aliases, alias=alias_of(item.selector))
        if item.value == value:
            item.body, item.asks = body, False
        else:
            item.take(value, body)
        return True

    def promote(self, item: Item, shared: Lease) -> bool:
        """Hands an item over to the watch's lease, if the stream speaks of it; whether that changed anything."""
        if item.value is None or item.lease is shared or item.lease.confirmed_at > shared.confirmed_at:
            return False
        if self.floor is not None or not self.pushed:
            return False
        body = self.bodies.get(item.value.version)
        if isinstance(item.value, PromptVersion) and (body is None or not body.pushed):
            return False
        item.rest_on(shared)
        return True
