"""A release: versions registered and aliases moved, of many prompts, all or nothing; and what takes one back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.domain.names import (
    check_alias,
    check_namespace,
    check_prompt_name,
    check_tags,
    check_version,
)
from promptwire.domain.violations import Violation
from promptwire_service.commands.checking import includes_any
from promptwire_service.commands.context import Registry
from promptwire_service.commands.including import Includer
from promptwire_service.commands.options import WriteOptions, check_expected
from promptwire_service.commands.repeats import asked_for, earlier_answer
from promptwire_service.domain.changes import AliasDeleted, AliasSet, Change
from promptwire_service.domain.errors import nothing_to_undo, refuse, release_not_found
from promptwire_service.domain.operations import DeleteAlias, Operation, Register, Result, SetAlias
from promptwire_service.domain.records import Revision

CONTENT_MAX_BYTES: Final = 16 << 20
"""Of all registrations together: one script carries them out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterStep:
    """Registers a version, and points aliases at it."""

    name: str
    content: Content
    commit_message: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    expected_latest_version: int | None = None

    def violations(self, field: str) -> Iterator[Violation | None]:
        yield check_prompt_name(self.name, f"{field}.name")
        yield check_tags(self.tags, f"{field}.tags")
        yield from (check_alias(alias, f"{field}.aliases") for alias in self.aliases)
        yield check_expected(self.expected_latest_version, f"{field}.expected_latest_version")

    def operations(self) -> Iterator[Operation]:
        """Its content has to be whole."""
        yield Register(
            name=self.name,
            content=self.content,
            digest=self.content.digest,
            commit_message=self.commit_message,
            tags=self.tags,
            expected_latest=self.expected_latest_version,
        )
        yield from (SetAlias(name=self.name, alias=alias, target=None) for alias in self.aliases)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveStep:
    """Points an alias at a version."""

    name: str
    alias: str
    version: int
    expected_version: int | None = None

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.alias,)

    def violations(self, field: str) -> Iterator[Violation | None]:
        yield check_prompt_name(self.name, f"{field}.name")
        yield check_alias(self.alias, f"{field}.alias")
        yield check_version(self.version, f"{field}.version")
        yield check_expected(self.expected_version, f"{field}.expected_version")

    def operations(self) -> Iterator[Operation]:
        yield SetAlias(name=self.name, alias=self.alias, target=self.version, expected=self.expected_version)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveStep:
    """Removes an alias."""

    name: str
    alias: str
    expected_version: int | None = None

    @property
    def aliases(self) -> tuple[str, ...]:
        return (self.alias,)

    def violations(self, field: str) -> Iterator[Violation | None]:
        yield check_prompt_name(self.name, f"{field}.name")
        yield check_alias(self.alias, f"{field}.alias")
        if self.expected_version is not None:
            yield check_version(self.expected_version, f"{field}.expected_version")

    def operations(self) -> Iterator[Operation]:
        yield DeleteAlias(name=self.name, alias=self.alias, expected=self.expected_version)


Step = RegisterStep | MoveStep | RemoveStep


@dataclass(frozen=True, slots=True)
class Released:
    """What each operation did, or would do, and where in history; the revision's number names the release."""

    effects: tuple[tuple[Operation, Result], ...]
    revision: Revision


async def release(
    registry: Registry,
    *,
    namespace: str,
    title: str,
    steps: Sequence[Step],
    dry_run: bool,
    options: WriteOptions,
) -> Released:
    """All steps in one write, or none. A dry run tells what each would do or why it would be refused, as things are
    now.

    Refused by the store as each step would be by itself; a registration, too, where the prompt's newest version is not
    the expected one (LATEST_CONFLICT). A registration may include what earlier steps register and move.
    """
    refuse(
        check_namespace(namespace),
        _check_title(title),
        _check_count(steps),
        *(violation for index, step in enumerate(steps) for violation in step.violations(f"steps[{index}]")),
        _check_aliases(steps),
        _check_bytes(steps),
        _check_etag(steps, options),
        *options.violations(),
    )
    includes = any(isinstance(step, RegisterStep) and includes_any(step.content) for step in steps)
    asked = asked_for(title, [repr(step) for step in steps], options) if includes and not dry_run else ""
    written = await earlier_answer(registry.store, namespace, options, asked)
    if written is None:
        whole = await _whole(steps, Includer(registry.store, namespace))
        refuse(_check_includes(whole))
        operations = tuple(operation for step in whole for operation in step.operations())
        write = options.write(*operations, release=title, dry_run=dry_run, asked=asked)
        written = await registry.store.write(namespace, write)
    else:
        operations = tuple(operation for step in steps for operation in step.operations())
    return Released(tuple(zip(operations, written.results, strict=True)), written.revision)


async def _whole(steps: Sequence[Step], includer: Includer) -> list[Step]:
    """The steps, their contents with all that they include."""
    whole: list[Step] = []
    for index, step in enumerate(steps):
        if isinstance(step, RegisterStep):
            content = await includer.whole(step.name, step.content, f"steps[{index}].content")
            whole.append(replace(step, content=content))
            await includer.registered(step.name, content, step.aliases)
        else:
            whole.append(step)
            includer.moved(step.name, step.alias, step.version if isinstance(step, MoveStep) else None)
    for name in includer.relied_on:
        # Its number was a forecast: it holds only if nobody else registers one in between.
        index, first = next((i, s) for i, s in enumerate(whole) if isinstance(s, RegisterStep) and s.name == name)
        if first.expected_latest_version is None:
            whole[index] = replace(first, expected_latest_version=await includer.newest(name))
    return whole


async def undo_release(registry: Registry, *, namespace: str, number: int, options: WriteOptions) -> Released:
    """Every alias goes back to where the release found it, if all are still where it left them; else none does:
    ALIAS_CONFLICT. Versions that it registered stay. What an undo leaves is abandoned, as what a roll-back leaves; an
    undo of an undo abandons nothing.

    Refused: a number that is no release (RELEASE_NOT_FOUND), one undone already (RELEASE_UNDONE), one that moved no
    alias (NOTHING_TO_UNDO).
    """
    refuse(
        check_namespace(namespace),
        check_version(number, "number"),
        None if options.expected_etag is None else Violation("write.expected_etag", "does not go with an undo"),
        *options.violations(),
    )
    found = (await registry.store.read_releases(namespace, before=number + 1, limit=1)).value
    if not found or found[0].entry.number != number:
        raise release_not_found(number)
    operations = tuple(undoing for change in reversed(found[0].entry.changes) if (undoing := _undoing(change)))
    if not operations:
        raise nothing_to_undo(number)
    title = f"Undo {found[0].release}"[: limits.RELEASE_TITLE_MAX_CHARS]
    written = await registry.store.write(namespace, options.write(*operations, release=title, undoes=number))
    return Released(tuple(zip(operations, written.results, strict=True)), written.revision)


def _undoing(change: Change) -> Operation | None:
    match change:
        case AliasSet(name, alias, target, previous) if previous:
            return SetAlias(name=name, alias=alias, target=previous, expected=target)
        case AliasSet(name, alias, target):
            return DeleteAlias(name=name, alias=alias, expected=target)
        case AliasDeleted(name, alias, previous):
            return SetAlias(name=name, alias=alias, target=previous, expected=0)
    return None


def _check_etag(steps: Sequence[Step], options: WriteOptions) -> Violation | None:
    if options.expected_etag is None or len({step.name for step in steps}) == 1:
        return None
    return Violation("write.expected_etag", "goes only with a release whose steps are all of one prompt")


def _check_title(title: str) -> Violation | None:
    return None if title.strip() else Violation("title", "must not be empty")


def _check_count(steps: Sequence[Step]) -> Violation | None:
    operations = sum(1 + len(step.aliases) * isinstance(step, RegisterStep) for step in steps)
    if 1 <= operations <= limits.RELEASE_STEPS_MAX:
        return None
    most = f"must be 1-{limits.RELEASE_STEPS_MAX:,}, with the aliases of registrations"
    return Violation("steps", f"{most}; got {operations:,}")


def _check_aliases(steps: Sequence[Step]) -> Violation | None:
    seen: set[tuple[str, str]] = set()
    for index, step in enumerate(steps):
        for alias in step.aliases:
            if (step.name, alias) in seen:
                return Violation(f"steps[{index}]", f"moves {step.name}@{alias} again; an alias may move once")
            seen.add((step.name, alias))
    return None


def _check_includes(steps: Sequence[Step]) -> Violation | None:
    """Known only once all are put together."""
    includes = sum(len(step.content.includes) for step in steps if isinstance(step, RegisterStep))
    if includes <= limits.RELEASE_ENTRIES_MAX:
        return None
    return Violation("steps", f"must include at most {limits.RELEASE_ENTRIES_MAX:,} prompts in all; got {includes:,}")


def _check_bytes(steps: Sequence[Step]) -> Violation | None:
    total = sum(step.content.size_bytes for step in steps if isinstance(step, RegisterStep))
    if total <= CONTENT_MAX_BYTES:
        return None
    return Violation("steps", f"must register at most {CONTENT_MAX_BYTES:,} bytes in all; got {total:,}")
