"""What differs between two versions of a prompt, both as the store held them at one revision."""

import asyncio
from dataclasses import dataclass

from promptwire.domain.diffs import CONTEXT_LINES, CONTEXT_MAX_LINES, DiffBounds, DiffPart, diff_parts, parts_of
from promptwire.domain.names import check_namespace, check_prompt_name, check_selector_alias, check_version
from promptwire.domain.references import Selector
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.commands.work import pause
from promptwire_service.domain.errors import refuse, store_unavailable
from promptwire_service.domain.reads import STRONG, Freshness
from promptwire_service.domain.records import Revision, VersionRecord

_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions and the parts that differ."""

    before: VersionRecord
    after: VersionRecord
    parts: tuple[DiffPart, ...]
    revision: Revision
    max_age_seconds: float


async def diff_versions(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    before: str,
    after: str,
    context_lines: int | None,
    freshness: Freshness,
) -> Compared:
    """Either side is a version's number or an alias. Raises PROMPT_, ALIAS_ or VERSION_NOT_FOUND.

    A prompt that changes faster than it can be read twice is answered all the same, each side as of its own revision.
    """
    sides = _selector(before), _selector(after)
    lines = CONTEXT_LINES if context_lines is None else context_lines
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        _check_selector(sides[0], "before"),
        _check_selector(sides[1], "after"),
        None
        if 0 <= lines <= CONTEXT_MAX_LINES
        else Violation("context_lines", f"must be 0-{CONTEXT_MAX_LINES:,}; got {lines}"),
    )
    one, other = await _read(registry, namespace, name, sides, freshness)
    for _ in range(_RETRIES):
        if _agree(one, other):
            break
        one, other = await _read(registry, namespace, name, sides, STRONG)
    if one.revision.epoch != other.revision.epoch:
        raise store_unavailable("its history was replaced while it was read; try again")
    parts = await _compared(registry, one.version, other.version, lines)
    age = max(one.max_age_seconds, other.max_age_seconds)
    return Compared(one.version, other.version, parts, min(one, other, key=_number).revision, age)


async def _compared(
    registry: Registry, before: VersionRecord, after: VersionRecord, lines: int
) -> tuple[DiffPart, ...]:
    """Up to two seconds of computing: not on the loop that serves everyone else, and one diff at a time."""
    bounds = DiffBounds(pause)

    def compare() -> tuple[DiffPart, ...]:
        return diff_parts(_parts(before), _parts(after), lines, bounds)

    try:
        return await asyncio.get_running_loop().run_in_executor(registry.worker, compare)
    finally:
        bounds.stop()  # where the caller is gone


async def _read(
    registry: Registry, namespace: str, name: str, sides: tuple[Selector, Selector], freshness: Freshness
) -> tuple[Resolved, Resolved]:
    one = await read_pair(registry.reader, namespace, name, sides[0], freshness)
    return one, await read_pair(registry.reader, namespace, name, sides[1], freshness)


def _agree(one: Resolved, other: Resolved) -> bool:
    """Whether both are what the store held at the older of their revisions: the prompt did not change in between."""
    older, newer = sorted((one, other), key=_number)
    return one.revision.epoch == other.revision.epoch and newer.prompt.etag <= older.revision.number


def _number(pair: Resolved) -> int:
    return pair.revision.number


def _parts(version: VersionRecord) -> dict[str, str]:
    return parts_of(version.content.fields(), version.tags)


def _selector(text: str) -> Selector:
    # Python refuses to read thousands of digits as a number; no version has more than 19.
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else text


def _check_selector(selector: Selector, field: str) -> Violation | None:
    if isinstance(selector, int):
        return check_version(selector, field)
    return check_selector_alias(selector, field)
