"""What is kept for ever: every write of a namespace, in order, and its releases, newest first, a page at a time."""

from dataclasses import dataclass

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.commands.list_alias_history import is_number
from promptwire_service.commands.paging import Listing, check_page_size, fitting
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.kept import KeptWrite
from promptwire_service.domain.records import Read, Revision


@dataclass(frozen=True, slots=True)
class KeptPage:
    """Some writes and the token for those that follow, empty when none do."""

    writes: tuple[KeptWrite, ...]
    next_page_token: str
    revision: Revision


async def list_audit(registry: Registry, *, namespace: str, after: int, page_size: int, page_token: str) -> KeptPage:
    """Oldest first, from the one after a revision number on."""
    listing = Listing("audit", namespace, "after", str(after), after, is_number)
    refuse(
        check_namespace(namespace),
        None if is_number(after) else Violation("after", f"must be a revision's number, from 0; got {after}"),
        check_page_size(page_size),
        listing.check(page_token),
    )
    limit = page_size or limits.PAGE_DEFAULT
    read = await registry.store.read_audit(namespace, after=listing.cursor(page_token), limit=limit + 1)
    return _page(listing, read, limit)


async def list_releases(registry: Registry, *, namespace: str, page_size: int, page_token: str) -> KeptPage:
    """Newest first."""
    listing = Listing("releases", namespace, "namespace", "", limits.VERSION_MAX, is_number)
    refuse(check_namespace(namespace), check_page_size(page_size), listing.check(page_token))
    limit = page_size or limits.PAGE_DEFAULT
    read = await registry.store.read_releases(namespace, before=listing.cursor(page_token), limit=limit + 1)
    return _page(listing, read, limit)


def _page(listing: Listing[int], read: Read[list[KeptWrite]], limit: int) -> KeptPage:
    writes = fitting(read.value[:limit], lambda write: write.entry.size_bytes)
    more = read.cut or len(writes) < len(read.value)
    return KeptPage(writes, listing.token(writes[-1].entry.number) if more else "", read.revision)
