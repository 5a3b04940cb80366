"""An export brought into an empty namespace: every version under its number, aliases where they were.

An import that was interrupted is run again: what is there already, and is what the files say, is passed by.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from promptwire._core import checks
from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.errors import ConflictError
from promptwire.files import registry
from promptwire.files.order import in_order, references_of
from promptwire.files.prompt_file import NEWEST, FileVersion, PromptFile, content_of
from promptwire.values import Move, Prompt, Register

if TYPE_CHECKING:
    from promptwire.client import Client

TITLE: Final = "Import"
_STEPS_MAX: Final = 500
_BATCH_MAX_BYTES: Final = 8 << 20
_GONE: Final = FileVersion(content=Content("deleted before the export"), commit_message="Deleted before the export")
"""Stands for a version that the export does not have, so that those after it keep their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What an import did."""

    versions: int
    aliases: int
    left_out: tuple[str, ...]
    """Aliases to versions that the files do not have, as name@alias."""


def restore(
    client: "Client", files: Sequence[PromptFile], progress: Callable[[int], None], *, dry_run: bool = False
) -> Restored:
    """Raises ConflictError, before anything is written, where the namespace has something else under a file's name."""
    held = registry.prompts(client)
    files = [_numbered(file) for file in files]
    here = [file for file in files if file.name in held]
    _check(client, here, held)
    by_file = [(file, list(_registers(file, held.get(file.name)))) for file in files]
    _check_numbers(client, [(file, _last(held.get(file.name)) + 1, steps[0]) for file, steps in by_file if steps])
    steps = _in_order(by_file)
    moves, left_out = _moves(files, held)
    registered = sum(step.template != _GONE.content.text for step in steps)
    restored = Restored(versions=registered, aliases=len(moves), left_out=tuple(left_out))
    if dry_run:
        return restored
    for batch in _batches(steps):
        client.release(TITLE, batch)
        progress(len(batch))
    for file in files:
        _delete_fillers(client, file, held.get(file.name))
    for some in registry.batches(moves, _STEPS_MAX):
        client.release(TITLE, some)
    for file in files:
        known = held.get(file.name)
        for alias, split in file.splits.items():
            weights = {int(version): float(weight) for version, weight in split.weights.items()}
            if known is None or alias not in known.splits:
                client.set_prompt_alias_split(file.name, alias, weights, salt=split.salt)
        if file.prompt_tags and (known is None or dict(known.tags) != dict(file.prompt_tags)):
            client.set_prompt_tags(file.name, file.prompt_tags)
    return restored


def _in_order(by_file: Sequence[tuple[PromptFile, list[Register]]]) -> list[Register]:
    """A prompt's versions one after another, and each after those that it includes."""
    numbered: list[tuple[str, int, Register]] = []
    for file, steps in by_file:
        first = (file.newest.number or 0) - len(steps) + 1
        numbered += ((file.name, number, step) for number, step in enumerate(steps, first))

    def after(item: tuple[str, int, Register]) -> Iterator[tuple[str, int]]:
        name, number, step = item
        yield name, number - 1
        content = checks.content(step.template, None, None, step.syntax)
        for reference in references_of(content):
            if isinstance(reference.selector, int):
                yield reference.name, reference.selector
            else:
                yield from last.get(reference.name, ())

    last = {name: [(name, number)] for name, number, _ in numbered}
    return [step for _, _, step in in_order(numbered, lambda item: item[:2], after)]


def _numbered(file: PromptFile) -> PromptFile:
    """The newest version alone becomes version 1."""
    if file.newest.number is not None:
        return file
    return replace(file, versions=(replace(file.newest, number=1),))


def _check(client: "Client", files: Sequence[PromptFile], held: dict[str, Prompt]) -> None:
    newest = {one.name: one for one in registry.newest(client, [held[file.name] for file in files])}
    for file in files:
        version = newest[file.name]
        same = next((one for one in file.versions if one.number == version.version), None)
        wanted = same.content if same else _GONE.content
        if wanted not in (content_of(version), content_of(version, pinned=True)):
            raise ConflictError(
                f"the namespace has a prompt {file.name} already, and its version {version.version} is not the one in "
                f"{file.path}; import goes into an empty namespace, --namespace names another one",
                "PROMPT_EXISTS",
                {"name": file.name},
            )


def _check_numbers(client: "Client", firsts: Sequence[tuple[PromptFile, int, Register]]) -> None:
    """Whether versions will get their numbers: a prompt that was deleted or purged goes on after its last one."""
    expected = {file.name: (file, number) for file, number, _ in firsts}
    # Only numbers are asked for: what a template includes may be among what comes.
    bare = [replace(step, template="x", syntax=None) for _, _, step in firsts]
    for batch in _batches(bare):
        for effect in client.release(TITLE, batch, dry_run=True).effects:
            file, number = expected[effect.name]
            if effect.problem or effect.version != number:
                problem = effect.problem or f"its next version would be {effect.version}, not {number}"
                raise ConflictError(
                    f"{file.path} cannot be imported: {problem}; --namespace names an empty namespace",
                    "PROMPT_EXISTS",
                    {"name": file.name},
                )


def _last(prompt: Prompt | None) -> int:
    return max(prompt.latest_version, *prompt.deleted_versions, 0) if prompt else 0


def _registers(file: PromptFile, prompt: Prompt | None) -> Iterator[Register]:
    by_number = {version.number: version for version in file.versions}
    done = _last(prompt)
    for number in range(done + 1, (file.newest.number or 0) + 1):
        version = by_number.get(number, _GONE)
        # Later steps follow on this one: only the first can tell what it expects to find.
        expected = (prompt.latest_version if prompt else 0) if number == done + 1 else None
        yield version.register(file.name, expected)


def _delete_fillers(client: "Client", file: PromptFile, prompt: Prompt | None) -> None:
    there = {version.number for version in file.versions} | set(prompt.deleted_versions if prompt else ())
    for number in range(1, file.newest.number or 0):
        if number not in there:
            client.delete_prompt_version(file.name, number, reason=_GONE.commit_message)


def _moves(files: Sequence[PromptFile], held: dict[str, Prompt]) -> tuple[list[Move], list[str]]:
    moves, left_out = [], []
    for file in files:
        known = held[file.name].aliases if file.name in held else {}
        numbers = {version.number for version in file.versions}
        for alias, target in sorted(file.aliases.items()):
            number = (file.newest.number or 0) if target == NEWEST else target
            if number not in numbers:
                left_out.append(f"{file.name}@{alias}")
            elif known.get(alias) != number:
                moves.append(Move(name=file.name, alias=alias, version=number, expected_version=known.get(alias) or 0))
    return moves, left_out


def _batches(steps: Sequence[Register]) -> Iterator[list[Register]]:
    batch: list[Register] = []
    size = tags = 0
    for step in steps:
        cost = checks.content(step.template, None, None, step.syntax).size_bytes + 1_000
        more_tags = len(step.tags or ())
        full = len(batch) == _STEPS_MAX or tags + more_tags > limits.RELEASE_ENTRIES_MAX
        if batch and (full or size + cost > _BATCH_MAX_BYTES):
            yield batch
            batch, size, tags = [], 0, 0
        batch.append(step)
        size, tags = size + cost, tags + more_tags
    if batch:
        yield batch
