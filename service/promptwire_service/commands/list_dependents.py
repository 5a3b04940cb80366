"""What includes a prompt's versions, a page at a time."""

from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing
from promptwire_service.domain.errors import prompt_deleted, prompt_not_found, refuse, version_not_found
from promptwire_service.domain.records import Revision

VERSIONS_MAX: Final = 1_000
"""That one page looks at."""


@dataclass(frozen=True, slots=True)
class Dependent:
    """A version, and one that includes it."""

    version: int
    by_name: str
    by_version: int


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
    listing = Listing(
        "dependents", namespace, "name", name, limits.VERSION_MAX, lambda before: 0 < before <= limits.VERSION_MAX
    )
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
    newest = min(prompt.last_version, listing.cursor(page_token) - 1)
    numbers = [version] if version is not None else list(range(newest, max(newest - VERSIONS_MAX, 0), -1))
    read = await registry.store.read_dependents(namespace, name, numbers)
    dependents = tuple(
        Dependent(number, by_name, by_version)
        for number, found in zip(numbers, read.value, strict=True)
        for by_name, by_version in found
    )
    more = version is None and newest > VERSIONS_MAX
    return DependentsPage(dependents, listing.token(numbers[-1]) if more else "", read.revision)
