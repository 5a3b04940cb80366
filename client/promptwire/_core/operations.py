"""Each unary call as data: arguments checked, request built, answer's meaning. Core.call sends it; a face awaits it."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import grpc

from promptwire._core import checks, decoding
from promptwire._core.connection import Stubs
from promptwire._core.lease import Lease
from promptwire._core.release_steps import steps_of
from promptwire._core.rpc_errors import from_problem
from promptwire._core.split_alias import Meaning
from promptwire.diffs import PromptDiff
from promptwire.errors import PromptwireError
from promptwire.options import Options
from promptwire.prompt_version import PromptVersion
from promptwire.status import ServerStatus
from promptwire.v1 import admin_service_pb2 as admin
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import metrics_service_pb2 as metrics_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.values import (
    AliasChange,
    AliasMove,
    Convergence,
    Deleted,
    Dependent,
    KeptWrite,
    MetricSummary,
    Move,
    Prompt,
    Register,
    Release,
    Revision,
)
from promptwire.wire import content_message

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
Item = TypeVar("Item")

Page = tuple[list[Item], str]
"""Items, and the token of the next page; empty on the last one."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[Request, Response, Result]):
    """One call."""

    method: Callable[[Stubs], "grpc.UnaryUnaryMultiCallable[Request, Response]"]
    request: Request
    decode: Callable[[Response, Lease], Result]
    """Gets a lease that began when the answer was known right."""
    info: Callable[[Response], common.ReadInfo | None]
    """Which revision the answer is of; None if it does not tell."""
    read: common.ReadOptions | None = None
    """Part of the request that takes the revision to read at, at least."""
    writes: Callable[[Response], Collection[str]] | None = None
    """Names of the prompts that it has changed; None for what changes nothing."""


class _Read(Protocol):
    @property
    def info(self) -> common.ReadInfo: ...


class _Write(Protocol):
    @property
    def revision(self) -> common.Revision: ...


def _of_read(response: _Read) -> common.ReadInfo:
    return response.info


def _of_write(response: _Write) -> common.ReadInfo:
    return common.ReadInfo(revision=response.revision)


class Operations:
    """Builds them for one client. Raises InvalidArgumentError."""

    def __init__(self, options: Options) -> None:
        self._namespace = options.namespace
        self._actor = options.actor

    def _write(self, reason: str = "") -> common.WriteOptions:
        checked = checks.optional_text(reason, "reason")
        return common.WriteOptions(request_id=uuid.uuid4().hex, actor=self._actor, reason=checked)

    def resolve(self, reference: str) -> Operation[pb.ResolveRequest, pb.ResolveResponse, Meaning]:
        request = pb.ResolveRequest(namespace=self._namespace, reference=reference)
        return Operation(
            lambda stubs: stubs.prompts.Resolve,
            request,
            lambda response, lease: decoding.meaning(reference, response, lease),
            _of_read,
            read=request.read,
        )

    def resolve_alias(self, name: str, alias: str) -> Operation[pb.ResolveRequest, pb.ResolveResponse, PromptVersion]:
        """Of a split alias, one of its versions, drawn."""
        reference = f"prompts:/{checks.text(name, 'name')}@{checks.text(alias, 'alias')}"
        request = pb.ResolveRequest(namespace=self._namespace, reference=reference)
        return Operation(
            lambda stubs: stubs.prompts.Resolve,
            request,
            lambda response, lease: decoding.resolved(reference, response, lease),
            _of_read,
            read=request.read,
        )

    def batch_resolve(
        self, references: Sequence[str], held: Mapping[bytes, PromptVersion]
    ) -> Operation[pb.BatchResolveRequest, pb.BatchResolveResponse, list[Meaning | PromptwireError]]:
        """What became of the first references; `held` are versions that are here already, by token."""
        request = pb.BatchResolveRequest(namespace=self._namespace, references=references, held=held)
        return Operation(
            lambda stubs: stubs.prompts.BatchResolve,
            request,
            lambda response, lease: [_outcome(outcome, lease, held) for outcome in response.outcomes],
            _of_read,
            read=request.read,
        )

    def register_prompt(
        self,
        name: str,
        template: str | Sequence[Mapping[str, Any]],
        commit_message: str | None,
        tags: Mapping[str, str] | None,
        response_format: Mapping[str, object] | type | None,
        model_config: Mapping[str, object] | None,
        syntax: str | None,
    ) -> Operation[pb.RegisterPromptRequest, pb.RegisterPromptResponse, PromptVersion]:
        request = pb.RegisterPromptRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            content=content_message(checks.content(template, response_format, model_config, syntax)),
            commit_message=checks.optional_text(commit_message, "commit_message"),
            tags={} if tags is None else checks.tags(tags),
            write=self._write(),
        )
        return Operation(
            lambda stubs: stubs.prompts.RegisterPrompt,
            request,
            lambda response, lease: decoding.prompt_version(response.version, lease),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def set_alias(
        self, name: str, alias: str, version: int, expected_version: int | None, reason: str
    ) -> Operation[pb.SetAliasRequest, pb.SetAliasResponse, AliasChange]:
        request = pb.SetAliasRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            alias=checks.text(alias, "alias"),
            version=checks.number(version, "version"),
            expected_version=checks.optional_number(expected_version, "expected_version", least=0),
            write=self._write(reason),
        )
        return Operation(
            lambda stubs: stubs.prompts.SetAlias,
            request,
            lambda response, lease: replace(_alias_change(response, lease), version=request.version),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def set_alias_split(
        self,
        name: str,
        alias: str,
        weights: object,
        salt: str | None,
        expected_version: int | None,
        reason: str,
    ) -> Operation[pb.SetAliasSplitRequest, pb.SetAliasSplitResponse, AliasChange]:
        request = pb.SetAliasSplitRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            alias=checks.text(alias, "alias"),
            weights=checks.weights(weights),
            salt=None if salt is None else checks.text(salt, "salt"),
            expected_version=checks.optional_number(expected_version, "expected_version", least=0),
            write=self._write(reason),
        )
        return Operation(
            lambda stubs: stubs.prompts.SetAliasSplit,
            request,
            lambda response, _: AliasChange(
                split=decoding.split(response.split),
                previous_version=response.previous_version or None,
                previous_split=decoding.split(response.previous_split) if response.HasField("previous_split") else None,
                revision=decoding.revision(response.revision),
            ),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def delete_alias(
        self, name: str, alias: str, expected_version: int | None, allow_missing: bool, reason: str
    ) -> Operation[pb.DeleteAliasRequest, pb.DeleteAliasResponse, AliasChange]:
        request = pb.DeleteAliasRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            alias=checks.text(alias, "alias"),
            expected_version=checks.optional_number(expected_version, "expected_version"),
            allow_missing=bool(allow_missing),
            write=self._write(reason),
        )
        return Operation(
            lambda stubs: stubs.prompts.DeleteAlias, request, _alias_change, _of_write, writes=lambda _: (request.name,)
        )

    def set_tags(
        self, name: str, tags: Mapping[str, str], version: int | None = None
    ) -> Operation[pb.SetTagsRequest, pb.SetTagsResponse, Revision]:
        request = pb.SetTagsRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            version=version,
            tags=checks.tags(tags),
            write=self._write(),
        )
        return Operation(
            lambda stubs: stubs.prompts.SetTags,
            request,
            lambda response, _: decoding.revision(response.revision),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def delete_tags(
        self, name: str, keys: Iterable[str], version: int | None = None
    ) -> Operation[pb.DeleteTagsRequest, pb.DeleteTagsResponse, Revision]:
        request = pb.DeleteTagsRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            version=version,
            keys=checks.texts(keys, "keys"),
            write=self._write(),
        )
        return Operation(
            lambda stubs: stubs.prompts.DeleteTags,
            request,
            lambda response, _: decoding.revision(response.revision),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def get_prompt(self, name: str) -> Operation[pb.GetPromptRequest, pb.GetPromptResponse, Prompt]:
        request = pb.GetPromptRequest(namespace=self._namespace, name=checks.text(name, "name"))
        return Operation(
            lambda stubs: stubs.prompts.GetPrompt,
            request,
            lambda response, _: decoding.prompt(response.prompt),
            _of_read,
            read=request.read,
        )

    def get_version(
        self, name: str, version: int
    ) -> Operation[pb.GetPromptVersionRequest, pb.GetPromptVersionResponse, PromptVersion]:
        request = pb.GetPromptVersionRequest(
            namespace=self._namespace, name=checks.text(name, "name"), version=checks.number(version, "version")
        )
        return Operation(
            lambda stubs: stubs.prompts.GetPromptVersion,
            request,
            lambda response, lease: decoding.prompt_version(response.version, lease),
            _of_read,
            read=request.read,
        )

    def diff_versions(
        self, name: str, before: object, after: object, context_lines: int | None
    ) -> Operation[pb.DiffVersionsRequest, pb.DiffVersionsResponse, PromptDiff]:
        request = pb.DiffVersionsRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            before=checks.selector(before, "before"),
            after=checks.selector(after, "after"),
            context_lines=None if context_lines is None else min(checks.number(context_lines, "context", 0), 1 << 30),
        )
        return Operation(
            lambda stubs: stubs.prompts.DiffVersions,
            request,
            lambda response, _: decoding.diff(name, response),
            _of_read,
            read=request.read,
        )

    def list_prompts(
        self, prefix: str
    ) -> Callable[[str], Operation[pb.ListPromptsRequest, pb.ListPromptsResponse, Page[Prompt]]]:
        """By page token."""
        name_prefix = checks.text(prefix, "prefix")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListPrompts,
            pb.ListPromptsRequest(namespace=self._namespace, page_token=token, name_prefix=name_prefix),
            lambda response, _: ([decoding.prompt(one) for one in response.prompts], response.next_page_token),
            _of_read,
        )

    def list_versions(
        self, name: str
    ) -> Callable[[str], Operation[pb.ListPromptVersionsRequest, pb.ListPromptVersionsResponse, Page[PromptVersion]]]:
        """By page token."""
        checked = checks.text(name, "name")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListPromptVersions,
            pb.ListPromptVersionsRequest(namespace=self._namespace, name=checked, page_token=token),
            lambda response, lease: (
                [decoding.prompt_version(one, lease) for one in response.versions],
                response.next_page_token,
            ),
            _of_read,
        )

    def resolve_at(self, reference: str, at: object) -> Operation[pb.ResolveRequest, pb.ResolveResponse, PromptVersion]:
        request = pb.ResolveRequest(namespace=self._namespace, reference=checks.text(reference, "reference"))
        request.at.FromMilliseconds(checks.moment(at, "at"))
        # Not what the reference means now: nothing is learned from it.
        return Operation(
            lambda stubs: stubs.prompts.Resolve,
            request,
            lambda response, lease: decoding.resolved(reference, response, lease),
            lambda _: None,
        )

    def rollback_alias(
        self, name: str, alias: str, to_version: int | None, at: object, expected_version: int | None, reason: str
    ) -> Operation[pb.RollbackAliasRequest, pb.RollbackAliasResponse, AliasChange]:
        checks.one_of(at=at, to_version=to_version)
        request = pb.RollbackAliasRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            alias=checks.text(alias, "alias"),
            to_version=checks.optional_number(to_version, "to_version"),
            expected_version=checks.optional_number(expected_version, "expected_version"),
            write=self._write(reason),
        )
        if at is not None:
            request.at.FromMilliseconds(checks.moment(at, "at"))
        return Operation(
            lambda stubs: stubs.prompts.RollbackAlias,
            request,
            lambda response, _: AliasChange(
                version=response.version or None,
                split=decoding.split(response.split) if response.HasField("split") else None,
                previous_version=response.previous_version or None,
                previous_split=decoding.split(response.previous_split) if response.HasField("previous_split") else None,
                revision=decoding.revision(response.revision),
            ),
            _of_write,
            writes=lambda _: (request.name,),
        )

    def alias_history(
        self, name: str, alias: str
    ) -> Callable[[str], Operation[pb.ListAliasHistoryRequest, pb.ListAliasHistoryResponse, Page[AliasMove]]]:
        """By page token."""
        name, alias = checks.text(name, "name"), checks.text(alias, "alias")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListAliasHistory,
            pb.ListAliasHistoryRequest(namespace=self._namespace, name=name, alias=alias, page_token=token),
            lambda response, _: ([decoding.alias_move(one) for one in response.moves], response.next_page_token),
            _of_read,
        )

    def delete_version(
        self, name: str, version: int, drop_aliases: bool, reason: str
    ) -> Operation[pb.DeleteVersionRequest, pb.DeleteVersionResponse, Revision]:
        request = pb.DeleteVersionRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            version=checks.number(version, "version"),
            drop_aliases=bool(drop_aliases),
            write=self._write(reason),
        )
        return Operation(
            lambda stubs: stubs.prompts.DeleteVersion, request, _revision, _of_write, writes=lambda _: (request.name,)
        )

    def undelete_version(
        self, name: str, version: int, reason: str
    ) -> Operation[pb.UndeleteVersionRequest, pb.UndeleteVersionResponse, Revision]:
        request = pb.UndeleteVersionRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            version=checks.number(version, "version"),
            write=self._write(reason),
        )
        return Operation(
            lambda stubs: stubs.prompts.UndeleteVersion, request, _revision, _of_write, writes=lambda _: (request.name,)
        )

    def delete_prompt(
        self, name: str, reason: str
    ) -> Operation[pb.DeletePromptRequest, pb.DeletePromptResponse, Revision]:
        request = pb.DeletePromptRequest(
            namespace=self._namespace, name=checks.text(name, "name"), write=self._write(reason)
        )
        return Operation(
            lambda stubs: stubs.prompts.DeletePrompt, request, _revision, _of_write, writes=lambda _: (request.name,)
        )

    def undelete_prompt(
        self, name: str, reason: str
    ) -> Operation[pb.UndeletePromptRequest, pb.UndeletePromptResponse, Revision]:
        request = pb.UndeletePromptRequest(
            namespace=self._namespace, name=checks.text(name, "name"), write=self._write(reason)
        )
        return Operation(
            lambda stubs: stubs.prompts.UndeletePrompt, request, _revision, _of_write, writes=lambda _: (request.name,)
        )

    def list_deleted(self) -> Callable[[str], Operation[pb.ListDeletedRequest, pb.ListDeletedResponse, Page[Deleted]]]:
        """By page token."""
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListDeleted,
            pb.ListDeletedRequest(namespace=self._namespace, page_token=token),
            lambda response, _: ([decoding.deleted(one) for one in response.deleted], response.next_page_token),
            _of_read,
        )

    def list_dependents(
        self, name: str, version: int | None
    ) -> Callable[[str], Operation[pb.ListDependentsRequest, pb.ListDependentsResponse, Page[Dependent]]]:
        """By page token."""
        checked, number = checks.text(name, "name"), checks.optional_number(version, "version")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListDependents,
            pb.ListDependentsRequest(namespace=self._namespace, name=checked, version=number, page_token=token),
            lambda response, _: ([decoding.dependent(one) for one in response.dependents], response.next_page_token),
            _of_read,
        )

    def release(
        self,
        title: str,
        steps: Mapping[str, int | None] | Iterable[Register | Move],
        dry_run: bool,
        reason: str,
        expected_etag: int | None = None,
    ) -> Operation[pb.ReleaseRequest, pb.ReleaseResponse, Release]:
        """With an etag, only if their prompt has not changed since it had that; all steps are of that prompt then."""
        request = pb.ReleaseRequest(
            namespace=self._namespace,
            title=checks.text(title, "title"),
            steps=steps_of(steps),
            dry_run=bool(dry_run),
            write=self._write(reason),
        )
        if expected_etag is not None:
            request.write.expected_etag = expected_etag
        return Operation(
            lambda stubs: stubs.prompts.Release,
            request,
            lambda response, _: decoding.release(response),
            _of_write,
            writes=None if dry_run else _released,
        )

    def undo_release(
        self, number: int, reason: str
    ) -> Operation[pb.UndoReleaseRequest, pb.UndoReleaseResponse, Release]:
        request = pb.UndoReleaseRequest(
            namespace=self._namespace, number=checks.number(number, "number"), write=self._write(reason)
        )
        return Operation(
            lambda stubs: stubs.prompts.UndoRelease,
            request,
            lambda response, _: decoding.release(response),
            _of_write,
            writes=_released,
        )

    def list_releases(
        self,
    ) -> Callable[[str], Operation[pb.ListReleasesRequest, pb.ListReleasesResponse, Page[KeptWrite]]]:
        """By page token."""
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListReleases,
            pb.ListReleasesRequest(namespace=self._namespace, page_token=token),
            lambda response, _: ([decoding.kept_write(one) for one in response.releases], response.next_page_token),
            _of_read,
        )

    def list_audit(
        self, after: int
    ) -> Callable[[str], Operation[pb.ListAuditRequest, pb.ListAuditResponse, Page[KeptWrite]]]:
        """By page token."""
        after = checks.number(after, "after", least=0)
        return lambda token: Operation(
            lambda stubs: stubs.prompts.ListAudit,
            pb.ListAuditRequest(namespace=self._namespace, after=after, page_token=token),
            lambda response, _: ([decoding.kept_write(one) for one in response.writes], response.next_page_token),
            _of_read,
        )

    def search_versions(
        self, filter_string: str | None, order_by: Iterable[str], page_size: int
    ) -> Callable[[str], Operation[pb.SearchVersionsRequest, pb.SearchVersionsResponse, Page[PromptVersion]]]:
        """By page token."""
        filter, order = checks.optional_text(filter_string, "filter_string"), checks.texts(order_by, "order_by")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.SearchVersions,
            pb.SearchVersionsRequest(
                namespace=self._namespace, filter=filter, order_by=order, page_size=page_size, page_token=token
            ),
            lambda response, lease: (
                [decoding.prompt_version(one, lease) for one in response.versions],
                response.next_page_token,
            ),
            _of_read,
        )

    def search_prompts(
        self, filter_string: str | None, order_by: Iterable[str], page_size: int
    ) -> Callable[[str], Operation[pb.SearchPromptsRequest, pb.SearchPromptsResponse, Page[Prompt]]]:
        """By page token."""
        filter, order = checks.optional_text(filter_string, "filter_string"), checks.texts(order_by, "order_by")
        return lambda token: Operation(
            lambda stubs: stubs.prompts.SearchPrompts,
            pb.SearchPromptsRequest(
                namespace=self._namespace, filter=filter, order_by=order, page_size=page_size, page_token=token
            ),
            lambda response, _: ([decoding.prompt(one) for one in response.prompts], response.next_page_token),
            _of_read,
        )

    def query_metrics(
        self,
        name: str,
        metric: str | None,
        version: int | None,
        alias: str | None,
        since: object,
        until: object,
        tags: Mapping[str, str] | None,
    ) -> Operation[metrics_pb.QueryMetricsRequest, metrics_pb.QueryMetricsResponse, list[MetricSummary]]:
        request = metrics_pb.QueryMetricsRequest(
            namespace=self._namespace,
            name=checks.text(name, "name"),
            metrics=[] if metric is None else [checks.text(metric, "metric")],
            versions=[] if version is None else [checks.number(version, "version")],
            alias=None if alias is None else checks.text(alias, "alias"),
            tags={} if tags is None else checks.tags(tags),
        )
        if since is not None:
            request.since.FromMilliseconds(checks.moment(since, "since"))
        if until is not None:
            request.until.FromMilliseconds(checks.moment(until, "until"))
        return Operation(
            lambda stubs: stubs.metrics.QueryMetrics,
            request,
            lambda response, _: decoding.metric_summaries(request.name, response),
            lambda _: None,
        )

    def status(self) -> Operation[admin.GetStatusRequest, admin.GetStatusResponse, ServerStatus]:
        return Operation(
            lambda stubs: stubs.admin.GetStatus,
            admin.GetStatusRequest(namespace=self._namespace),
            lambda response, _: decoding.server_status(response),
            lambda _: None,
        )

    def convergence(
        self,
        name: str | None,
        alias: str | None,
        revision: Revision | None = None,
        wait_seconds: float = 0.0,
    ) -> Operation[admin.GetConvergenceRequest, admin.GetConvergenceResponse, list[Convergence]]:
        """With a revision: of this change only, once all agents have it or the time is over."""
        checks.revision(revision, "revision")
        request = admin.GetConvergenceRequest(
            namespace=self._namespace,
            name=checks.optional_text(name, "name"),
            alias=checks.optional_text(alias, "alias"),
            revision=common.Revision(epoch=revision.epoch, number=revision.number) if revision else None,
        )
        if wait_seconds:
            request.wait.FromMicroseconds(int(wait_seconds * 1_000_000))
        return Operation(
            lambda stubs: stubs.admin.GetConvergence,
            request,
            lambda response, _: decoding.convergences(response),
            lambda _: None,
        )


def _revision(response: _Write, _: Lease) -> Revision:
    return decoding.revision(response.revision)


def _released(response: pb.ReleaseResponse | pb.UndoReleaseResponse) -> set[str]:
    return {effect.name for effect in response.effects}


def _alias_change(response: pb.SetAliasResponse | pb.DeleteAliasResponse, _: Lease) -> AliasChange:
    return AliasChange(
        previous_version=response.previous_version or None,
        previous_split=decoding.split(response.previous_split) if response.HasField("previous_split") else None,
        revision=decoding.revision(response.revision),
    )


def _outcome(
    outcome: pb.ResolveOutcome, lease: Lease, held: Mapping[bytes, PromptVersion]
) -> Meaning | PromptwireError:
    if outcome.WhichOneof("outcome") != "version":
        return from_problem(outcome.problem.code, outcome.problem.reason, outcome.problem.message)
    if outcome.held and not outcome.HasField("split"):
        return replace(held[outcome.version.token], aliases=tuple(outcome.version.aliases), _lease=lease)
    try:
        return decoding.meaning(outcome.reference, outcome, lease)
    except PromptwireError as error:
        return error
