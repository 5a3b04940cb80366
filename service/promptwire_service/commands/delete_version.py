"""Hides a version until it is undeleted or purged. Its number is never used again."""

from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import DeleteVersion, UndeleteVersion, Written


async def delete_version(
    registry: Registry, *, namespace: str, name: str, version: int, drop_aliases: bool, options: WriteOptions
) -> Written:
    """The store refuses, at the moment of the write, a version that others include (INCLUDED, naming them), one that
    aliases lead to unless they are to be dropped (VERSION_ALIASED, naming them), and one that is not there or deleted
    already (VERSION_NOT_FOUND, VERSION_DELETED).
    """
    refuse(check_namespace(namespace), check_prompt_name(name), check_version(version), *options.violations())
    operation = DeleteVersion(name=name, version=version, drop_aliases=drop_aliases)
    return await registry.store.write(namespace, options.write(operation))


async def undelete_version(
    registry: Registry, *, namespace: str, name: str, version: int, options: WriteOptions
) -> Written:
    """Aliases that went with it stay away. The store refuses what is not deleted (NOT_DELETED) and what is purged
    (VERSION_NOT_FOUND).
    """
    refuse(check_namespace(namespace), check_prompt_name(name), check_version(version), *options.violations())
    return await registry.store.write(namespace, options.write(UndeleteVersion(name=name, version=version)))
