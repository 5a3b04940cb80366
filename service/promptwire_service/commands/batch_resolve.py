"""Resolves many references in one round trip; each has its own outcome, and none fails the others."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire.domain.references import parse_reference
from promptwire.domain.violations import InvalidValueError, Violation
from promptwire_service.commands.context import Reader, Registry
from promptwire_service.commands.pairs import Resolved, read_pair
from promptwire_service.domain.errors import RegistryError, invalid, refuse
from promptwire_service.domain.reads import CACHED, Freshness
from promptwire_service.domain.records import Revision

_AT_ONCE: Final = 32
"""Reads under way for one batch: a cold batch shall not take all of the store's connections."""

_PASSES: Final = 3
"""How often a batch whose answers are of several revisions is gone through: what the first pass read is cached."""
_HELD_BYTES: Final = 500

Result = Resolved | RegistryError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reference, as it was asked for."""

    reference: str
    result: Result


@dataclass(frozen=True, slots=True)
class BatchResolved:
    """Outcomes of the first references, in the request's order. All are of `revision`, or newer where the namespace
    changed faster than they could be read; it is None when nothing was looked up.
    """

    outcomes: tuple[Outcome, ...]
    revision: Revision | None
    max_age_seconds: float


async def batch_resolve(
    registry: Registry,
    *,
    namespace: str,
    references: Sequence[str],
    freshness: Freshness,
    key: str | None = None,
    held: Collection[bytes] = (),
) -> BatchResolved:
    """Answers as many references as make one message, about; what the caller holds, by its token, takes up no room.

    Freshness is established once, for all, before the first read. A reference asked for twice is answered twice.
    """
    refuse(check_namespace(namespace), _check_count(references))
    await registry.reader.reach(namespace, freshness)
    for _ in range(_PASSES):
        batch = _Batch(registry.reader, namespace, references, key, frozenset(held))
        results = await batch.read()
        if len({result.revision for result in results.values() if result.revision}) <= 1:
            break
    resolved = [result for result in results.values() if isinstance(result, Resolved)]
    revisions = [result.revision for result in results.values() if result.revision]
    return BatchResolved(
        tuple(Outcome(one, results[one]) for one in takewhile(results.__contains__, references)),
        min(revisions, key=lambda revision: revision.number, default=None),
        max((result.max_age_seconds for result in resolved), default=0.0),
    )


class _Batch:
    """One pass through the references, in order, until there is enough for an answer."""

    def __init__(
        self, reader: Reader, namespace: str, references: Sequence[str], key: str | None, held: frozenset[bytes]
    ) -> None:
        self._reader = reader
        self._namespace = namespace
        self._distinct = tuple(dict.fromkeys(references))
        self._todo = iter(self._distinct)
        self._key = key
        self._held = held
        self._left_bytes = limits.ANSWER_MAX_BYTES
        self._results: dict[str, Result] = {}

    async def read(self) -> dict[str, Result]:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(_AT_ONCE, len(self._distinct))):
                workers.create_task(self._work())
        return self._results

    async def _work(self) -> None:
        while self._left_bytes > 0 and (reference := next(self._todo, None)) is not None:
            result = self._results[reference] = await self._result(reference)
            if isinstance(result, Resolved):
                self._left_bytes -= _HELD_BYTES if result.version.token in self._held else result.version.size_bytes

    async def _result(self, reference: str) -> Result:
        try:
            parsed = parse_reference(reference)
            return await read_pair(self._reader, self._namespace, parsed.name, parsed.selector, CACHED, self._key)
        except InvalidValueError as error:
            return invalid(error.violation)
        except RegistryError as error:
            return error


def _check_count(references: Sequence[str]) -> Violation | None:
    return None if references else Violation("references", "must not be empty")
