"""Points an alias back at what it pointed at before, at what it did at a time, or at a version."""

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_version
from promptwire.domain.violations import Violation
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
    to_version: int | None,
    expected_version: int | None,
    options: WriteOptions,
) -> Written:
    """Without a time or a version it goes to what was live before what is live now, and was not left since by a
    roll-back or by the undoing of a release; docs/adr/0015-releases-and-rollback.md says why.

    The store refuses, at the moment of the write, an alias that has nothing to go back to, or pointed at nothing at
    that time (NOTHING_TO_ROLL_BACK), a version that is deleted or purged since (VERSION_DELETED, VERSION_NOT_FOUND),
    and what `set_alias` refuses.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        None if to_version is None else check_version(to_version, "to_version"),
        None if None in (at_ms, to_version) else Violation("at", "does not go with to_version"),
        None if expected_version is None else check_version(expected_version, "expected_version"),
        *options.violations(),
    )
    operation = RollbackAlias(name=name, alias=alias, at_ms=at_ms, to=to_version, expected=expected_version)
    return await registry.store.write(namespace, options.write(operation))
