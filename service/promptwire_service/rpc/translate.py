"""The registry's values as messages, and the parts that requests share as values."""

import math
from collections.abc import Collection, Sequence
from typing import Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from promptwire.domain.names import DEFAULT_NAMESPACE
from promptwire.domain.splits import Split, Target, plain
from promptwire.domain.violations import Violation
from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire.v1 import common_pb2 as common_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.wire import content_message
from promptwire_service.commands.batch_resolve import Outcome
from promptwire_service.commands.get_convergence import AliasState, Convergences
from promptwire_service.commands.get_status import ServiceStatus
from promptwire_service.commands.options import WriteOptions
from promptwire_service.commands.pairs import Resolved
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    Change,
    LogEntry,
    PromptDeleted,
    PromptPurged,
    PromptUndeleted,
    TagsDeleted,
    TagsSet,
    VersionDeleted,
    VersionPurged,
    VersionRegistered,
    VersionUndeleted,
)
from promptwire_service.domain.errors import RegistryError, invalid
from promptwire_service.domain.reads import CACHED, Freshness
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord
from promptwire_service.domain.status import CacheStatus, WatcherStatus
from promptwire_service.rpc.wire_values import revision_of

_Reads = (
    pb.GetPromptRequest
    | pb.GetPromptVersionRequest
    | pb.ResolveRequest
    | pb.BatchResolveRequest
    | pb.DiffVersionsRequest
)


class _Write(Protocol):
    """Any request that writes."""

    @property
    def write(self) -> common_pb.WriteOptions: ...


def revision(value: Revision) -> common_pb.Revision:
    return common_pb.Revision(epoch=value.epoch, number=value.number)


def timestamp(time_ms: int) -> Timestamp:
    seconds, ms = divmod(time_ms, 1_000)
    return Timestamp(seconds=seconds, nanos=ms * 1_000_000)


def duration(milliseconds: int) -> Duration:
    seconds, rest = divmod(milliseconds, 1_000)
    return Duration(seconds=seconds, nanos=rest * 1_000_000)


def read_info(at: Revision | None, max_age_seconds: float) -> common_pb.ReadInfo:
    """The age in whole milliseconds, rounded up: it is a bound."""
    return common_pb.ReadInfo(
        revision=revision(at) if at else None, max_age=duration(math.ceil(max_age_seconds * 1_000))
    )


def prompt(record: PromptRecord) -> common_pb.Prompt:
    return common_pb.Prompt(
        name=record.name,
        latest_version=record.latest_version,
        aliases=record.aliases,
        tags=record.tags,
        author=record.author,
        create_time=timestamp(record.created_ms),
        update_time=timestamp(record.updated_ms),
        etag=record.etag,
        deleted_versions=sorted(record.deleted_versions),
        splits={alias: _split(one) for alias, one in record.splits.items()},
        delete_time=timestamp(record.deleted_ms) if record.deleted_ms else None,
    )


def split(target: Target) -> common_pb.Split | None:
    """None for a target that is none."""
    return _split(target) if isinstance(target, Split) else None


def _split(value: Split) -> common_pb.Split:
    segments = [common_pb.Split.Segment(end=end, version=number) for end, number in value.segments]
    return common_pb.Split(salt=value.salt, segments=segments)


def version(record: VersionRecord, aliases: Sequence[str] = ()) -> common_pb.PromptVersion:
    """Without aliases, as on Watch, where the prompt's own table tells."""
    content = record.content
    return common_pb.PromptVersion(
        name=record.name,
        version=record.version,
        content=content_message(content),
        digest=record.digest,
        commit_message=record.commit_message,
        tags=record.tags,
        aliases=aliases,
        variables=record.variables,
        author=record.author,
        create_time=timestamp(record.created_ms),
        etag=record.etag,
        token=record.token,
    )


def version_units(record: VersionRecord) -> int:
    """Work of making a version a message, at most: its text is looked through for variables."""
    return 100 + len(record.content.template) // 20


def resolved(pair: Resolved) -> common_pb.PromptVersion:
    return version(pair.version, pair.prompt.aliases_of(pair.version.version))


def log_entry(entry: LogEntry, epoch: str) -> pb.StreamChangesResponse:
    return pb.StreamChangesResponse(
        revision=common_pb.Revision(epoch=epoch, number=entry.number),
        time=timestamp(entry.time_ms),
        actor=entry.actor,
        reason=entry.reason,
        request_id=entry.request_id,
        changes=map(change, entry.changes),
    )


def change(value: Change) -> pb.Change:
    match value:
        case VersionRegistered(name, version=number):
            return pb.Change(name=name, version_registered=pb.VersionRegistered(version=number))
        case AliasSet(name, alias=alias, target=target, previous=previous):
            moved = pb.AliasSet(
                alias=alias,
                version=plain(target),
                previous_version=plain(previous),
                split=split(target),
                previous_split=split(previous),
            )
            return pb.Change(name=name, alias_set=moved)
        case AliasDeleted(name, alias=alias, previous=previous):
            gone = pb.AliasDeleted(alias=alias, previous_version=plain(previous), previous_split=split(previous))
            return pb.Change(name=name, alias_deleted=gone)
        case TagsSet(name, version=of, tags=tags):
            return pb.Change(name=name, tags_set=pb.TagsSet(version=of, tags=tags))
        case TagsDeleted(name, version=of, keys=keys):
            return pb.Change(name=name, tags_deleted=pb.TagsDeleted(version=of, keys=keys))
        case VersionDeleted(name, version=number):
            return pb.Change(name=name, version_deleted=pb.VersionDeleted(version=number))
        case VersionUndeleted(name, version=number):
            return pb.Change(name=name, version_undeleted=pb.VersionUndeleted(version=number))
        case VersionPurged(name, version=number):
            return pb.Change(name=name, version_purged=pb.VersionPurged(version=number))
        case PromptDeleted(name):
            return pb.Change(name=name, prompt_deleted=pb.PromptDeleted())
        case PromptUndeleted(name):
            return pb.Change(name=name, prompt_undeleted=pb.PromptUndeleted())
        case PromptPurged(name):
            return pb.Change(name=name, prompt_purged=pb.PromptPurged())


def status(value: ServiceStatus) -> admin_pb.GetStatusResponse:
    space = value.namespace
    return admin_pb.GetStatusResponse(
        version=value.version,
        start_time=timestamp(value.started_ms),
        store=admin_pb.StoreStatus(
            location=value.store.location,
            server=value.store.server,
            durability=value.store.durability,
            reachable=not value.problem,
            problem=value.problem,
        ),
        revision=revision(space.revision) if space.revision else None,
        checked_time=None if space.checked_ms is None else timestamp(space.checked_ms),
        caches=map(_cache, space.caches),
        watchers=map(_watcher, space.watchers),
        watcher_count=space.watcher_count,
    )


def _cache(value: CacheStatus) -> admin_pb.CacheStatus:
    return admin_pb.CacheStatus(
        name=value.name,
        entries=value.entries,
        bytes=value.bytes,
        max_bytes=value.max_bytes,
        hits=value.hits,
        misses=value.misses,
        fenced=value.fenced,
        invalidations=value.invalidations,
    )


def _watcher(value: WatcherStatus) -> admin_pb.WatcherStatus:
    return admin_pb.WatcherStatus(
        client_id=value.client_id,
        client_name=value.client_name,
        peer=value.peer,
        start_time=timestamp(value.started_ms),
        subscriptions=value.subscriptions,
        sent_revision=value.sent_revision,
        applied_revision=value.applied_revision,
        queued=value.queued,
        resyncs=value.resyncs,
    )


def convergences(value: Convergences) -> admin_pb.GetConvergenceResponse:
    return admin_pb.GetConvergenceResponse(changes=map(_alias_state, value.changes), unheard_services=value.unheard)


def _alias_state(value: AliasState) -> admin_pb.AliasConvergence:
    part = value.part
    return admin_pb.AliasConvergence(
        revision=revision(value.revision),
        name=value.name,
        alias=value.alias,
        version=value.version,
        previous_version=value.previous_version,
        time=None if value.time_ms is None else timestamp(value.time_ms),
        actor=value.actor,
        agents=part.agents,
        converged=part.converged,
        silent=part.silent,
        lagging=[
            admin_pb.AgentLag(
                client_id=lag.client_id,
                client_name=lag.client_name,
                peer=lag.peer,
                applied_revision=lag.applied_revision,
            )
            for lag in part.lagging
        ],
        delay_counts=part.delay_counts if any(part.delay_counts) else (),
        slowest=duration(math.ceil(part.slowest_ms)) if any(part.delay_counts) else None,
    )


def problem(error: RegistryError) -> pb.Problem:
    return pb.Problem(code=error.code.value, reason=error.reason, message=error.message)


def outcome(value: Outcome, held: Collection[bytes] = ()) -> pb.ResolveOutcome:
    if isinstance(value.result, RegistryError):
        return pb.ResolveOutcome(reference=value.reference, problem=problem(value.result))
    pair = value.result
    known = pair.version.token in held
    return pb.ResolveOutcome(
        reference=value.reference,
        version=_known(pair) if known else resolved(pair),
        split=_split(pair.split) if pair.split else None,
        held=known,
    )


def _known(pair: Resolved) -> common_pb.PromptVersion:
    record = pair.version
    aliases = pair.prompt.aliases_of(record.version)
    return common_pb.PromptVersion(name=record.name, version=record.version, aliases=aliases, token=record.token)


def namespace_of(namespace: str) -> str:
    return namespace or DEFAULT_NAMESPACE


def freshness_of(request: _Reads) -> Freshness:
    """Raises RegistryError for what cannot be said as a Freshness: a consistency that is none of the enum."""
    if not request.HasField("read"):
        return CACHED
    read = request.read
    if read.consistency not in common_pb.Consistency.values():
        raise invalid(Violation("read.consistency", f"is not a Consistency; got {read.consistency}"))
    return Freshness(
        strong=read.consistency == common_pb.CONSISTENCY_STRONG,
        min_revision=revision_of(read, "min_revision", "read.min_revision"),
    )


def write_options_of(request: _Write) -> WriteOptions:
    write = request.write
    return WriteOptions(
        request_id=write.request_id,
        actor=write.actor,
        reason=write.reason,
        expected_etag=write.expected_etag if write.HasField("expected_etag") else None,
    )
