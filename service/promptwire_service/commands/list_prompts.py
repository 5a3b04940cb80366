"""Lists prompts in byte order of their names, a page at a time, from the store."""

import re
from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_namespace, check_prompt_name
from promptwire.domain.violations import Violation, shape
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing, check_page_size, fitting
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.records import PromptRecord, Revision

_PREFIX: Final = re.compile(rf"[A-Za-z0-9_.\-/]{{0,{limits.NAME_MAX_BYTES}}}\Z")


@dataclass(frozen=True, slots=True)
class PromptsPage:
    """Some prompts and the token for those that follow, empty when none do; all of one revision."""

    prompts: tuple[PromptRecord, ...]
    next_page_token: str
    revision: Revision


async def list_prompts(
    registry: Registry, *, namespace: str, name_prefix: str, page_size: int, page_token: str
) -> PromptsPage:
    """Each page is of one revision. The pages of a list may be of several; a prompt that was there all along is listed
    all the same, once.
    """
    listing = Listing("prompts", namespace, "name_prefix", name_prefix, "", _is_name)
    refuse(
        check_namespace(namespace),
        _check_prefix(name_prefix),
        check_page_size(page_size),
        listing.check(page_token),
    )
    limit = page_size or limits.PAGE_DEFAULT
    # One more than asked for tells whether a page follows.
    read = await registry.store.list_prompts(
        namespace, after=listing.cursor(page_token), prefix=name_prefix, limit=limit + 1
    )
    prompts = fitting(read.value[:limit], lambda prompt: prompt.size_bytes)
    more = read.cut or len(prompts) < len(read.value)
    return PromptsPage(prompts, listing.token(prompts[-1].name) if more else "", read.revision)


def _is_name(cursor: str) -> bool:
    return check_prompt_name(cursor) is None


def _check_prefix(prefix: str) -> Violation | None:
    if _PREFIX.match(prefix):
        return None
    rule = f"must be the beginning of a name: at most {limits.NAME_MAX_BYTES} of A-Z a-z 0-9 _ . - /"
    return Violation("name_prefix", f"{rule} ; got {shape(prefix)}")
