"""promptwire.v1.PromptService, but for its streams: each method is its command, with messages on either side."""

from collections.abc import Iterator
from typing import Final

from promptwire.domain import limits
from promptwire.domain.content import warnings_of
from promptwire.domain.splits import plain
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.wire import content_of
from promptwire_service.commands.batch_resolve import batch_resolve
from promptwire_service.commands.context import Registry
from promptwire_service.commands.delete_alias import delete_alias
from promptwire_service.commands.delete_tags import delete_tags
from promptwire_service.commands.get_prompt import get_prompt
from promptwire_service.commands.get_prompt_version import get_prompt_version
from promptwire_service.commands.list_prompt_versions import list_prompt_versions
from promptwire_service.commands.list_prompts import list_prompts
from promptwire_service.commands.register_prompt import register_prompt
from promptwire_service.commands.resolve import resolve
from promptwire_service.commands.resolve_at import resolve_at
from promptwire_service.commands.set_alias import set_alias
from promptwire_service.commands.set_alias_split import set_alias_split
from promptwire_service.commands.set_tags import set_tags
from promptwire_service.commands.work import in_steps
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context
from promptwire_service.rpc.memo import ResolveMemo
from promptwire_service.rpc.wire_values import time_ms_of

_FRAMING_BYTES: Final = 5
_BESIDE_OUTCOMES_BYTES: Final = 1_000

NAME = pb.DESCRIPTOR.services_by_name["PromptService"].full_name


class PromptService:
    """Bound by `binding.bind`, which also answers what is raised here."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._memo = ResolveMemo()

    async def register_prompt(self, request: pb.RegisterPromptRequest, _: Context) -> pb.RegisterPromptResponse:
        made = await register_prompt(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            content=content_of(request.content),
            commit_message=request.commit_message,
            tags=dict(request.tags),
            options=translate.write_options_of(request),
        )
        return pb.RegisterPromptResponse(
            version=translate.version(made.version),
            revision=translate.revision(made.revision),
            warnings=[
                pb.Warning(field=one.field, description=one.description) for one in warnings_of(made.version.content)
            ],
        )

    async def get_prompt(self, request: pb.GetPromptRequest, _: Context) -> pb.GetPromptResponse:
        answer = await get_prompt(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            freshness=translate.freshness_of(request),
        )
        return pb.GetPromptResponse(
            prompt=translate.prompt(answer.value),
            info=translate.read_info(answer.revision, answer.max_age_seconds),
        )

    async def list_prompts(self, request: pb.ListPromptsRequest, _: Context) -> pb.ListPromptsResponse:
        page = await list_prompts(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name_prefix=request.name_prefix,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListPromptsResponse(
            prompts=map(translate.prompt, page.prompts),
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def get_prompt_version(self, request: pb.GetPromptVersionRequest, _: Context) -> pb.GetPromptVersionResponse:
        pair = await get_prompt_version(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version,
            freshness=translate.freshness_of(request),
        )
        return pb.GetPromptVersionResponse(
            version=translate.resolved(pair), info=translate.read_info(pair.revision, pair.max_age_seconds)
        )

    async def list_prompt_versions(
        self, request: pb.ListPromptVersionsRequest, _: Context
    ) -> pb.ListPromptVersionsResponse:
        page = await list_prompt_versions(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        versions = in_steps(self._registry.turns, page.versions, translate.version_units)
        return pb.ListPromptVersionsResponse(
            versions=[translate.version(one, page.prompt.aliases_of(one.version)) async for one in versions],
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def resolve(self, request: pb.ResolveRequest, _: Context) -> bytes:
        namespace, reference = translate.namespace_of(request.namespace), request.reference
        if (at_ms := time_ms_of(request, "at")) is not None:
            pair = await resolve_at(
                self._registry, namespace=namespace, reference=reference, at_ms=at_ms, key=_key(request)
            )
            info = translate.read_info(pair.revision, 0.0)
            return pb.ResolveResponse(version=translate.resolved(pair), info=info).SerializeToString()
        freshness = translate.freshness_of(request)
        known = self._registry.reader.known(namespace)
        recallable = known is not None and freshness.is_met_at(known.revision)
        if recallable and (answer := self._memo.recall(namespace, reference, known)):
            return answer
        pair = await resolve(
            self._registry, namespace=namespace, reference=reference, freshness=freshness, key=_key(request)
        )
        if pair.split is not None:  # which of its versions it is, is no fact of the reference
            return pb.ResolveResponse(
                version=translate.resolved(pair),
                info=translate.read_info(pair.revision, pair.max_age_seconds),
                split=translate.split(pair.split),
            ).SerializeToString()
        return self._memo.encode(namespace, reference, pair)

    async def batch_resolve(self, request: pb.BatchResolveRequest, _: Context) -> pb.BatchResolveResponse:
        batch = await batch_resolve(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            references=request.references,
            freshness=translate.freshness_of(request),
            key=_key(request),
            held=request.held,
        )
        held = frozenset(request.held)
        return pb.BatchResolveResponse(
            outcomes=_within_a_message(translate.outcome(one, held) for one in batch.outcomes),
            info=translate.read_info(batch.revision, batch.max_age_seconds),
        )

    async def set_alias(self, request: pb.SetAliasRequest, _: Context) -> pb.SetAliasResponse:
        written = await set_alias(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            version=request.version,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            options=translate.write_options_of(request),
        )
        return pb.SetAliasResponse(
            previous_version=plain(written.results[0].previous),
            previous_split=translate.split(written.results[0].previous),
            revision=translate.revision(written.revision),
        )

    async def set_alias_split(self, request: pb.SetAliasSplitRequest, _: Context) -> pb.SetAliasSplitResponse:
        written = await set_alias_split(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            weights=dict(request.weights),
            salt=request.salt if request.HasField("salt") else None,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            options=translate.write_options_of(request),
        )
        result = written.results[0]
        return pb.SetAliasSplitResponse(
            split=translate.split(result.target),
            previous_version=plain(result.previous),
            previous_split=translate.split(result.previous),
            revision=translate.revision(written.revision),
        )

    async def delete_alias(self, request: pb.DeleteAliasRequest, _: Context) -> pb.DeleteAliasResponse:
        rewritten = await delete_alias(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            expected_version=request.expected_version if request.HasField("expected_version") else None,
            allow_missing=request.allow_missing,
            options=translate.write_options_of(request),
        )
        return pb.DeleteAliasResponse(
            previous_version=plain(rewritten.results[0].previous),
            previous_split=translate.split(rewritten.results[0].previous),
            revision=translate.revision(rewritten.revision),
        )

    async def set_tags(self, request: pb.SetTagsRequest, _: Context) -> pb.SetTagsResponse:
        written = await set_tags(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version if request.HasField("version") else None,
            tags=dict(request.tags),
            options=translate.write_options_of(request),
        )
        return pb.SetTagsResponse(revision=translate.revision(written.revision))

    async def delete_tags(self, request: pb.DeleteTagsRequest, _: Context) -> pb.DeleteTagsResponse:
        written = await delete_tags(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            version=request.version if request.HasField("version") else None,
            keys=request.keys,
            options=translate.write_options_of(request),
        )
        return pb.DeleteTagsResponse(revision=translate.revision(written.revision))


def _within_a_message(outcomes: Iterator[pb.ResolveOutcome]) -> Iterator[pb.ResolveOutcome]:
    """At least one, then as many as fit beside the rest of the answer."""
    size = _BESIDE_OUTCOMES_BYTES
    for index, outcome in enumerate(outcomes):
        size += outcome.ByteSize() + _FRAMING_BYTES
        if index and size > limits.ANSWER_MAX_BYTES:
            return
        yield outcome


def _key(request: pb.ResolveRequest | pb.BatchResolveRequest) -> str | None:
    return request.key if request.HasField("key") else None
