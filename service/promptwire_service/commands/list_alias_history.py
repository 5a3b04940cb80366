"""How an alias moved, newest change first, a page at a time. It is kept for ever, also when its prompt is purged."""

from dataclasses import dataclass

from promptwire.domain import limits
from promptwire.domain.names import check_alias, check_namespace, check_prompt_name
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing, check_page_size, fitting
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.kept import AliasMoved
from promptwire_service.domain.records import Revision


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some changes and the token for those that follow, empty when none do."""

    moves: tuple[AliasMoved, ...]
    next_page_token: str
    revision: Revision


async def list_alias_history(
    registry: Registry, *, namespace: str, name: str, alias: str, page_size: int, page_token: str
) -> HistoryPage:
    """Empty for an alias, or a prompt, that never was."""
    listing = Listing("history", namespace, "name and alias", f"{name}@{alias}", limits.VERSION_MAX, is_number)
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        check_page_size(page_size),
        listing.check(page_token),
    )
    limit = page_size or limits.PAGE_DEFAULT
    read = await registry.store.read_history(
        namespace, name, alias, before=listing.cursor(page_token), at_ms=None, limit=limit + 1
    )
    moves = fitting(read.value[:limit], lambda move: move.size_bytes)
    more = read.cut or len(moves) < len(read.value)
    return HistoryPage(moves, listing.token(moves[-1].number) if more else "", read.revision)


def is_number(cursor: int) -> bool:
    """Whether a page may begin at a revision number."""
    return 0 <= cursor <= limits.VERSION_MAX
