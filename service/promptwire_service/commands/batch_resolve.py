"""Resolves many references in one round trip; each has its own outcome, and none fails the others."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire.domain.references import parse_reference
from promptwire.domain.violations import InvalidValueError, Violation
from promptwire_service.commands.context import Reader, Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.domain.errors import RegistryError, answer_too_large, invalid, refuse
from promptwire_service.domain.reads import CACHED, Freshness
from promptwire_service.domain.records import Revision

ANSWER_MAX_BYTES: Final = limits.MESSAGE_MAX_BYTES // 2
_AT_ONCE: Final = 32
"""Reads under way for one batch: a cold batch shall not take all of the store's connections."""

_ALIAS_MAX_BYTES: Final = limits.ALIAS_MAX_CHARS + 3
"""In an answer, with its framing."""

Result = Resolved | RegistryError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reference, as it was asked for."""

    reference: str
    result: Result


@dataclass(frozen=True, slots=True)
class BatchResolved:
    """Outcomes in the request's order. All are of `revision` or newer; it is None when nothing was looked up."""

    outcomes: tuple[Outcome, ...]
    revision: Revision | None
    max_age_seconds: float


async def batch_resolve(
    registry: Registry, *, namespace: str, references: Sequence[str], freshness: Freshness, key: str | None = None
) -> BatchResolved:
    """Freshness is established once, for all, before the first read. A reference asked for twice is answered twice."""
    refuse(check_namespace(namespace), _check_count(references))
    await registry.reader.reach(namespace, freshness)
    distinct = tuple(dict.fromkeys(references))
    results: dict[str, Result] = {}
    todo = iter(distinct)
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(_AT_ONCE, len(distinct))):
            workers.create_task(_work(registry.reader, namespace, todo, results, key))
    resolved = [result for result in results.values() if isinstance(result, Resolved)]
    revisions = [result.revision for result in results.values() if result.revision]
    return BatchResolved(
        tuple(_within_bounds(references, results)),
        min(revisions, key=lambda revision: revision.number, default=None),
        max((result.max_age_seconds for result in resolved), default=0.0),
    )


async def _work(
    reader: Reader, namespace: str, todo: Iterator[str], results: dict[str, Result], key: str | None
) -> None:
    for reference in todo:
        try:
            parsed = parse_reference(reference)
            results[reference] = await read_pair(reader, namespace, parsed.name, parsed.selector, CACHED, key)
        except InvalidValueError as error:
            results[reference] = invalid(error.violation)
        except RegistryError as error:
            results[reference] = error


def _within_bounds(references: Sequence[str], results: dict[str, Result]) -> Iterator[Outcome]:
    """The outcomes, with a problem in place of what would make the answer too large to send."""
    left_bytes = ANSWER_MAX_BYTES
    for reference in references:
        result = results[reference]
        if isinstance(result, Resolved):
            left_bytes -= result.version.size_bytes + _ALIAS_MAX_BYTES * len(result.prompt.aliases)
            if left_bytes < 0:
                result = answer_too_large(ANSWER_MAX_BYTES)
        yield Outcome(reference, result)


def _check_count(references: Sequence[str]) -> Violation | None:
    return None if references else Violation("references", "must not be empty")
