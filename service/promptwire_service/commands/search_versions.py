"""Searches versions: those that match a filter, newest first within a name unless another order is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import PAGE_MAX_BYTES, fitting
from promptwire_service.commands.searching import Search
from promptwire_service.domain.records import Read, Revision
from promptwire_service.domain.search.fields import VERSIONS
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow


@dataclass(frozen=True, slots=True)
class FoundVersionsPage:
    """Some versions that match, and the token for those that follow, empty when none do."""

    rows: tuple[VersionRow, ...]
    next_page_token: str
    revision: Revision


async def search_versions(
    registry: Registry, *, namespace: str, filter: str, order_by: Sequence[str], page_size: int, page_token: str
) -> FoundVersionsPage:
    """A page may be short, even empty, and have a token all the same: it ends after a bounded number of candidates, or
    where it would grow past about 4 MiB. Its rows are read at its revision, and match there.

    A version that is there and matches all the while is on one of the pages, once, whatever is written meanwhile.
    """
    search = Search[VersionRow](
        registry,
        VERSIONS,
        namespace=namespace,
        filter=filter,
        order_by=order_by,
        page_size=page_size,
        page_token=page_token,
    )

    least: Contents = "text" if search.reads_text else "none"
    # Where an index has the order and leads to little else than matches, the first read of it is the page: so it reads
    # them whole. What is sorted is many more than a page.
    contents: Iterator[Contents] = chain[Contents](["all"], repeat(least))

    async def find(plan: Plan, after: str, limit: int) -> Read[Candidates[VersionRow]]:
        content = next(contents) if plan.newest or not order_by else least
        return await registry.store.find_versions(namespace, plan, after=after, limit=limit, content=content)

    found = await search.page(find)
    if found.one_read or not found.keys:
        first = fitting(found.rows or (), _size_bytes)
        token = found.token if len(first) == len(found.rows or ()) else search.token(found.cursors[len(first) - 1])
        return FoundVersionsPage(first, token, found.revision)
    whole = await registry.store.read_rows(namespace, found.keys, max_bytes=PAGE_MAX_BYTES)
    read = fitting(whole.value, lambda row: _size_bytes(row) if row else 0)
    rows = [row for row in read if row is not None and await search.holds(row)]
    token = found.token if len(read) == len(found.keys) else search.token(found.cursors[len(read) - 1])
    return FoundVersionsPage(tuple(rows), token, whole.revision)


def _size_bytes(row: VersionRow) -> int:
    return row.version.size_bytes + row.prompt.aliases_max_bytes
