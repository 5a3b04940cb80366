"""Sets tags of a prompt or of one version; other tags stay."""

from collections.abc import Mapping

from promptwire.domain.names import check_namespace, check_prompt_name, check_tags, check_version
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import SetTags, Written


async def set_tags(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    version: int | None,
    tags: Mapping[str, str],
    options: WriteOptions,
) -> Written:
    """Without `version`, the prompt's own tags are meant.

    The store refuses, at the moment of the write, a prompt or version that does not exist (PROMPT_NOT_FOUND,
    VERSION_NOT_FOUND), more tags than may be once they are merged, an etag that is not the expected one
    (ETAG_CONFLICT), and a request id of another write.
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        None if version is None else check_version(version),
        check_tags(tags) if tags else Violation("tags", "must not be empty"),
        *options.violations(),
    )
    operation = SetTags(name=name, version=version, tags=tags)
    return await registry.store.write(namespace, options.write(operation))
