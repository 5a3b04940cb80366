"""What includes a prompt's versions, a page at a time."""

from dataclasses import dataclass
from typing import Final

from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing
from promptwire_service.domain.errors import prompt_deleted, prompt_not_found, refuse, version_not_found
from promptwire_service.domain.kept import Dependent
from promptwire_service.domain.records import Revision

LOOKS_MAX: Final = 1_000
"""Dependents that one page looks at; those that are deleted are not in it."""


@dataclass(frozen=True, slots=True)
class DependentsPage:
    """Some of them and the token for those that follow, empty when none do."""

    dependents: tuple[Dependent, ...]
    next_page_token: str
    revision: Revision


async def list_dependents(
    registry: Registry, *, namespace: str, name: str, version: int | None, page_token: str
) -> DependentsPage:
    """Refused: a prompt that is not there or deleted, a version that it never had."""
    listing = Listing("dependents", namespace, "name and version", f"{name}/{version or ''}", "", Dependent.is_position)
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        None if version is None else check_version(version),
        listing.check(page_token),
    )
    prompt = (await registry.store.read_prompts(namespace, [name])).value[0]
    if prompt is None:
        raise prompt_not_found(name)
    if prompt.deleted_ms:
        raise prompt_deleted(name)
    if version is not None and version > prompt.last_version:
        raise version_not_found(name, version, prompt.latest_version)
    read = await registry.store.read_dependents(
        namespace, name, version=version, after=listing.cursor(page_token), limit=LOOKS_MAX
    )
    following = read.value.next_position
    return DependentsPage(read.value.found, listing.token(following) if following else "", read.revision)
