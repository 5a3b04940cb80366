"""What the store holds, as frozen values, and where in history it held it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from promptwire.domain.content import Content
from promptwire.domain.names import LATEST
from promptwire.domain.references import Selector
from promptwire.domain.template import TextTemplate

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Revision:
    """A point in one namespace's history. Numbers of different epochs cannot be compared."""

    epoch: str
    number: int


@dataclass(frozen=True, slots=True)
class Read(Generic[T_co]):
    """A value and the revision at which the store held it, read atomically."""

    value: T_co
    revision: Revision


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt without its versions. `etag` is the number of the last revision that changed anything of it."""

    name: str
    latest_version: int
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    author: str
    created_ms: int
    updated_ms: int
    etag: int

    def version_of(self, selector: Selector) -> int | None:
        """The version that an alias or number means; None when there is none."""
        if isinstance(selector, int):
            return selector if selector <= self.latest_version else None
        if selector == LATEST:
            return self.latest_version
        return self.aliases.get(selector)

    @property
    def size_bytes(self) -> int:
        """About what it costs a cache or a message: its tags, 100 bytes an alias, and 500 bytes for the rest."""
        return 500 + 100 * len(self.aliases) + sum(len(key) + len(value) for key, value in self.tags.items())

    def aliases_of(self, version: int) -> list[str]:
        return sorted(alias for alias, target in self.aliases.items() if target == version)


@dataclass(frozen=True)
class VersionRecord:
    """One version. Only `tags` ever change, and `etag`, the number of the last revision that changed them, with
    them.
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

    @cached_property
    def variables(self) -> tuple[str, ...]:
        return TextTemplate(self.content.text).variables

    @cached_property
    def size_bytes(self) -> int:
        """About what it costs a cache: its text in UTF-8 and 500 bytes for the rest."""
        tags = sum(len(key.encode()) + len(value.encode()) for key, value in self.tags.items())
        return self.content.size_bytes + tags + len(self.commit_message.encode()) + 500
