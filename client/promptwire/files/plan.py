"""What applying a folder would change, and doing that: all of it or nothing, and only if nothing moved meanwhile."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptwire.domain.content import warnings_of
from promptwire.domain.diffs import DiffPart, diff_parts, parts_of
from promptwire.domain.violations import Violation
from promptwire.errors import ConflictError
from promptwire.files import registry
from promptwire.files.order import in_order, references_of
from promptwire.files.prompt_file import NEWEST, FileVersion, PromptFile, content_of
from promptwire.files.reading import FileError
from promptwire.prompt_version import PromptVersion
from promptwire.values import Move, Prompt, Register, Release

if TYPE_CHECKING:
    from promptwire.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A version that would be registered, because content or tags differ from the newest one's."""

    name: str
    path: str
    before: int | None
    """Newest version so far; None for a new prompt."""
    parts: tuple[DiffPart, ...]
    version: FileVersion

    @property
    def warnings(self) -> list[Violation]:
        """What is accepted and probably not meant."""
        return warnings_of(self.version.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """An alias that would be made or moved."""

    name: str
    alias: str
    before: int | None
    after: int | None
    """None for the version that is registered with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would change, in order of names, but what is included before what includes it. True when anything would."""

    registrations: tuple[Registration, ...]
    moves: tuple[AliasMove, ...]
    unchanged: int
    """Prompts that are as their file says."""

    def __bool__(self) -> bool:
        return bool(self.registrations or self.moves)


def make_plan(client: "Client", files: Sequence[PromptFile], *, aliases: bool) -> Plan:
    """Compares a folder's files with the namespace. Aliases are looked at only when told."""
    for file in files:
        if file.newest.number is not None:
            raise FileError(file.path, 1, "version", "is of an export with --all-versions, which `import` takes")
    held = registry.prompts(client)
    known = [held[file.name] for file in files if file.name in held]
    newest = {version.name: version for version in registry.newest(client, known)}
    found = [_registration(file, newest.get(file.name)) for file in files]
    by_name = sorted((one for one in found if one), key=lambda one: one.name)
    registrations = tuple(in_order(by_name, lambda one: one.name, lambda one: _included(one.version)))
    registered = {one.name for one in registrations}
    moves = tuple(
        move
        for file in sorted(files, key=lambda file: file.name)
        if aliases
        for move in _moves(file, held.get(file.name), file.name in registered)
    )
    touched = registered | {move.name for move in moves}
    return Plan(registrations=registrations, moves=moves, unchanged=len(files) - len(touched))


def _registration(file: PromptFile, newest: PromptVersion | None) -> Registration | None:
    wanted = file.newest
    before: Mapping[str, str] = {}
    if newest is not None:
        content = content_of(newest)
        if content.digest == wanted.content.digest and dict(newest.tags) == dict(wanted.tags):
            return None
        before = parts_of(content.fields(), newest.tags)
    return Registration(
        name=file.name,
        path=file.path,
        before=newest.version if newest else None,
        parts=diff_parts(before, parts_of(wanted.content.fields(), wanted.tags)),
        version=wanted,
    )


def _included(version: FileVersion) -> Iterator[str]:
    return (reference.name for reference in references_of(version.content))


def _moves(file: PromptFile, prompt: Prompt | None, registered: bool) -> Iterator[AliasMove]:
    for alias, target in sorted(file.aliases.items()):
        if prompt and alias in prompt.splits:
            raise FileError(file.path, 0, f"aliases.{alias}", "is a split in the registry, which files do not move")
        before = prompt.aliases.get(alias) if prompt else None
        after: int | None = target
        if target == NEWEST:
            after = None if registered or prompt is None else prompt.latest_version
        if after is None or after != before:
            yield AliasMove(name=file.name, alias=alias, before=before, after=after)


def apply_plan(client: "Client", plan: Plan, title: str, reason: str = "") -> Release | None:
    """Does all of it in one release, or nothing: if a prompt or alias is not as the plan saw it, ConflictError.

    None when there is nothing to do.
    """
    if not plan:
        return None
    registers = [one.version.register(one.name, one.before or 0) for one in plan.registrations]
    # A version's number is known only once it is made; a dry run tells which it will be, and the release holds that.
    numbers = _numbers(client, registers) if any(move.after is None for move in plan.moves) else {}
    moves = [
        Move(
            name=move.name,
            alias=move.alias,
            version=numbers[move.name] if move.after is None else move.after,
            expected_version=move.before or 0,
        )
        for move in plan.moves
    ]
    # A prompt's aliases move right after its registration: what includes it by one of them is registered after that.
    after: dict[str, list[Move]] = {}
    for move in moves:
        after.setdefault(move.name, []).append(move)
    steps = [step for one in registers for step in (one, *after.pop(one.name, ()))]
    others = [move for some in after.values() for move in some]
    return client.release(title, [*others, *steps], reason=reason)


def _numbers(client: "Client", registers: Sequence[Register]) -> dict[str, int]:
    # Only numbers are asked for: what a template includes may be among what comes.
    bare = [replace(step, template="x", syntax=None) for step in registers]
    tried = client.release("Apply", bare, dry_run=True)
    if tried.problems:
        raise ConflictError(tried.problems[0], "PLAN_REFUSED")
    return {effect.name: effect.version for effect in tried.effects if effect.version and effect.alias is None}
