"""What the store holds, as frozen values, and where in history it held it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Generic, TypeVar

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.domain.names import LATEST, tags_size_bytes
from promptwire.domain.references import Selector
from promptwire.domain.splits import Split, Target, versions_of_target
from promptwire.domain.templates import variables_of

TOKEN_BYTES: Final = 8

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Revision:
    """A point in one namespace's history. Numbers of different epochs cannot be compared."""

    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class Read(Generic[T_co]):
    """A value and the revision at which the store held it, read atomically.

    `cut`: rows that were asked for are left out, since those before them are large; ask again after the last one.
    """

    value: T_co
    revision: Revision
    cut: bool = False


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt without its versions. `etag` is the number of the last revision that changed anything of it.

    `last_version` is the highest number it ever had; numbers up to `before_version` were of a purged prompt of its
    name. An alias is in `aliases` or in `splits`. Times are in milliseconds since 1970; `deleted_ms` is 0 for a prompt
    that is not deleted.
    """

    name: str
    last_version: int
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    author: str
    created_ms: int
    updated_ms: int
    etag: int
    splits: Mapping[str, Split] = field(default_factory=dict)
    deleted_versions: Mapping[int, int] = field(default_factory=dict)
    deleted_ms: int = 0
    before_version: int = 0

    @property
    def latest_version(self) -> int:
        """The newest version that is not deleted; 0 when all are."""
        version = self.last_version
        while version in self.deleted_versions:
            version -= 1
        return version if version > self.before_version else 0

    def target_of(self, alias: str) -> Target:
        """What an alias points at; 0 for nothing."""
        return self.splits.get(alias) or self.aliases.get(alias, 0)

    def has_version(self, version: int) -> bool:
        return self.before_version < version <= self.last_version and version not in self.deleted_versions

    def version_of(self, selector: Selector) -> int | None:
        """The version that an alias or number means; None when there is none, or several."""
        versions = self.versions_of(selector)
        return versions[0] if len(versions) == 1 else None

    def versions_of(self, selector: Selector) -> tuple[int, ...]:
        """The versions that an alias or number may lead to."""
        if self.deleted_ms:
            return ()
        if isinstance(selector, int):
            return (selector,) if self.has_version(selector) else ()
        return versions_of_target(self.latest_version if selector == LATEST else self.target_of(selector))

    @property
    def size_bytes(self) -> int:
        """About what it costs a cache or a message: its tags, 100 bytes an alias, and 500 bytes for the rest."""
        splits = sum(200 + 12 * len(split.segments) for split in self.splits.values()) if self.splits else 0
        deleted = 5 * len(self.deleted_versions)
        return 500 + 100 * len(self.aliases) + splits + deleted + tags_size_bytes(self.tags)

    @property
    def aliases_max_bytes(self) -> int:
        """About what the aliases of one version may take up in a message: all may lead to it."""
        return (limits.ALIAS_MAX_CHARS + 3) * (len(self.aliases) + len(self.splits))

    def aliases_of(self, version: int) -> list[str]:
        """Those that lead to a version, in part at least."""
        plain = (alias for alias, target in self.aliases.items() if target == version)
        return sorted([*plain, *(alias for alias, split in self.splits.items() if version in split.versions)])


@dataclass(frozen=True)
class VersionRecord:
    """One version. Only `tags` ever change, and with them `etag`, the number of the last revision that changed them,
    and `updated_ms`, when that was; 0 if it never was.
    """

    name: str
    version: int
    content: Content
    digest: str
    commit_message: str
    tags: Mapping[str, str]
    author: str
    created_ms: int
    etag: int
    updated_ms: int = 0

    @cached_property
    def token(self) -> bytes:
        """Stands for all that an agent is told of it, whatever the epoch; see PromptVersion.token in the protos."""
        told = (self.name, self.version, self.digest, self.commit_message, self.author, self.created_ms, self.etag)
        text = json.dumps([*told, sorted(self.tags.items())], ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=TOKEN_BYTES).digest()

    @cached_property
    def variables(self) -> tuple[str, ...]:
        known = self.content.variables
        return variables_of(self.content) if known is None else known

    @cached_property
    def size_bytes(self) -> int:
        """About what it costs a cache: its text in UTF-8 and 500 bytes for the rest."""
        return self.content.size_bytes + tags_size_bytes(self.tags) + len(self.commit_message.encode()) + 500
