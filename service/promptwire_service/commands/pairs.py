"""Reading a prompt and one of its versions, which are kept apart, as the store held them together."""

from dataclasses import dataclass
from typing import Final, cast

from promptwire.domain.names import LATEST
from promptwire.domain.references import Selector
from promptwire.domain.splits import Split
from promptwire_service.commands.context import Reader
from promptwire_service.domain.errors import (
    RegistryError,
    alias_not_found,
    found_missing,
    no_version_left,
    prompt_deleted,
    prompt_not_found,
    store_unavailable,
    version_deleted,
    version_not_found,
)
from promptwire_service.domain.reads import STRONG, Answer, Freshness
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord

_RETRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version, and the prompt that knows its aliases, both as the store held them at `revision`."""

    prompt: PromptRecord
    version: VersionRecord
    revision: Revision
    max_age_seconds: float
    split: Split | None = None
    """What the alias points at, if it is split: the version is the key's."""


async def read_pair(
    reader: Reader, namespace: str, name: str, selector: Selector, freshness: Freshness, key: str | None = None
) -> Resolved:
    """The version that a selector means now. Raises PROMPT_, ALIAS_ or VERSION_NOT_FOUND.

    The two reads may answer from different revisions. The pair's revision is the older of the two, and the pair
    counts only if both parts are what the store held then (see `agree`). Where a change fell in between, or the
    version vanished with its epoch, both are read again, from the store. A prompt that changes faster than that is
    answered all the same: then no part is older than the revision that is told, but one may be newer.

    Of a split alias it is the key's version; without a key, each call draws.
    """
    prompt, version, number = await _read(reader, namespace, name, selector, freshness, key)
    for _ in range(_RETRIES):
        if agree(prompt, version):
            break
        prompt, version, number = await _read(reader, namespace, name, selector, STRONG, key)
    if version.value is None:
        raise found_missing(version_not_found(name, number, prompt.value.latest_version), version.revision)
    if prompt.revision.epoch != version.revision.epoch:
        raise store_unavailable("its history was replaced while it was read; try again")
    return Resolved(
        prompt.value,
        version.value,
        prompt.revision if prompt.revision.number <= version.revision.number else version.revision,
        max(prompt.max_age_seconds, version.max_age_seconds),
        prompt.value.splits.get(selector) if isinstance(selector, str) else None,
    )


def agree(prompt: Answer[PromptRecord], version: Answer[VersionRecord | None]) -> bool:
    """Whether both values are what the store held at the older of their two revisions.

    The one that was read later did not change in between if its etag, the number of its last change, is not past the
    earlier revision. Every change of a version is one of its prompt too.
    """
    if version.value is None or prompt.revision.epoch != version.revision.epoch:
        return False
    if prompt.revision.number <= version.revision.number:
        return version.value.etag <= prompt.revision.number
    return prompt.value.etag <= version.revision.number


async def _read(
    reader: Reader, namespace: str, name: str, selector: Selector, freshness: Freshness, key: str | None
) -> tuple[Answer[PromptRecord], Answer[VersionRecord | None], int]:
    prompt = await reader.prompt(namespace, name, freshness)
    if prompt.value is None:
        raise found_missing(prompt_not_found(name), prompt.revision)
    number = _number(prompt.value, selector, key)
    if not number:
        raise found_missing(_no_such(prompt.value, selector), prompt.revision)
    version = await reader.version(namespace, name, number, freshness)
    return cast(Answer[PromptRecord], prompt), version, number


def _number(prompt: PromptRecord, selector: Selector, key: str | None) -> int | None:
    split = prompt.splits.get(selector) if isinstance(selector, str) and not prompt.deleted_ms else None
    if split is None:
        return prompt.version_of(selector)
    return split.drawn() if key is None else split.version_for(str(selector), key)


def _no_such(prompt: PromptRecord, selector: Selector) -> RegistryError:
    if prompt.deleted_ms:
        return prompt_deleted(prompt.name)
    if isinstance(selector, int):
        if selector in prompt.deleted_versions:
            return version_deleted(prompt.name, selector)
        return version_not_found(prompt.name, selector, prompt.latest_version)
    if selector == LATEST:
        return no_version_left(prompt.name)
    return alias_not_found(prompt.name, selector, sorted([*prompt.aliases, *prompt.splits]))
