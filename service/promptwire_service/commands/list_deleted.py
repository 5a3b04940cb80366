"""What is deleted and not purged yet, what was deleted first before others, a page at a time."""

from dataclasses import dataclass

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing, check_page_size
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.kept import Deleted
from promptwire_service.domain.records import Revision


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """Some deletions and the token for those that follow, empty when none do."""

    deleted: tuple[Deleted, ...]
    next_page_token: str
    revision: Revision


async def list_deleted(registry: Registry, *, namespace: str, page_size: int, page_token: str) -> DeletedPage:
    """A page counts from the first: what is undeleted or purged meanwhile lets later ones slip by unseen."""
    listing = Listing("deleted", namespace, "namespace", "", 0, lambda skip: 0 <= skip <= limits.VERSION_MAX)
    refuse(check_namespace(namespace), check_page_size(page_size), listing.check(page_token))
    skip, limit = listing.cursor(page_token), page_size or limits.PAGE_DEFAULT
    read = await registry.store.list_deleted(namespace, skip=skip, limit=limit + 1)
    more = len(read.value) > limit
    return DeletedPage(tuple(read.value[:limit]), listing.token(skip + limit) if more else "", read.revision)
