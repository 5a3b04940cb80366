"""What can be asked of the store: a write is one or more operations that happen whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from promptwire.domain.content import Content
from promptwire.domain.splits import Target
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.records import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Adds a version, and the prompt if it is new. What its content includes has to be there with these digests."""

    name: str
    content: Content
    digest: str
    commit_message: str
    tags: Mapping[str, str]
    expected_latest: int | None = None
    """Compare-and-set on the newest version; 0 for "no such prompt yet"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAlias:
    """Points an alias at a version, a split, or the newest version: None. `expected` is compare-and-set; 0 for "no such
    alias yet".
    """

    name: str
    alias: str
    target: Target | None
    expected: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAlias:
    """Removes an alias. With `allow_missing` a missing one is no error, and then nothing is written."""

    name: str
    alias: str
    expected: Target | None = None
    allow_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackAlias:
    """Points an alias at what it pointed at before, or at what it did at a time, in milliseconds since 1970, or at a
    target.

    What it leaves is abandoned: no later roll-back goes there, unless something points the alias there anew. So does
    the undoing of a release. Where it points there already, nothing is written. It is the only one of its alias in a
    write.
    """

    name: str
    alias: str
    at_ms: int | None = None
    to: Target | None = None
    expected: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTags:
    """Sets tags of a prompt, or of one of its versions."""

    name: str
    version: int | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTags:
    """Removes tags of a prompt, or of one of its versions; absent keys are no error."""

    name: str
    version: int | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVersion:
    """Hides a version until it is purged. Aliases that lead to it refuse that, or go with it. It is alone in its
    write.
    """

    name: str
    version: int
    drop_aliases: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteVersion:
    """Brings back a version that is not purged yet; not the aliases that went with it. It is alone in its write."""

    name: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePrompt:
    """Hides a prompt with all that it has until it is purged, however much that is. It is alone in its write."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeletePrompt:
    """Brings back a prompt that is not purged yet, as it was. It is alone in its write."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Removes for good what was deleted before a time, in milliseconds since 1970; at most so many at once.

    It is alone in its write.
    """

    before_ms: int
    limit: int
    name: str = ""


ALONE: Final = (DeleteVersion, UndeleteVersion, DeletePrompt, UndeletePrompt, Purge)
"""What has a write to itself: a store may take several steps before it."""

Operation = (
    Register
    | SetAlias
    | DeleteAlias
    | RollbackAlias
    | SetTags
    | DeleteTags
    | DeleteVersion
    | UndeleteVersion
    | DeletePrompt
    | UndeletePrompt
    | Purge
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Operations that happen all or not at all, each one seeing what those before it did; who asks for them and why,
    and what makes them happen at most once.

    `expected_etag` is of the first operation's prompt. `release` is the title of a release, which is kept in a list;
    `undoes` the revision number of the one that it takes back. With `dry_run` nothing is written nor remembered, and
    each operation that would be refused has its problem as its result.
    """

    operations: tuple[Operation, ...]
    request_id: str
    actor: str
    reason: str = ""
    expected_etag: int | None = None
    release: str | None = None
    undoes: int | None = None
    dry_run: bool = False
    asked: str = ""
    """What was asked for, if the operations were worked out from what the store held: a repeat of the request may come
    to others, and is the same all the same."""

    def __post_init__(self) -> None:
        if len(self.operations) > 1 and any(isinstance(operation, ALONE) for operation in self.operations):
            raise ValueError("a deletion, an undeletion or a purge is alone in its write")

    def repeats(self, earlier: "Write") -> bool:
        """Whether it is the same as an earlier one of its request id. Who repeats a request may have a newer actor
        string, e.g. after a restart elsewhere."""
        if self.asked or earlier.asked:
            return self.asked == earlier.asked
        return replace(earlier, actor=self.actor) == self


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one operation: the version that Register made; what an alias leads to now, and what it led to
    before, 0 for nothing; how many Purge removed.
    """

    version: int = 0
    target: Target = 0
    previous: Target = 0
    purged: int = 0
    problem: RegistryError | None = None
    """In a dry run: why it would be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The answer to a write, with a result for each operation; the same for every repeat of its request id."""

    revision: Revision
    time_ms: int
    actor: str
    results: tuple[Result, ...]
