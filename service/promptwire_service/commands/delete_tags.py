"""Removes tags of a prompt or of one version; absent ones are no error."""

from collections.abc import Iterable

from promptwire.domain.names import check_namespace, check_prompt_name, check_tag_keys, check_version
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import DeleteTags, Written


async def delete_tags(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    version: int | None,
    keys: Iterable[str],
    options: WriteOptions,
) -> Written:
    """Without `version`, the prompt's own tags are meant. A key given twice counts once.

    The store refuses, at the moment of the write, a prompt or version that does not exist (PROMPT_NOT_FOUND,
    VERSION_NOT_FOUND), an etag that is not the expected one (ETAG_CONFLICT), and a request id of another write.
    """
    distinct = tuple(dict.fromkeys(keys))
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        None if version is None else check_version(version),
        _check_count(distinct) or check_tag_keys(distinct, "keys"),
        *options.violations(),
    )
    operation = DeleteTags(name=name, version=version, keys=distinct)
    return await registry.store.write(namespace, options.write(operation))


def _check_count(keys: tuple[str, ...]) -> Violation | None:
    return None if keys else Violation("keys", "must not be empty")
