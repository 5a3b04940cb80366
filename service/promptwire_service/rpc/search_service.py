"""promptwire.v1.PromptService: searches; each method is its command, with messages on either side."""

from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.search_prompts import search_prompts
from promptwire_service.commands.search_versions import search_versions
from promptwire_service.commands.work import in_steps
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context


class SearchService:
    """Bound by `binding.bind` beside PromptService."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def search_versions(self, request: pb.SearchVersionsRequest, _: Context) -> pb.SearchVersionsResponse:
        page = await search_versions(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            filter=request.filter,
            order_by=tuple(request.order_by),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        rows = in_steps(self._registry.turns, page.rows, lambda row: translate.version_units(row.version))
        return pb.SearchVersionsResponse(
            versions=[translate.version(row.version, row.aliases) async for row in rows],
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )

    async def search_prompts(self, request: pb.SearchPromptsRequest, _: Context) -> pb.SearchPromptsResponse:
        page = await search_prompts(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            filter=request.filter,
            order_by=tuple(request.order_by),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.SearchPromptsResponse(
            prompts=map(translate.prompt, page.prompts),
            next_page_token=page.next_page_token,
            info=translate.read_info(page.revision, 0.0),
        )
