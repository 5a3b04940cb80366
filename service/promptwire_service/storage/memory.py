"""A store in memory, for tests of what stands above the store. It passes the conformance suite, and keeps nothing."""

import copy
import itertools
import time
import uuid
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from promptwire.domain import limits
from promptwire.domain.content import Include
from promptwire.domain.names import tags_size_bytes
from promptwire.domain.splits import Target, versions_of_target
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    Change,
    LogEntry,
    LogHead,
    LogPage,
    PromptDeleted,
    PromptPurged,
    PromptUndeleted,
    TagsDeleted,
    TagsSet,
    VersionDeleted,
    VersionPurged,
    VersionRegistered,
    VersionUndeleted,
    apply,
    apply_to_version,
)
from promptwire_service.domain.errors import (
    RegistryError,
    alias_conflict,
    alias_not_found,
    etag_conflict,
    included,
    latest_conflict,
    no_version_left,
    not_deleted,
    nothing_to_roll_back,
    prompt_deleted,
    prompt_not_found,
    release_not_found,
    release_undone,
    request_id_reused,
    tags_too_large,
    too_many,
    version_aliased,
    version_deleted,
    version_not_found,
)
from promptwire_service.domain.kept import AliasMoved, Deleted, Dependent, Dependents, KeptWrite
from promptwire_service.domain.metrics import Group, Observed, ObservedPart, Recorded, Refused, Series, Wanted, Why
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteTags,
    DeleteVersion,
    Operation,
    Purge,
    Register,
    Result,
    RollbackAlias,
    SetAlias,
    SetTags,
    UndeletePrompt,
    UndeleteVersion,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow
from promptwire_service.domain.sketch import Sketch
from promptwire_service.storage.base import StoreInfo
from promptwire_service.storage.memory_search import candidates


@dataclass
class _Moved:
    """What a write does to an alias, as far as its undo stack is concerned: what it does in between was never live.

    With `since` it goes back: what it leaves is abandoned, and what the alias came to lead to from that revision on.
    """

    start: Target
    end: Target
    since: int | None


@dataclass
class _State:
    """What a write changes, all of it or nothing."""

    number: int = 0
    prompts: dict[str, PromptRecord] = field(default_factory=dict)
    versions: dict[tuple[str, int], VersionRecord] = field(default_factory=dict)
    includes: dict[tuple[str, int], tuple[Include, ...]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    deleted: dict[tuple[str, int], int] = field(default_factory=dict)
    history: dict[tuple[str, str], tuple[AliasMoved, ...]] = field(default_factory=dict)
    stacks: dict[tuple[str, str], tuple[tuple[int, Target], ...]] = field(default_factory=dict)
    """By alias: where a roll-back may go, and since when the alias led there; the newest last."""
    audit: tuple[KeptWrite, ...] = ()

    def draft(self) -> "_State":
        return _State(**{name: copy.copy(value) for name, value in vars(self).items()})

    def row(self, name: str, version: int) -> VersionRow | None:
        """A version with its prompt, unless either is missing or deleted."""
        prompt, record = self.prompts.get(name), self.versions.get((name, version))
        if prompt is None or prompt.deleted_ms or record is None or version in prompt.deleted_versions:
            return None
        return VersionRow(prompt, record)

    def dependents(self, name: str, version: int | None) -> list[Dependent]:
        """What includes a version of a prompt, or any of them, and is not deleted."""
        found = {
            Dependent(one.version, *by)
            for by, includes in self.includes.items()
            for one in includes
            if one.name == name and version in (None, one.version)
            if by not in self.deleted and (by[0], 0) not in self.deleted
        }
        return sorted(found, key=lambda one: one.position)


class _Namespace:
    def __init__(self) -> None:
        self.epoch = uuid.uuid4().hex
        self.state = _State()
        self.log: list[LogEntry] = []
        self.floor = 0
        self.answers: dict[str, tuple[Write, Written]] = {}
        self.observed: dict[tuple[str, int, Series, str], Sketch] = {}
        self.recorded: dict[str, tuple[str | list[Group], Recorded]] = {}

    @property
    def head(self) -> Revision:
        return Revision(self.epoch, self.state.number)


class MemoryStore:
    """Store in one process's memory; see storage.base.Store."""

    def __init__(self, *, log_entries_kept: int = 100_000) -> None:
        self._namespaces: dict[str, _Namespace] = {}
        self._notify: list[Callable[[str, int], None]] = []
        self._receivers: dict[str, list[Callable[[str, str], None]]] = {}
        self._log_entries_kept = log_entries_kept

    async def write(self, namespace: str, write: Write) -> Written:
        space = self._space(namespace)
        if earlier := space.answers.get(write.request_id):
            if not write.repeats(earlier[0]):
                raise request_id_reused(write.request_id)
            return earlier[1]
        drafted = _Draft(space.state.draft(), write)
        results = tuple(drafted.results())
        if write.dry_run:
            return Written(revision=space.head, time_ms=drafted.time_ms, actor=write.actor, results=results)
        if drafted.changes:
            space.state = drafted.state
            space.log.append(drafted.entry())
            if len(space.log) > self._log_entries_kept:
                space.floor = space.log.pop(0).number
        written = Written(revision=space.head, time_ms=drafted.time_ms, actor=write.actor, results=results)
        space.answers[write.request_id] = (write, written)
        for notify in tuple(self._notify):
            notify(namespace, written.revision.number)
        return written

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        space = self._space(namespace)
        return Read([space.state.prompts.get(name) for name in names], space.head)

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        space = self._space(namespace)
        return Read([space.state.versions.get(key) for key in keys], space.head)

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        space = self._space(namespace)
        prompts = space.state.prompts
        names = (name for name in sorted(prompts) if name > after and name.startswith(prefix))
        there = (prompts[name] for name in names if not prompts[name].deleted_ms)
        return Read(list(itertools.islice(there, limit)), space.head)

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        space = self._space(namespace)
        prompt = space.state.prompts.get(name)
        newest = min(prompt.last_version, before - 1) if prompt else 0
        rows: list[VersionRecord] = []
        size = 0
        for number in range(newest, 0, -1):
            record = space.state.versions.get((name, number))
            if record is None or (name, number) in space.state.deleted:
                continue
            size += record.size_bytes
            if len(rows) == limit or (rows and size > max_bytes):
                break
            rows.append(record)
        return Read(rows, space.head)

    async def find_versions(
        self, namespace: str, plan: Plan, *, after: str, limit: int, content: Contents
    ) -> Read[Candidates[VersionRow]]:
        space = self._space(namespace)
        rows = (row for key in space.state.versions if (row := space.state.row(*key)))
        return Read(candidates(rows, plan, after, limit), space.head)

    async def find_prompts(
        self, namespace: str, plan: Plan, *, after: str, limit: int
    ) -> Read[Candidates[PromptRecord]]:
        space = self._space(namespace)
        prompts = (prompt for prompt in space.state.prompts.values() if not prompt.deleted_ms)
        return Read(candidates(prompts, plan, after, limit), space.head)

    async def read_rows(
        self, namespace: str, keys: Sequence[tuple[str, int]], *, max_bytes: int
    ) -> Read[list[VersionRow | None]]:
        space = self._space(namespace)
        rows: list[VersionRow | None] = []
        size = 0
        for row in (space.state.row(*key) for key in keys):
            size += row.version.size_bytes if row else 0
            if rows and size > max_bytes:
                break
            rows.append(row)
        return Read(rows, space.head)

    async def read_prompt_rows(
        self, namespace: str, names: Sequence[str], *, max_bytes: int
    ) -> Read[list[PromptRecord | None]]:
        read = await self.read_prompts(namespace, names)
        rows: list[PromptRecord | None] = []
        size = 0
        for prompt in read.value:
            there = prompt is not None and not prompt.deleted_ms
            size += prompt.size_bytes if prompt is not None and there else 0
            if rows and size > max_bytes:
                break
            rows.append(prompt if there else None)
        return Read(rows, read.revision)

    async def read_history(
        self, namespace: str, name: str, alias: str, *, before: int, at_ms: int | None, limit: int
    ) -> Read[list[AliasMoved]]:
        space = self._space(namespace)
        moves = reversed(space.state.history.get((name, alias), ()))
        since = itertools.dropwhile(lambda one: at_ms is not None and one.time_ms > at_ms, moves)
        found = [one for one in since if one.number < before]
        return Read(found[:limit], space.head)

    async def read_audit(self, namespace: str, *, after: int, limit: int) -> Read[list[KeptWrite]]:
        space = self._space(namespace)
        return Read([one for one in _kept(space) if one.entry.number > after][:limit], space.head)

    async def read_releases(self, namespace: str, *, before: int, limit: int) -> Read[list[KeptWrite]]:
        space = self._space(namespace)
        releases = [one for one in _kept(space) if one.release is not None and one.entry.number < before]
        return Read(releases[::-1][:limit], space.head)

    async def list_deleted(self, namespace: str, *, skip: int, limit: int) -> Read[list[Deleted]]:
        space = self._space(namespace)
        deleted = [Deleted(*key, time_ms) for key, time_ms in space.state.deleted.items()]
        deleted.sort(key=lambda one: (one.deleted_ms, _member(one.name, one.version)))
        return Read(deleted[skip : skip + limit], space.head)

    async def namespaces_with_deletions(self) -> AsyncIterator[str]:
        for namespace, space in list(self._namespaces.items()):
            if space.state.deleted:
                yield namespace

    async def read_dependents(
        self, namespace: str, name: str, *, version: int | None, after: str, limit: int
    ) -> Read[Dependents]:
        space = self._space(namespace)
        left = [one for one in space.state.dependents(name, version) if one.position > after]
        following = left[limit - 1].position if len(left) > limit else ""
        return Read(Dependents(tuple(left[:limit]), following), space.head)

    async def record_metrics(
        self, namespace: str, groups: Sequence[Group], request_id: str, asked: str = ""
    ) -> Recorded:
        space = self._space(namespace)
        if earlier := space.recorded.get(request_id):
            if earlier[0] != (asked or list(groups)):
                raise request_id_reused(request_id)
            return earlier[1]
        refused: dict[int, Refused] = {}
        for index, group in enumerate(groups):
            prompt = space.state.prompts.get(group.name)
            if prompt is None or not prompt.versions_of(group.series.version):
                refused[index] = Refused(Why.MISSING)
                continue
            names = {metric for of, _, _, metric in space.observed if of == group.name}
            if len(names | group.sketches.keys()) > max(limits.METRIC_NAMES_MAX, len(names)):
                refused[index] = Refused(Why.NAMES, len(names))
                continue
            for metric, sketch in group.sketches.items():
                key = (group.name, group.hour, group.series, metric)
                space.observed.setdefault(key, Sketch()).merge(sketch)
        recorded = Recorded(refused)
        space.recorded[request_id] = (asked or copy.deepcopy(list(groups)), recorded)
        return recorded

    async def read_metrics(self, namespace: str, name: str, wanted: Wanted, *, after: str) -> Read[ObservedPart]:
        space = self._space(namespace)
        found = (
            Observed(series, hour, metric, sketch)
            for (of, hour, series, metric), sketch in space.observed.items()
            if of == name and wanted.covers(hour, metric, series.version)
        )
        return Read(ObservedPart(tuple(sorted(found, key=lambda one: one.hour))), space.head)

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

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        spaces = [self._space(namespace) for namespace in namespaces]
        return [LogHead(space.head, space.log[-1].request_id if space.log else "") for space in spaces]

    def partition(self, namespace: str) -> Hashable:
        return None

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        self._notify.append(notify)
        return lambda: self._notify.remove(notify)

    def on_message(self, topic: str, receive: Callable[[str, str], None]) -> Callable[[], None]:
        receivers = self._receivers.setdefault(topic, [])
        receivers.append(receive)
        return lambda: receivers.remove(receive)

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        receivers = tuple(self._receivers.get(topic, ()))
        for receive in receivers:
            receive(namespace, text)
        return len(receivers)

    async def info(self) -> StoreInfo:
        return StoreInfo(location="memory", server="memory", durability="none")

    async def close(self) -> None:
        self._namespaces.clear()

    def forget(self, namespace: str) -> None:
        """Empties a namespace as FLUSHALL would: its next revision is 1 of another epoch."""
        self._namespaces[namespace] = _Namespace()

    def backup(self, namespace: str) -> Callable[[], None]:
        """Returns what brings the namespace back to what it is now, under the same epoch, as restored keys would."""
        kept = {name: copy.copy(value) for name, value in vars(self._space(namespace)).items()}

        def restore() -> None:
            vars(self._space(namespace)).update({name: copy.copy(value) for name, value in kept.items()})

        return restore

    def _space(self, namespace: str) -> _Namespace:
        return self._namespaces.setdefault(namespace, _Namespace())


def _member(name: str, version: int) -> str:
    """What the real store orders deletions of one time by."""
    return f"v:{name}:{version}" if version else f"p:{name}"


def _kept(space: _Namespace) -> Iterator[KeptWrite]:
    undone = {one.undoes: one.entry.number for one in space.state.audit if one.undoes}
    return (replace(one, undone_by=undone.get(one.entry.number, 0)) for one in space.state.audit)


class _Draft:
    """One write under way, on a state of its own."""

    def __init__(self, state: _State, write: Write) -> None:
        self.state = state
        self.changes: list[Change] = []
        self.time_ms = time.time_ns() // 1_000_000
        self._write = write
        self._releases = {one.entry.number: one for one in state.audit if one.release is not None}
        self._moved: dict[tuple[str, str], _Moved] = {}
        state.number += 1

    def results(self) -> Iterator[Result]:
        """Carries out the operations. Raises the first refusal."""
        undoes = self._write.undoes
        if undoes is not None:
            if undoes not in self._releases:
                raise release_not_found(undoes)
            by = next((one.entry.number for one in self.state.audit if one.undoes == undoes), None)
            if by:
                raise release_undone(undoes, by)
        for index, operation in enumerate(self._write.operations):
            try:
                yield self._carry_out(operation, self._write.expected_etag if index == 0 else None)
            except RegistryError as problem:
                if not self._write.dry_run:
                    raise
                yield Result(problem=problem)
        for key, moved in self._moved.items():
            self._keep_in_stack(key, moved)
        if self.changes:
            entry = self.entry()
            kept = replace(entry, changes=tuple(map(_for_ever, entry.changes)))
            self.state.audit += (KeptWrite(kept, self._write.release, undoes or 0),)

    def entry(self) -> LogEntry:
        write = self._write
        changes = tuple(self.changes)
        return LogEntry(self.state.number, self.time_ms, write.actor, write.reason, write.request_id, changes)

    def _carry_out(self, operation: Operation, expected_etag: int | None) -> Result:
        name = operation.name
        prompt = self.state.prompts.get(name)
        if isinstance(operation, Purge):
            return self._purge(operation)
        if prompt is None and not isinstance(operation, Register):
            raise prompt_not_found(name)
        etag = prompt.etag if prompt else 0
        if expected_etag not in (None, etag):
            raise etag_conflict(name, expected_etag or 0, etag)
        if prompt and prompt.deleted_ms and not isinstance(operation, UndeletePrompt):
            raise prompt_deleted(name)
        if isinstance(operation, Register):
            return self._register(operation, prompt)
        assert prompt is not None
        match operation:
            case SetAlias(alias=alias, expected=expected):
                self._require_room(prompt, alias)
                target = operation.target if operation.target is not None else prompt.latest_version
                if not target:
                    raise no_version_left(name)
                self._require(prompt, *versions_of_target(target))
                _require_target(operation, prompt.target_of(alias), expected)
                return self._move(prompt, alias, target)
            case DeleteAlias(alias=alias, expected=expected):
                current = prompt.target_of(alias)
                if not current:
                    if operation.allow_missing:
                        return Result()
                    raise alias_not_found(name, alias, sorted([*prompt.aliases, *prompt.splits]))
                _require_target(operation, current, expected)
                return self._move(prompt, alias, 0)
            case RollbackAlias():
                return self._roll_back(prompt, operation)
            case SetTags(version=version, tags=tags):
                if version:
                    self._require(prompt, version)
                before = self.state.versions[name, version].tags if version else prompt.tags
                after = {**before, **tags}
                if len(after) > limits.TAGS_MAX:
                    raise too_many("tags", limits.TAGS_MAX, name)
                if tags_size_bytes(after) > limits.TAGS_MAX_BYTES:
                    raise tags_too_large(name, limits.TAGS_MAX_BYTES)
                self._change(TagsSet(name, version, dict(tags)))
            case DeleteTags(version=version, keys=keys):
                if version:
                    self._require(prompt, version)
                self._change(TagsDeleted(name, version, keys))
            case DeleteVersion():
                self._delete_version(prompt, operation)
            case UndeleteVersion(version=version):
                if (name, version) not in self.state.versions:
                    raise version_not_found(name, version, prompt.latest_version)
                if self.state.deleted.pop((name, version), None) is None:
                    raise not_deleted(name, version)
                self._change(VersionUndeleted(name, version))
            case DeletePrompt():
                if found := [one for one in self.state.dependents(name, None) if one.by_name != name]:
                    raise included(name, 0, sorted({(one.by_name, one.by_version) for one in found}))
                self.state.deleted[name, 0] = self.time_ms
                self._change(PromptDeleted(name))
            case UndeletePrompt():
                if self.state.deleted.pop((name, 0), None) is None:
                    raise not_deleted(name, 0)
                self._change(PromptUndeleted(name))
        return Result()

    def _register(self, operation: Register, prompt: PromptRecord | None) -> Result:
        name = operation.name
        for include in operation.content.includes:
            of = self.state.prompts.get(include.name)
            if of and of.deleted_ms:
                raise prompt_deleted(include.name)
            if of:
                self._require(of, include.version)
            record = self.state.versions.get((include.name, include.version))
            if record is None or record.digest != include.digest:
                raise version_not_found(include.name, include.version, of.latest_version if of else 0)
        latest = prompt.latest_version if prompt else 0
        if operation.expected_latest not in (None, latest):
            raise latest_conflict(name, operation.expected_latest or 0, latest)
        version = (prompt.last_version if prompt else self.state.numbers.get(name, 0)) + 1
        self._change(VersionRegistered(name, version))
        self.state.versions[name, version] = VersionRecord(
            name=name,
            version=version,
            content=operation.content,
            digest=operation.digest,
            commit_message=operation.commit_message,
            tags=dict(operation.tags),
            author=self._write.actor,
            created_ms=self.time_ms,
            etag=self.state.number,
        )
        self.state.includes[name, version] = operation.content.includes
        return Result(version=version)

    def _roll_back(self, prompt: PromptRecord, operation: RollbackAlias) -> Result:
        name, alias = operation.name, operation.alias
        current = prompt.target_of(alias)
        _require_target(operation, current, operation.expected)
        to, since = operation.to, self.state.number
        stack = self.state.stacks.get((name, alias), ())
        if operation.at_ms is not None:
            at_ms = operation.at_ms
            moves = reversed(self.state.history.get((name, alias), ()))
            if then := next((one for one in moves if one.time_ms <= at_ms), None):
                to, since = then.target, then.number + 1
        else:
            below = (one for one in reversed(stack) if (one[1] == to if to else one[1] != current))
            if found := next(below, None):
                to, since = found[1], found[0] + 1
        if not to:
            raise nothing_to_roll_back(name, alias, operation.at_ms)
        if to == current:
            return Result(target=current, previous=current)
        self._require_room(prompt, alias)
        self._require(prompt, *versions_of_target(to))
        return self._move(prompt, alias, to, since)

    def _delete_version(self, prompt: PromptRecord, operation: DeleteVersion) -> None:
        name, version = operation.name, operation.version
        self._require(prompt, version)
        if found := self.state.dependents(name, version):
            raise included(name, version, [(one.by_name, one.by_version) for one in found])
        aliases = prompt.aliases_of(version)
        if aliases and not operation.drop_aliases:
            raise version_aliased(name, version, aliases)
        if len(prompt.deleted_versions) >= limits.DELETED_VERSIONS_MAX:
            raise too_many("version", limits.DELETED_VERSIONS_MAX, name)
        for alias in aliases:
            self._move(self.state.prompts[name], alias, 0)
        self.state.deleted[name, version] = self.time_ms
        self._change(VersionDeleted(name, version))

    def _purge(self, operation: Purge) -> Result:
        purged = 0
        # A prompt's versions go before it does, whether they were deleted by themselves or not.
        prompts = [name for name, version in self._due(operation) if not version]
        for name in prompts:
            self._forget([(name, number) for number in range(1, self.state.prompts[name].last_version + 1)])
        for name, version in self._due(operation):
            if not version and name not in prompts:
                continue
            del self.state.deleted[name, version]
            purged += 1
            if version:
                self._forget([(name, version)])
                self._change(VersionPurged(name, version))
                continue
            prompt = self.state.prompts[name]
            self.state.numbers[name] = prompt.last_version
            for alias in sorted([*prompt.aliases, *prompt.splits]):
                self._move(self.state.prompts[name], alias, 0)
            self._change(PromptPurged(name))
        return Result(purged=purged)

    def _due(self, operation: Purge) -> list[tuple[str, int]]:
        """The first deletions that a purge is to make final."""
        deleted = self.state.deleted.items()
        due = sorted((time_ms, _member(*key), *key) for key, time_ms in deleted if time_ms < operation.before_ms)
        return [(name, version) for _, _, name, version in due[: operation.limit]]

    def _forget(self, keys: Iterable[tuple[str, int]]) -> None:
        for key in keys:
            self.state.versions.pop(key, None)
            self.state.includes.pop(key, None)
            self.state.deleted.pop(key, None)

    def _move(self, prompt: PromptRecord, alias: str, target: Target, back_since: int | None = None) -> Result:
        name, write, previous = prompt.name, self._write, prompt.target_of(alias)
        self._change(AliasSet(name, alias, target, previous) if target else AliasDeleted(name, alias, previous))
        moved = AliasMoved(
            number=self.state.number,
            time_ms=self.time_ms,
            actor=write.actor,
            reason=write.reason,
            request_id=write.request_id,
            target=target,
            previous=previous,
            rollback=back_since is not None,
            undoes=write.undoes or 0,
        )
        key = (name, alias)
        self.state.history[key] = (*self.state.history.get(key, ()), moved)
        if back_since is None and write.undoes and self._abandons(write.undoes):
            back_since = write.undoes
        start = self._moved[key].start if key in self._moved else previous
        self._moved[key] = _Moved(start, target, back_since)
        return Result(target=target, previous=previous)

    def _abandons(self, number: int) -> bool:
        """Whether to undo a release abandons what it made live; to undo an undoing does not."""
        undone = self._releases[number].undoes
        return not (undone and self._abandons(undone))

    def _keep_in_stack(self, key: tuple[str, str], moved: _Moved) -> None:
        stack = self.state.stacks.get(key, ())
        if moved.since is not None:
            left = moved.start if moved.start != moved.end else None
            stack = tuple(one for one in stack if one[0] < moved.since and one[1] != left)
        if moved.end and not (stack and stack[-1][1] == moved.end):
            stack = (*stack, (self.state.number, moved.end))
        self.state.stacks[key] = stack[-limits.ROLLBACKS_MAX :]

    def _change(self, change: Change) -> None:
        self.changes.append(change)
        entry = self.entry()
        prompt = apply(self.state.prompts.get(change.name), entry, change)
        if prompt:
            self.state.prompts[change.name] = prompt
        else:
            del self.state.prompts[change.name]
        if isinstance(change, TagsSet | TagsDeleted) and change.version:
            key = (change.name, change.version)
            self.state.versions[key] = apply_to_version(self.state.versions[key], entry, change)

    def _require(self, prompt: PromptRecord, *versions: int) -> None:
        for version in versions:
            if version in prompt.deleted_versions:
                raise version_deleted(prompt.name, version)
            if (prompt.name, version) not in self.state.versions:
                raise version_not_found(prompt.name, version, prompt.latest_version)

    @staticmethod
    def _require_room(prompt: PromptRecord, alias: str) -> None:
        aliases = len(prompt.aliases) + len(prompt.splits)
        if not prompt.target_of(alias) and aliases >= limits.ALIASES_MAX_PER_PROMPT:
            raise too_many("alias", limits.ALIASES_MAX_PER_PROMPT, prompt.name)


def _require_target(
    operation: SetAlias | DeleteAlias | RollbackAlias, current: Target, expected: Target | None
) -> None:
    if expected is not None and expected != current:
        raise alias_conflict(operation.name, operation.alias, expected, current)


def _for_ever(change: Change) -> Change:
    if not isinstance(change, TagsSet):
        return change
    return replace(change, tags={key: _cut(value) for key, value in change.tags.items()})


def _cut(value: str) -> str:
    size = len(value.encode())
    return value if size <= 256 else f"<{size} bytes>"
