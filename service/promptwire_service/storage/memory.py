"""A store in memory, for tests of what stands above the store. It passes the conformance suite, and keeps nothing."""

import copy
import itertools
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

from promptwire.domain import limits
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    Change,
    LogEntry,
    LogPage,
    TagsDeleted,
    TagsSet,
    VersionRegistered,
    apply,
    apply_to_version,
)
from promptwire_service.domain.errors import (
    alias_conflict,
    alias_not_found,
    etag_conflict,
    prompt_not_found,
    request_id_reused,
    too_many,
    version_not_found,
)
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeleteTags,
    Operation,
    Register,
    SetAlias,
    SetTags,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.storage.base import StoreInfo


class _Namespace:
    def __init__(self) -> None:
        self.epoch = uuid.uuid4().hex
        self.number = 0
        self.prompts: dict[str, PromptRecord] = {}
        self.versions: dict[tuple[str, int], VersionRecord] = {}
        self.log: list[LogEntry] = []
        self.floor = 0
        self.answers: dict[str, tuple[Write, Written]] = {}
        self.bells: list[Callable[[int], None]] = []

    @property
    def head(self) -> Revision:
        return Revision(self.epoch, self.number)


class MemoryStore:
    """Store in one process's memory; see storage.base.Store."""

    def __init__(self, *, log_entries_kept: int = 100_000) -> None:
        self._namespaces: dict[str, _Namespace] = {}
        self._listeners: dict[tuple[str, str], list[Callable[[str], None]]] = {}
        self._log_entries_kept = log_entries_kept

    async def write(self, namespace: str, write: Write) -> Written:
        space = self._space(namespace)
        if earlier := space.answers.get(write.request_id):
            if replace(earlier[0], actor=write.actor) != write:
                raise request_id_reused(write.request_id)
            return earlier[1]
        operation = write.operation
        prompt = space.prompts.get(operation.name)
        if prompt is None and not isinstance(operation, Register):
            raise prompt_not_found(operation.name)
        etag = prompt.etag if prompt else 0
        if write.expected_etag not in (None, etag):
            raise etag_conflict(operation.name, write.expected_etag or 0, etag)
        change = _change(space, prompt, operation)
        previous = getattr(change, "previous_version", 0)
        time_ms = time.time_ns() // 1_000_000
        if change:
            space.number += 1
            entry = LogEntry(space.number, time_ms, write.actor, write.reason, write.request_id, (change,))
            self._carry_out(space, entry, prompt, operation, change)
        written = Written(
            revision=space.head,
            time_ms=time_ms,
            actor=write.actor,
            version=change.version if isinstance(change, VersionRegistered) else 0,
            previous_version=previous,
        )
        space.answers[write.request_id] = (write, written)
        for ring in tuple(space.bells):
            ring(written.revision.number)
        return written

    def _carry_out(
        self,
        space: _Namespace,
        entry: LogEntry,
        prompt: PromptRecord | None,
        operation: Operation,
        change: Change,
    ) -> None:
        space.prompts[operation.name] = apply(prompt, entry, change)
        if isinstance(operation, Register) and isinstance(change, VersionRegistered):
            space.versions[operation.name, change.version] = VersionRecord(
                name=operation.name,
                version=change.version,
                content=operation.content,
                digest=operation.digest,
                commit_message=operation.commit_message,
                tags=dict(operation.tags),
                author=entry.actor,
                created_ms=entry.time_ms,
                etag=entry.number,
            )
        elif isinstance(change, TagsSet | TagsDeleted) and change.version:
            key = (operation.name, change.version)
            space.versions[key] = apply_to_version(space.versions[key], entry, change)
        space.log.append(entry)
        if len(space.log) > self._log_entries_kept:
            space.floor = space.log.pop(0).number

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        space = self._space(namespace)
        return Read([space.prompts.get(name) for name in names], space.head)

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        space = self._space(namespace)
        return Read([space.versions.get(key) for key in keys], space.head)

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        space = self._space(namespace)
        names = (name for name in sorted(space.prompts) if name > after and name.startswith(prefix))
        return Read([space.prompts[name] for name in itertools.islice(names, limit)], space.head)

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        space = self._space(namespace)
        prompt = space.prompts.get(name)
        newest = min(prompt.latest_version, before - 1) if prompt else 0
        rows: list[VersionRecord] = []
        size = 0
        for number in range(newest, 0, -1):
            record = space.versions[name, number]
            size += record.size_bytes
            if len(rows) == limit or (rows and size > max_bytes):
                break
            rows.append(record)
        return Read(rows, space.head)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        space = self._space(namespace)
        start = bisect_right(space.log, after, key=lambda entry: entry.number)
        here = space.log[start - 1] if start else None
        return LogPage(
            tuple(space.log[start : start + limit]),
            space.head,
            space.floor,
            here.request_id if here and here.number == after else "",
        )

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        space = self._space(namespace)
        if space.epoch == epoch:
            space.epoch = uuid.uuid4().hex
        return space.head

    def on_bell(self, namespace: str, ring: Callable[[int], None]) -> Callable[[], None]:
        bells = self._space(namespace).bells
        bells.append(ring)
        return lambda: bells.remove(ring)

    def on_message(self, namespace: str, topic: str, hear: Callable[[str], None]) -> Callable[[], None]:
        listeners = self._listeners.setdefault((namespace, topic), [])
        listeners.append(hear)
        hear("")
        return lambda: listeners.remove(hear)

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        listeners = tuple(self._listeners.get((namespace, topic), ()))
        for hear in listeners:
            hear(text)
        return len(listeners)

    async def info(self) -> StoreInfo:
        return StoreInfo(location="memory", server="memory", durability="none")

    async def close(self) -> None:
        self._namespaces.clear()

    def forget(self, namespace: str) -> None:
        """Empties a namespace as FLUSHALL would: its next revision is 1 of another epoch."""
        bells = self._space(namespace).bells
        self._namespaces[namespace] = _Namespace()
        self._namespaces[namespace].bells = bells

    def backup(self, namespace: str) -> Callable[[], None]:
        """Returns what brings the namespace back to what it is now, under the same epoch, as restored keys would."""
        kept = {name: copy.copy(value) for name, value in vars(self._space(namespace)).items() if name != "bells"}

        def restore() -> None:
            vars(self._space(namespace)).update({name: copy.copy(value) for name, value in kept.items()})

        return restore

    def _space(self, namespace: str) -> _Namespace:
        return self._namespaces.setdefault(namespace, _Namespace())


def _change(space: _Namespace, prompt: PromptRecord | None, operation: Operation) -> Change | None:
    """What the operation changes, None for nothing; raises the refusal."""
    name = operation.name
    if isinstance(operation, Register):
        return VersionRegistered(name, prompt.latest_version + 1 if prompt else 1)
    assert prompt is not None
    match operation:
        case SetAlias(alias=alias):
            current = prompt.aliases.get(alias, 0)
            if not current and len(prompt.aliases) >= limits.ALIASES_MAX_PER_PROMPT:
                raise too_many("alias", limits.ALIASES_MAX_PER_PROMPT, name)
            _require_version(space, prompt, operation.version)
            _require_target(operation, current)
            return AliasSet(name, alias, operation.version, current)
        case DeleteAlias(alias=alias):
            if alias not in prompt.aliases:
                if operation.allow_missing:
                    return None
                raise alias_not_found(name, alias, sorted(prompt.aliases))
            _require_target(operation, prompt.aliases[alias])
            return AliasDeleted(name, alias, prompt.aliases[alias])
        case SetTags(version=version, tags=tags):
            if version:
                _require_version(space, prompt, version)
            before = space.versions[name, version].tags if version else prompt.tags
            if len({**before, **tags}) > limits.TAGS_MAX:
                raise too_many("tags", limits.TAGS_MAX, name)
            return TagsSet(name, version, dict(tags))
        case DeleteTags(version=version, keys=keys):
            if version:
                _require_version(space, prompt, version)
            return TagsDeleted(name, version, keys)


def _require_version(space: _Namespace, prompt: PromptRecord, version: int) -> None:
    if (prompt.name, version) not in space.versions:
        raise version_not_found(prompt.name, version, prompt.latest_version)


def _require_target(operation: SetAlias | DeleteAlias, current: int) -> None:
    expected = operation.expected_version
    if expected is not None and expected != current:
        raise alias_conflict(operation.name, operation.alias, expected, current)
