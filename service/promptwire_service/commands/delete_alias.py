"""Removes an alias."""

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import DeleteAlias, Written


async def delete_alias(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    alias: str,
    expected_version: int | None,
    allow_missing: bool,
    options: WriteOptions,
) -> Written:
    """`expected_version` makes it a compare-and-set. `allow_missing`: a missing alias is no error, nothing is written.

    The store refuses, at the moment of the write, a prompt or alias that does not exist (PROMPT_NOT_FOUND,
    ALIAS_NOT_FOUND), an expectation that does not hold (ALIAS_CONFLICT, ETAG_CONFLICT), and a request id of another
    write.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        None if expected_version is None else check_version(expected_version, "expected_version"),
        *options.violations(),
    )
    operation = DeleteAlias(name=name, alias=alias, expected=expected_version, allow_missing=allow_missing)
    return await registry.store.write(namespace, options.write(operation))
