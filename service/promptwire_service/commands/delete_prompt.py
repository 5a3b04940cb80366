"""Hides a prompt, with its versions, aliases and tags, until it is undeleted or purged."""

from promptwire.domain.names import check_namespace, check_prompt_name
from promptwire_service.commands.context import Registry
from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import DeletePrompt, UndeletePrompt, Written


async def delete_prompt(registry: Registry, *, namespace: str, name: str, options: WriteOptions) -> Written:
    """The store refuses, at the moment of the write, a prompt that others include (INCLUDED, naming them), and one
    that is not there or deleted already (PROMPT_NOT_FOUND, PROMPT_DELETED).
    """
    refuse(check_namespace(namespace), check_prompt_name(name), *options.violations())
    return await registry.store.write(namespace, options.write(DeletePrompt(name=name)))


async def undelete_prompt(registry: Registry, *, namespace: str, name: str, options: WriteOptions) -> Written:
    """As it was. The store refuses what is not deleted (NOT_DELETED) and what is purged (PROMPT_NOT_FOUND)."""
    refuse(check_namespace(namespace), check_prompt_name(name), *options.violations())
    return await registry.store.write(namespace, options.write(UndeletePrompt(name=name)))
