"""What can be asked of the store: a write is one or more operations that happen whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass

from promptwire.domain.content import Content
from promptwire_service.domain.records import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Adds a version, and the prompt if it is new."""

    name: str
    content: Content
    digest: str
    commit_message: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAlias:
    """Points an alias at a version. `expected_version` is compare-and-set; 0 for "no such alias yet"."""

    name: str
    alias: str
    version: int
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAlias:
    """Removes an alias. With `allow_missing` a missing one is no error, and then nothing is written."""

    name: str
    alias: str
    expected_version: int | None = None
    allow_missing: bool = False


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


Operation = Register | SetAlias | DeleteAlias | SetTags | DeleteTags


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An operation, who asks for it and why, and what makes it happen at most once."""

    operation: Operation
    request_id: str
    actor: str
    reason: str = ""
    expected_etag: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The answer to a write; the same for every repeat of its request id.

    `version` is what Register made; `previous_version` what SetAlias or DeleteAlias replaced, 0 for nothing.
    """

    revision: Revision
    time_ms: int
    actor: str
    version: int = 0
    previous_version: int = 0
