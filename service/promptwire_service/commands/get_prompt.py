"""Reads a prompt: its newest version's number, its aliases, its tags."""

from promptwire.domain.names import check_namespace, check_prompt_name
from promptwire_service.commands.context import Registry
from promptwire_service.domain.errors import found_missing, prompt_deleted, prompt_not_found, refuse
from promptwire_service.domain.reads import Answer, Freshness
from promptwire_service.domain.records import PromptRecord


async def get_prompt(registry: Registry, *, namespace: str, name: str, freshness: Freshness) -> Answer[PromptRecord]:
    """Raises PROMPT_NOT_FOUND, PROMPT_DELETED."""
    refuse(check_namespace(namespace), check_prompt_name(name))
    answer = await registry.reader.prompt(namespace, name, freshness)
    if answer.value is None:
        raise found_missing(prompt_not_found(name), answer.revision)
    if answer.value.deleted_ms:
        raise found_missing(prompt_deleted(name), answer.revision)
    return Answer(answer.value, answer.revision, answer.max_age_seconds)
