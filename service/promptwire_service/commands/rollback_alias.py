"""Points an alias back at what it pointed at before, or at what it did at a time."""

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import RollbackAlias, Written


async def rollback_alias(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    alias: str,
    at_ms: int | None,
    expected_version: int | None,
    options: WriteOptions,
) -> Written:
    """Before: what stands in its history under the entry that made it what it is. A roll-back counts as an undoing, so
    that the next one goes back further; docs/adr/0015-rollback.md says why.

    The store refuses, at the moment of the write, an alias that has pointed at nothing else, or at nothing at that
    time (NOTHING_TO_ROLL_BACK), a version that is deleted or purged since (VERSION_DELETED, VERSION_NOT_FOUND), and
    what `set_alias` refuses.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        None if expected_version is None else check_version(expected_version, "expected_version"),
        *options.violations(),
    )
    operation = RollbackAlias(name=name, alias=alias, at_ms=at_ms, expected=expected_version)
    return await registry.store.write(namespace, options.write(operation))
