"""Lists a prompt's versions, newest first, a page at a time, from the store."""

from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import PAGE_MAX_BYTES, Listing, check_page_size, fitting
from promptwire_service.domain.errors import prompt_deleted, prompt_not_found, refuse
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.storage.base import Store

_RETRIES: Final = 2


@dataclass(frozen=True, slots=True)
class VersionsPage:
    """Some versions and the token for those that follow, empty when none do. `prompt` knows their aliases."""

    prompt: PromptRecord
    versions: tuple[VersionRecord, ...]
    next_page_token: str
    revision: Revision


async def list_prompt_versions(
    registry: Registry, *, namespace: str, name: str, page_size: int, page_token: str
) -> VersionsPage:
    """Raises PROMPT_NOT_FOUND. A page ends early where it would grow past PAGE_MAX_BYTES.

    The prompt is read after its versions; when it changed in between, both are read again. One that changes faster than
    that is answered all the same, with aliases that may be newer than the page's revision.
    """
    listing = Listing("versions", namespace, "name", name, limits.VERSION_MAX, _is_version)
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_page_size(page_size),
        listing.check(page_token),
    )
    before, limit = listing.cursor(page_token), page_size or limits.PAGE_DEFAULT
    page, prompt = await _read(registry.store, namespace, name, before, limit)
    for _ in range(_RETRIES):
        if prompt.revision.epoch == page.revision.epoch and prompt.value.etag <= page.revision.number:
            break
        page, prompt = await _read(registry.store, namespace, name, before, limit)
    # Below the last row there may be more, though they may all be deleted; a short page may be one cut by its bytes.
    versions = fitting(page.value, lambda version: version.size_bytes + prompt.value.aliases_max_bytes)
    more = bool(versions) and versions[-1].version > 1
    token = listing.token(versions[-1].version) if more else ""
    return VersionsPage(prompt.value, versions, token, page.revision)


async def _read(
    store: Store, namespace: str, name: str, before: int, limit: int
) -> tuple[Read[list[VersionRecord]], Read[PromptRecord]]:
    page = await store.list_versions(namespace, name, before=before, limit=limit, max_bytes=PAGE_MAX_BYTES)
    read = await store.read_prompts(namespace, [name])
    prompt = read.value[0]
    if prompt is None:
        raise prompt_not_found(name)
    if prompt.deleted_ms:
        raise prompt_deleted(name)
    return page, Read(prompt, read.revision)


def _is_version(cursor: int) -> bool:
    return check_version(cursor) is None
