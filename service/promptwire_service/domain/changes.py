"""What happened: entries of the log, and how each changes a prompt.

`apply` is the same step that the store's script takes, as a pure function: whoever knows a prompt at one revision
and reads the log from there knows it at every later one without asking again. The conformance suite holds the two
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from promptwire.domain.names import tags_size_bytes
from promptwire.domain.splits import Split, Target
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord


@dataclass(frozen=True, slots=True)
class VersionRegistered:
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class AliasSet:
    name: str
    alias: str
    target: Target
    previous: Target


@dataclass(frozen=True, slots=True)
class AliasDeleted:
    name: str
    alias: str
    previous: Target


@dataclass(frozen=True, slots=True)
class TagsSet:
    name: str
    version: int | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TagsDeleted:
    name: str
    version: int | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionDeleted:
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class VersionUndeleted:
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class VersionPurged:
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class PromptDeleted:
    name: str


@dataclass(frozen=True, slots=True)
class PromptUndeleted:
    name: str


@dataclass(frozen=True, slots=True)
class PromptPurged:
    name: str


K = TypeVar("K")
V = TypeVar("V")

Change = (
    VersionRegistered
    | AliasSet
    | AliasDeleted
    | TagsSet
    | TagsDeleted
    | VersionDeleted
    | VersionUndeleted
    | VersionPurged
    | PromptDeleted
    | PromptUndeleted
    | PromptPurged
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One revision: everything one write changed."""

    number: int
    time_ms: int
    actor: str
    reason: str
    request_id: str
    changes: tuple[Change, ...]

    @property
    def size_bytes(self) -> int:
        """About what it takes up in a message."""
        return 500 + len(self.reason.encode()) + sum(map(_size_bytes, self.changes))


@dataclass(frozen=True, slots=True)
class LogHead:
    """Where a namespace's log stands: its newest revision, and the request id of the write that made it.

    The request id is empty where there is no write yet. Two histories of one epoch and number differ by it.
    """

    revision: Revision
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class LogPage:
    """A part of the log after a cursor, read atomically with where the log stands.

    `floor` is the number of the oldest revision from which the log is complete: a cursor below it cannot be continued.
    `cursor_request_id` is the request id of the entry at the cursor itself, empty where the log does not have it: who
    knows another entry of this number stands in another history, though its epoch is the same.
    """

    entries: tuple[LogEntry, ...]
    head: Revision
    floor: int
    cursor_request_id: str = ""


def _size_bytes(change: Change) -> int:
    size = 50 + len(change.name)
    match change:
        case AliasSet(target=target, previous=previous):
            return size + 100 + target_size_bytes(target) + target_size_bytes(previous)
        case AliasDeleted(previous=previous):
            return size + 100 + target_size_bytes(previous)
        case TagsSet(tags=tags):
            return size + tags_size_bytes(tags) + 10 * len(tags)
        case TagsDeleted(keys=keys):
            return size + sum(len(key.encode()) + 5 for key in keys)
    return size


def target_size_bytes(target: Target) -> int:
    """About what an alias's target takes up in a message."""
    return 12 if isinstance(target, int) else 300 + 20 * len(target.segments)


def apply(prompt: PromptRecord | None, entry: LogEntry, change: Change) -> PromptRecord | None:
    """The prompt after one change of it; None once it is purged."""
    if isinstance(change, PromptPurged):
        return None
    if prompt is None:
        prompt = PromptRecord(
            name=change.name,
            last_version=0,
            aliases={},
            tags={},
            author=entry.actor,
            created_ms=entry.time_ms,
            updated_ms=entry.time_ms,
            etag=entry.number,
            before_version=change.version - 1 if isinstance(change, VersionRegistered) else 0,
        )
    prompt = replace(prompt, updated_ms=entry.time_ms, etag=entry.number)
    match change:
        case VersionRegistered(version=version):
            return replace(prompt, last_version=version)
        case AliasSet(alias=alias, target=Split() as split):
            return replace(prompt, aliases=_without(prompt.aliases, (alias,)), splits={**prompt.splits, alias: split})
        case AliasSet(alias=alias, target=int(version)):
            return replace(prompt, aliases={**prompt.aliases, alias: version}, splits=_without(prompt.splits, (alias,)))
        case AliasDeleted(alias=alias):
            return replace(prompt, aliases=_without(prompt.aliases, (alias,)), splits=_without(prompt.splits, (alias,)))
        case VersionDeleted(version=version):
            return replace(prompt, deleted_versions={**prompt.deleted_versions, version: entry.time_ms})
        case VersionUndeleted(version=version):
            return replace(prompt, deleted_versions=_without(prompt.deleted_versions, (version,)))
        case PromptDeleted():
            return replace(prompt, deleted_ms=entry.time_ms)
        case PromptUndeleted():
            return replace(prompt, deleted_ms=0)
        case TagsSet(version=None, tags=tags):
            return replace(prompt, tags={**prompt.tags, **tags})
        case TagsDeleted(version=None, keys=keys):
            return replace(prompt, tags=_without(prompt.tags, keys))
    return prompt


def apply_to_version(record: VersionRecord, entry: LogEntry, change: Change) -> VersionRecord:
    """The version after one change of its prompt."""
    match change:
        case TagsSet(version=record.version, tags=tags):
            after = {**record.tags, **tags}
        case TagsDeleted(version=record.version, keys=keys):
            after = _without(record.tags, keys)
        case _:
            return record
    return replace(record, tags=after, etag=entry.number, updated_ms=entry.time_ms)


def _without(mapping: Mapping[K, V], keys: tuple[K, ...]) -> dict[K, V]:
    return {key: value for key, value in mapping.items() if key not in keys}
