"""What the service sent, as values. A version's digest is checked here, so that no value ever differs from it."""

import json
from collections.abc import Mapping
from typing import Any

from promptwire._core.followed import Record, alias_of
from promptwire._core.lease import Lease
from promptwire._core.split_alias import Meaning, SplitAlias
from promptwire.diffs import DiffHunk, DiffLine, DiffPart, DiffSegment, DiffSide, PromptDiff
from promptwire.domain.content import SYNTAXES, Content
from promptwire.domain.diffs import PartKind, SegmentKind
from promptwire.domain.references import parse_reference
from promptwire.domain.splits import Split
from promptwire.errors import PromptwireError
from promptwire.prompt_version import PromptVersion
from promptwire.read_only import ReadOnlyDict, read_only
from promptwire.status import CacheStatus, ServerStatus, StoreStatus, WatcherStatus
from promptwire.v1 import admin_service_pb2, common_pb2, metrics_service_pb2, prompt_service_pb2
from promptwire.values import (
    AgentsReport,
    AliasMove,
    Change,
    Changes,
    Convergence,
    Deleted,
    Dependent,
    KeptWrite,
    LaggingAgent,
    MetricSummary,
    Prompt,
    Release,
    ReleaseEffect,
    Revision,
)
from promptwire.wire import content_of


def revision(message: common_pb2.Revision) -> Revision:
    return Revision(message.epoch, message.number)


def prompt_version(
    message: common_pb2.PromptVersion, lease: Lease | None = None, alias: str = "", by: Split | None = None
) -> PromptVersion:
    """With the alias that it was loaded by, and that one's split.

    Raises PromptwireError if the content is not what its digest says, or of a kind that this client cannot read.
    """
    uri = f"prompts:/{message.name}/{message.version}"
    content = content_of(message.content)
    if content.syntax not in SYNTAXES or not content.template:
        raise PromptwireError(
            f"{uri} has a kind of template that this client does not know; upgrade promptwire", "UNKNOWN_TEMPLATE"
        )
    if content.digest != message.digest:
        raise PromptwireError(
            f"{uri} does not have the content that its digest says: {content.digest}, not {message.digest}",
            "DIGEST_MISMATCH",
        )
    return PromptVersion(
        name=message.name,
        version=message.version,
        template=_template(content, uri),
        variables=tuple(message.variables),
        commit_message=message.commit_message,
        tags=ReadOnlyDict(message.tags),
        aliases=tuple(message.aliases),
        alias=alias,
        split=by,
        author=message.author,
        creation_timestamp=message.create_time.ToMilliseconds(),
        digest=message.digest,
        response_format_json=content.response_format_json,
        model_config_json=content.model_config_json,
        syntax=content.syntax,
        messages_json=content.messages_json,
        source=content.source,
        includes=content.includes,
        _token=message.token,
        _lease=lease,
    )


def _template(content: Content, uri: str) -> Any:
    if not content.messages_json:
        return content.text
    try:
        messages = json.loads(content.messages_json)
        if isinstance(messages, list):
            return read_only(messages)
    except (ValueError, RecursionError) as error:
        raise PromptwireError(f"{uri} has messages that are not JSON: {error}", "UNKNOWN_TEMPLATE") from error
    raise PromptwireError(f"{uri} has messages that are no JSON array", "UNKNOWN_TEMPLATE")


def dependent(message: prompt_service_pb2.Dependent) -> Dependent:
    return Dependent(version=message.version, by_name=message.by_name, by_version=message.by_version)


def prompt(message: common_pb2.Prompt) -> Prompt:
    return Prompt(
        name=message.name,
        latest_version=message.latest_version,
        aliases=ReadOnlyDict(sorted(message.aliases.items())),
        tags=ReadOnlyDict(message.tags),
        author=message.author,
        creation_timestamp=message.create_time.ToMilliseconds(),
        last_updated_timestamp=message.update_time.ToMilliseconds(),
        etag=message.etag,
        deleted_versions=tuple(message.deleted_versions),
        splits=ReadOnlyDict(splits(message.splits)),
    )


def record(message: common_pb2.Prompt) -> Record:
    return Record(
        message.latest_version,
        dict(message.aliases),
        message.etag,
        frozenset(message.deleted_versions),
        deleted=message.HasField("delete_time"),
        splits=splits(message.splits),
    )


def record_message(name: str, value: Record) -> common_pb2.Prompt:
    """The other way: `record` of it is the same again, but for when it was deleted."""
    message = common_pb2.Prompt(
        name=name,
        latest_version=value.latest,
        aliases=value.aliases,
        etag=value.etag,
        deleted_versions=sorted(value.deleted_versions),
        splits={alias: _split_message(one) for alias, one in value.splits.items()},
    )
    if value.deleted:
        message.delete_time.FromSeconds(0)
    return message


def _split_message(value: Split) -> common_pb2.Split:
    segments = [common_pb2.Split.Segment(end=end, version=version) for end, version in value.segments]
    return common_pb2.Split(salt=value.salt, segments=segments)


def split(message: common_pb2.Split) -> Split:
    return Split(message.salt, tuple((segment.end, segment.version) for segment in message.segments))


def splits(message: Mapping[str, common_pb2.Split]) -> dict[str, Split]:
    return {alias: split(one) for alias, one in message.items()}


def meaning(
    reference: str, answer: prompt_service_pb2.ResolveResponse | prompt_service_pb2.ResolveOutcome, lease: Lease
) -> Meaning:
    """What a resolved reference means: a version, or a split, of which the answer has one version."""
    alias = alias_of(parse_reference(reference).selector)
    if not answer.HasField("split"):
        return prompt_version(answer.version, lease, alias)
    return SplitAlias(name=answer.version.name, alias=alias, split=split(answer.split), _lease=lease)


def resolved(reference: str, answer: prompt_service_pb2.ResolveResponse, lease: Lease) -> PromptVersion:
    """The one version that a reference was resolved to; of a split the one that was drawn."""
    alias = alias_of(parse_reference(reference).selector)
    return prompt_version(answer.version, lease, alias, split(answer.split) if answer.HasField("split") else None)


def alias_move(message: prompt_service_pb2.AliasMove) -> AliasMove:
    return AliasMove(
        revision=revision(message.revision),
        timestamp=message.time.ToMilliseconds(),
        actor=message.actor,
        reason=message.reason,
        request_id=message.request_id,
        version=message.version or None,
        previous_version=message.previous_version or None,
        rollback=message.rollback,
        undoes=message.undoes or None,
        split=split(message.split) if message.HasField("split") else None,
        previous_split=split(message.previous_split) if message.HasField("previous_split") else None,
    )


def kept_write(message: prompt_service_pb2.KeptWrite) -> KeptWrite:
    return KeptWrite(
        revision=revision(message.revision),
        timestamp=message.time.ToMilliseconds(),
        actor=message.actor,
        reason=message.reason,
        request_id=message.request_id,
        changes=tuple(one for change in message.changes if (one := _change(change))),
        release=message.release or None,
        undoes=message.undoes or None,
        undone_by=message.undone_by or None,
    )


def deleted(message: prompt_service_pb2.Deleted) -> Deleted:
    return Deleted(
        name=message.name,
        version=message.version or None,
        timestamp=message.delete_time.ToMilliseconds(),
        purge_timestamp=message.purge_time.ToMilliseconds(),
    )


def release(message: prompt_service_pb2.ReleaseResponse | prompt_service_pb2.UndoReleaseResponse) -> Release:
    return Release(
        revision=revision(message.revision),
        effects=tuple(
            ReleaseEffect(
                name=effect.name,
                alias=effect.alias or None,
                version=effect.version or None,
                split=split(effect.split) if effect.HasField("split") else None,
                previous_version=effect.previous_version or None,
                previous_split=split(effect.previous_split) if effect.HasField("previous_split") else None,
                problem=effect.problem.message if effect.HasField("problem") else None,
            )
            for effect in message.effects
        ),
    )


_PART_KINDS: dict[int, PartKind] = {
    prompt_service_pb2.DIFF_PART_KIND_ADDED: "added",
    prompt_service_pb2.DIFF_PART_KIND_REMOVED: "removed",
}
_SEGMENT_KINDS: dict[int, SegmentKind] = {
    prompt_service_pb2.DIFF_SEGMENT_KIND_DELETE: "delete",
    prompt_service_pb2.DIFF_SEGMENT_KIND_INSERT: "insert",
}


def diff(name: str, message: prompt_service_pb2.DiffVersionsResponse) -> PromptDiff:
    return PromptDiff(
        name=name,
        before=_diff_side(message.before),
        after=_diff_side(message.after),
        parts=tuple(_diff_part(part) for part in message.parts),
    )


def _diff_side(message: prompt_service_pb2.DiffSide) -> DiffSide:
    return DiffSide(
        version=message.version,
        digest=message.digest,
        commit_message=message.commit_message,
        author=message.author,
        creation_timestamp=message.create_time.ToMilliseconds(),
    )


def _diff_part(message: prompt_service_pb2.DiffPart) -> DiffPart:
    return DiffPart(
        name=message.name,
        kind=_PART_KINDS.get(message.kind, "changed"),
        hunks=tuple(DiffHunk(tuple(_diff_line(line) for line in hunk.lines)) for hunk in message.hunks),
        by_words=not message.coarse,
        cut=message.cut,
    )


def _diff_line(message: prompt_service_pb2.DiffLine) -> DiffLine:
    return DiffLine(
        message.before_line or None,
        message.after_line or None,
        tuple(DiffSegment(_SEGMENT_KINDS.get(one.kind, "equal"), one.text) for one in message.segments),
    )


def metric_summaries(name: str, message: metrics_service_pb2.QueryMetricsResponse) -> list[MetricSummary]:
    return [
        MetricSummary(
            name=name,
            version=one.version,
            metric=one.metric,
            count=one.count,
            mean=one.mean,
            std=one.standard_deviation,
            min=one.min,
            max=one.max,
            p50=one.p50,
            p95=one.p95,
            p99=one.p99,
        )
        for one in message.summaries
    ]


def changes(message: prompt_service_pb2.StreamChangesResponse) -> Changes:
    return Changes(
        revision=revision(message.revision),
        timestamp=message.time.ToMilliseconds(),
        actor=message.actor,
        reason=message.reason,
        request_id=message.request_id,
        changes=tuple(one for change in message.changes if (one := _change(change))),
    )


def _change(message: prompt_service_pb2.Change) -> Change | None:
    """None for a kind of change that this client does not know."""
    match message.WhichOneof("change"):
        case "version_registered":
            return Change(kind="version_registered", name=message.name, version=message.version_registered.version)
        case "alias_set":
            moved = message.alias_set
            return Change(
                kind="alias_set",
                name=message.name,
                alias=moved.alias,
                version=moved.version or None,
                previous_version=moved.previous_version or None,
                split=split(moved.split) if moved.HasField("split") else None,
                previous_split=split(moved.previous_split) if moved.HasField("previous_split") else None,
            )
        case "alias_deleted":
            gone = message.alias_deleted
            return Change(
                kind="alias_deleted",
                name=message.name,
                alias=gone.alias,
                previous_version=gone.previous_version or None,
                previous_split=split(gone.previous_split) if gone.HasField("previous_split") else None,
            )
        case "tags_set":
            tagged = message.tags_set
            version = tagged.version if tagged.HasField("version") else None
            return Change(kind="tags_set", name=message.name, version=version, tags=ReadOnlyDict(tagged.tags))
        case "tags_deleted":
            untagged = message.tags_deleted
            version = untagged.version if untagged.HasField("version") else None
            return Change(kind="tags_deleted", name=message.name, version=version, keys=tuple(untagged.keys))
        case "version_deleted" | "version_undeleted" | "version_purged" as kind:
            return Change(kind=kind, name=message.name, version=getattr(message, kind).version)
        case "prompt_deleted" | "prompt_undeleted" | "prompt_purged" as kind:
            return Change(kind=kind, name=message.name)
        case None:
            return None


def server_status(message: admin_service_pb2.GetStatusResponse) -> ServerStatus:
    store = message.store
    return ServerStatus(
        version=message.version,
        start_timestamp=message.start_time.ToMilliseconds(),
        store=StoreStatus(
            location=store.location,
            server=store.server,
            durability=store.durability,
            reachable=store.reachable,
            problem=store.problem,
        ),
        revision=revision(message.revision),
        checked_timestamp=message.checked_time.ToMilliseconds() if message.HasField("checked_time") else None,
        caches=tuple(
            CacheStatus(
                name=cache.name,
                entries=cache.entries,
                bytes=cache.bytes,
                max_bytes=cache.max_bytes,
                hits=cache.hits,
                misses=cache.misses,
                fenced=cache.fenced,
                invalidations=cache.invalidations,
            )
            for cache in message.caches
        ),
        watchers=tuple(
            WatcherStatus(
                client_id=watcher.client_id,
                client_name=watcher.client_name,
                peer=watcher.peer,
                start_timestamp=watcher.start_time.ToMilliseconds(),
                subscriptions=watcher.subscriptions,
                sent_revision=watcher.sent_revision,
                applied_revision=watcher.applied_revision,
                queued=watcher.queued,
                resyncs=watcher.resyncs,
            )
            for watcher in message.watchers
        ),
        watcher_count=message.watcher_count,
    )


def convergences(message: admin_service_pb2.GetConvergenceResponse) -> list[Convergence]:
    return [_convergence(change, message.unheard_services) for change in message.changes]


def _convergence(message: admin_service_pb2.AliasConvergence, unheard_services: int) -> Convergence:
    timed = message.HasField("slowest")
    return Convergence(
        name=message.name,
        alias=message.alias,
        version=message.version or None,
        previous_version=message.previous_version or None,
        revision=revision(message.revision),
        timestamp=message.time.ToMilliseconds() if message.HasField("time") else None,
        actor=message.actor,
        agents=AgentsReport(
            total=message.agents,
            converged=message.converged,
            silent=message.silent,
            lagging=tuple(
                LaggingAgent(
                    client_id=lag.client_id,
                    client_name=lag.client_name,
                    peer=lag.peer,
                    applied_revision=lag.applied_revision,
                )
                for lag in message.lagging
            ),
            unheard_services=unheard_services,
            delay_counts=tuple(message.delay_counts),
            slowest_seconds=message.slowest.ToTimedelta().total_seconds() if timed else None,
        ),
    )
