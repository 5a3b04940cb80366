"""What the registry holds, read for comparing it with files, many prompts in a round trip."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from promptwire.errors import PromptwireError, UnavailableError
from promptwire.files.prompt_file import NEWEST, FileSplit, FileVersion, PromptFile, content_of
from promptwire.prompt_version import PromptVersion
from promptwire.values import Prompt

if TYPE_CHECKING:
    from promptwire.client import Client

Item = TypeVar("Item")

_BATCH: Final = 50
"""Prompts of 1 MiB each, with their tags, fit into one message."""


def prompts(client: "Client", prefix: str = "") -> dict[str, Prompt]:
    """By name; those without any version left are not among them."""
    return {prompt.name: prompt for prompt in client.list_prompts(prefix) if prompt.latest_version}


def newest(client: "Client", wanted: Iterable[Prompt]) -> Iterator[PromptVersion]:
    """The newest version of each, as the list told it."""
    for some in batches(list(wanted), _BATCH):
        yield from client.load_prompts([f"{prompt.name}/{prompt.latest_version}" for prompt in some])


def newest_files(client: "Client", wanted: Iterable[Prompt]) -> Iterator[tuple[Prompt, Callable[[], PromptFile]]]:
    """The file of each with the newest version alone, when it is called: one that fails does not stop the others.

    Raises UnavailableError.
    """
    for some in batches(list(wanted), _BATCH):
        try:
            loaded = list(newest(client, some))
        except UnavailableError:
            raise
        except PromptwireError:
            yield from ((prompt, partial(_newest_alone, client, prompt)) for prompt in some)
        else:
            yield from (
                (prompt, partial(newest_file, prompt, version)) for prompt, version in zip(some, loaded, strict=True)
            )


def _newest_alone(client: "Client", prompt: Prompt) -> PromptFile:
    return newest_file(prompt, next(newest(client, [prompt])))


def newest_file(prompt: Prompt, version: PromptVersion) -> PromptFile:
    """An alias at the newest version is told as such: elsewhere it has another number."""
    aliases = {alias: NEWEST if target == version.version else target for alias, target in prompt.aliases.items()}
    return PromptFile(name=prompt.name, versions=(_version(version, numbered=False),), aliases=aliases)


def whole_file(client: "Client", prompt: Prompt) -> PromptFile:
    """With all versions that are not deleted."""
    versions = sorted(client.list_prompt_versions(prompt.name), key=lambda version: version.version)
    return PromptFile(
        name=prompt.name,
        versions=tuple(_version(version, numbered=True) for version in versions),
        aliases=prompt.aliases,
        splits={
            alias: FileSplit(salt=split.salt, weights={str(one): share for one, share in split.weights().items()})
            for alias, split in prompt.splits.items()
        },
        prompt_tags=prompt.tags,
    )


def _version(version: PromptVersion, *, numbered: bool) -> FileVersion:
    return FileVersion(
        content=content_of(version, pinned=numbered),
        commit_message=version.commit_message,
        tags=version.tags,
        number=version.version if numbered else None,
    )


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
