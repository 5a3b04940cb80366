"""Points an alias at a version, making the alias if it is new."""

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions, check_expected
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import SetAlias, Written


async def set_alias(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    alias: str,
    version: int,
    expected_version: int | None,
    options: WriteOptions,
) -> Written:
    """`expected_version` makes it a compare-and-set: only if the alias points there now; 0 for "only if there is no
    such alias".

    The store refuses, at the moment of the write, a prompt or version that does not exist (PROMPT_NOT_FOUND,
    VERSION_NOT_FOUND), an expectation that does not hold (ALIAS_CONFLICT, ETAG_CONFLICT), one alias more than a
    prompt may have, and a request id of another write.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_alias(alias),
        check_version(version),
        check_expected(expected_version, "expected_version"),
        *options.violations(),
    )
    operation = SetAlias(name=name, alias=alias, target=version, expected=expected_version)
    return await registry.store.write(namespace, options.write(operation))
