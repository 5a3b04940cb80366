"""Searches prompts: those that match a filter, by name unless another order is asked for."""

from collections.abc import Sequence

from promptwire_service.commands.context import Registry
from promptwire_service.commands.list_prompts import PromptsPage
from promptwire_service.commands.paging import PAGE_MAX_BYTES, fitting
from promptwire_service.commands.searching import Search
from promptwire_service.domain.records import PromptRecord, Read
from promptwire_service.domain.search.fields import PROMPTS
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates


async def search_prompts(
    registry: Registry, *, namespace: str, filter: str, order_by: Sequence[str], page_size: int, page_token: str
) -> PromptsPage:
    """As search_versions, with one row a prompt."""
    search = Search[PromptRecord](
        registry,
        PROMPTS,
        namespace=namespace,
        filter=filter,
        order_by=order_by,
        page_size=page_size,
        page_token=page_token,
    )

    async def find(plan: Plan, after: str, limit: int) -> Read[Candidates[PromptRecord]]:
        return await registry.store.find_prompts(namespace, plan, after=after, limit=limit)

    found = await search.page(find)
    if found.rows is not None:
        prompts = fitting(found.rows, lambda prompt: prompt.size_bytes)
        token = found.token if len(prompts) == len(found.rows) else search.token(found.cursors[len(prompts) - 1])
        return PromptsPage(prompts, token, found.revision)
    names = [name for name, _ in found.keys]
    whole = await registry.store.read_prompt_rows(namespace, names, max_bytes=PAGE_MAX_BYTES)
    read = fitting(whole.value, lambda prompt: prompt.size_bytes if prompt else 0)
    rows = [row for row in read if row is not None and await search.holds(row)]
    token = found.token if len(read) == len(names) else search.token(found.cursors[len(read) - 1])
    return PromptsPage(tuple(rows), token, whole.revision)
