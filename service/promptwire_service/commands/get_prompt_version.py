"""Reads one version by its number, with the aliases that point at it."""

from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.reads import Freshness


async def get_prompt_version(
    registry: Registry, *, namespace: str, name: str, version: int, freshness: Freshness
) -> Resolved:
    """Raises PROMPT_NOT_FOUND or VERSION_NOT_FOUND."""
    refuse(check_namespace(namespace), check_prompt_name(name), check_version(version))
    return await read_pair(registry.reader, namespace, name, version, freshness)
