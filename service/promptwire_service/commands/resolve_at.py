"""Turns a reference into the version that it meant at a time, by what is kept for ever."""

from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import LATEST, check_namespace
from promptwire.domain.references import Reference, parse_reference
from promptwire.domain.splits import Split
from promptwire.domain.violations import InvalidValueError
from promptwire_service.commands.context import Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.domain.errors import alias_absent_then, no_version_then, refuse
from promptwire_service.domain.reads import STRONG
from promptwire_service.storage.base import Store

_PAGE: Final = 100
_PAGE_MAX_BYTES: Final = 1 << 20


async def resolve_at(
    registry: Registry, *, namespace: str, reference: str, at_ms: int, key: str | None = None
) -> Resolved:
    """Read from the store. The version's aliases and tags are those that it has now.

    Raises what `resolve` raises; ALIAS_NOT_FOUND, VERSION_NOT_FOUND for what was not there at that time;
    VERSION_DELETED, PROMPT_DELETED for what is gone since.
    """
    refuse(check_namespace(namespace))
    try:
        parsed = parse_reference(reference)
    except InvalidValueError as error:
        refuse(error.violation)
        raise
    version = await _version_at(registry.store, namespace, parsed, at_ms, key)
    pair = await read_pair(registry.reader, namespace, parsed.name, version, STRONG)
    if pair.version.created_ms > at_ms:
        raise no_version_then(parsed.name)
    return pair


async def _version_at(store: Store, namespace: str, reference: Reference, at_ms: int, key: str | None) -> int:
    name, selector = reference.name, reference.selector
    if isinstance(selector, int):
        return selector
    if selector == LATEST:
        return await _latest_at(store, namespace, name, at_ms)
    moves = await store.read_history(namespace, name, selector, before=limits.VERSION_MAX, at_ms=at_ms, limit=1)
    target = moves.value[0].target if moves.value else 0
    if isinstance(target, Split):
        target = target.drawn() if key is None else target.version_for(selector, key)
    if not target:
        raise alias_absent_then(name, selector)
    return target


async def _latest_at(store: Store, namespace: str, name: str, at_ms: int) -> int:
    before = limits.VERSION_MAX
    while True:
        page = await store.list_versions(namespace, name, before=before, limit=_PAGE, max_bytes=_PAGE_MAX_BYTES)
        if not page.value:
            raise no_version_then(name)
        for version in page.value:
            if version.created_ms <= at_ms:
                return version.version
        before = page.value[-1].version
