"""Turns a reference into the version it means now.

`name@alias` is what the alias points at, `name/3` is version 3, `name` and `name@latest` are the newest version.
"""

from functools import lru_cache

from promptwire.domain.names import check_namespace
from promptwire.domain.references import parse_reference
from promptwire.domain.violations import InvalidValueError
from promptwire_service.commands.context import Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.reads import Freshness

# Agents ask for the same few references all day; one that breaks a rule is not kept, so that an entry is small.
_parse = lru_cache(maxsize=4_096)(parse_reference)


async def resolve(
    registry: Registry, *, namespace: str, reference: str, freshness: Freshness, key: str | None = None
) -> Resolved:
    """Version and aliases are of one revision: see `pairs.read_pair`. Raises PROMPT_, ALIAS_ or VERSION_NOT_FOUND."""
    wrong = (check_namespace(namespace),)
    try:
        parsed = _parse(reference)
    except InvalidValueError as error:
        refuse(error.violation, *wrong)
        raise
    refuse(*wrong)
    return await read_pair(registry.reader, namespace, parsed.name, parsed.selector, freshness, key)
