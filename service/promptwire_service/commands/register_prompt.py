"""Adds a version to a prompt, making the prompt if it is new. Identical content still makes a new version."""

from collections.abc import Mapping
from dataclasses import dataclass

from promptwire.domain.content import Content
from promptwire.domain.names import check_namespace, check_prompt_name, check_tags
from promptwire_service.commands.checking import includes_any
from promptwire_service.commands.context import Registry
from promptwire_service.commands.including import Includer
from promptwire_service.commands.options import WriteOptions
from promptwire_service.commands.repeats import asked_for, earlier_answer
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.operations import Register
from promptwire_service.domain.records import Revision, VersionRecord


@dataclass(frozen=True, slots=True)
class Registered:
    """The version just made, which no alias points at yet, and the write's place in history."""

    version: VersionRecord
    revision: Revision


async def register_prompt(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    content: Content,
    commit_message: str,
    tags: Mapping[str, str],
    options: WriteOptions,
) -> Registered:
    """Refused with the place in the template: what is no template, or includes what cannot be included."""
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        check_tags(tags),
        *options.violations(),
    )
    asked = asked_for(name, content, commit_message, tags, options) if includes_any(content) else ""
    written = await earlier_answer(registry.store, namespace, options, asked)
    if written is None:
        content = await Includer(registry.store, namespace).whole(name, content)
        operation = Register(
            name=name, content=content, digest=content.digest, commit_message=commit_message, tags=tags
        )
        written = await registry.store.write(namespace, options.write(operation, asked=asked))
    elif made := (await registry.store.read_versions(namespace, [(name, written.results[0].version)])).value[0]:
        content = made.content
    # Told from the answer to the write and not read back: a repeat of the request id gets the same answer.
    version = VersionRecord(
        name=name,
        version=written.results[0].version,
        content=content,
        digest=content.digest,
        commit_message=commit_message,
        tags=tags,
        author=written.actor,
        created_ms=written.time_ms,
        etag=written.revision.number,
    )
    return Registered(version, written.revision)
