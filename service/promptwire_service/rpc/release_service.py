"""promptwire.v1.PromptService: history, roll-backs, releases, deletions, dependents; each method is its command."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from promptwire.domain.splits import plain
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.delete_prompt import delete_prompt, undelete_prompt
from promptwire_service.commands.delete_version import delete_version, undelete_version
from promptwire_service.commands.list_alias_history import list_alias_history
from promptwire_service.commands.list_deleted import list_deleted
from promptwire_service.commands.list_dependents import list_dependents
from promptwire_service.commands.list_kept import list_audit, list_releases
from promptwire_service.commands.release import release, undo_release
from promptwire_service.commands.rollback_alias import rollback_alias
from promptwire_service.commands.work import in_steps
from promptwire_service.domain.kept import KeptWrite
from promptwire_service.rpc import kept, translate
from promptwire_service.rpc.binding import Context
from promptwire_service.rpc.wire_values import time_ms_of

_CHANGE_UNITS: Final = 25
"""Work of making a change a message."""


class ReleaseService:
    """Bound by `binding.bind` beside PromptService."""

    def __init__(self, registry: Registry, retention_seconds: float) -> None:
        self._registry = registry
        self._retention_ms = int(retention_seconds * 1_000)

    def _in_steps(self, writes: Iterable[KeptWrite]) -> AsyncIterator[KeptWrite]:
        return in_steps(self._registry.turns, writes, lambda one: 100 + _CHANGE_UNITS * len(one.entry.changes))

    async def rollback_alias(self, request: pb.RollbackAliasRequest, _: Context) -> pb.RollbackAliasResponse:
        written = await rollback_alias(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            at_ms=time_ms_of(request, "at"),
            to_version=request.to_version if request.HasField("to_version") else None,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            options=translate.write_options_of(request),
        )
        return pb.RollbackAliasResponse(
            version=plain(written.results[0].target),
            previous_version=plain(written.results[0].previous),
            revision=translate.revision(written.revision),
            split=translate.split(written.results[0].target),
            previous_split=translate.split(written.results[0].previous),
        )

    async def list_alias_history(self, request: pb.ListAliasHistoryRequest, _: Context) -> pb.ListAliasHistoryResponse:
        page = await list_alias_history(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListAliasHistoryResponse(
            moves=(kept.move(one, page.revision.epoch) for one in page.moves),
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def list_dependents(self, request: pb.ListDependentsRequest, _: Context) -> pb.ListDependentsResponse:
        page = await list_dependents(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version if request.HasField("version") else None,
            page_token=request.page_token,
        )
        return pb.ListDependentsResponse(
            dependents=(
                pb.Dependent(version=one.version, by_name=one.by_name, by_version=one.by_version)
                for one in page.dependents
            ),
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def delete_version(self, request: pb.DeleteVersionRequest, _: Context) -> pb.DeleteVersionResponse:
        written = await delete_version(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version,
            drop_aliases=request.drop_aliases,
            options=translate.write_options_of(request),
        )
        return pb.DeleteVersionResponse(revision=translate.revision(written.revision))

    async def undelete_version(self, request: pb.UndeleteVersionRequest, _: Context) -> pb.UndeleteVersionResponse:
        written = await undelete_version(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version,
            options=translate.write_options_of(request),
        )
        return pb.UndeleteVersionResponse(revision=translate.revision(written.revision))

    async def delete_prompt(self, request: pb.DeletePromptRequest, _: Context) -> pb.DeletePromptResponse:
        written = await delete_prompt(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            options=translate.write_options_of(request),
        )
        return pb.DeletePromptResponse(revision=translate.revision(written.revision))

    async def undelete_prompt(self, request: pb.UndeletePromptRequest, _: Context) -> pb.UndeletePromptResponse:
        written = await undelete_prompt(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            options=translate.write_options_of(request),
        )
        return pb.UndeletePromptResponse(revision=translate.revision(written.revision))

    async def list_deleted(self, request: pb.ListDeletedRequest, _: Context) -> pb.ListDeletedResponse:
        page = await list_deleted(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListDeletedResponse(
            deleted=(kept.deleted(one, self._retention_ms) for one in page.deleted),
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def release(self, request: pb.ReleaseRequest, _: Context) -> pb.ReleaseResponse:
        released = await release(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            title=request.title,
            steps=tuple(kept.steps_of(request)),
            dry_run=request.dry_run,
            options=translate.write_options_of(request),
        )
        return pb.ReleaseResponse(effects=kept.effects(released), revision=translate.revision(released.revision))

    async def undo_release(self, request: pb.UndoReleaseRequest, _: Context) -> pb.UndoReleaseResponse:
        released = await undo_release(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            number=request.number,
            options=translate.write_options_of(request),
        )
        return pb.UndoReleaseResponse(effects=kept.effects(released), revision=translate.revision(released.revision))

    async def list_releases(self, request: pb.ListReleasesRequest, _: Context) -> pb.ListReleasesResponse:
        page = await list_releases(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListReleasesResponse(
            releases=[kept.write(one, page.revision.epoch) async for one in self._in_steps(page.writes)],
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def list_audit(self, request: pb.ListAuditRequest, _: Context) -> pb.ListAuditResponse:
        page = await list_audit(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            after=request.after,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListAuditResponse(
            writes=[kept.write(one, page.revision.epoch) async for one in self._in_steps(page.writes)],
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )
