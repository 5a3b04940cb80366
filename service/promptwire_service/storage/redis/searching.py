"""Candidates of a search, from the indexes that the write script keeps (see lua/indexes.lua)."""

import hashlib
import json
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from typing import Any, Final, Protocol, TypeVar

from promptwire_service.domain.records import PromptRecord, Read
from promptwire_service.domain.search import positions
from promptwire_service.domain.search.planning import Leg, Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow
from promptwire_service.storage.redis.encoding import prompt_of, revision_of, version_of
from promptwire_service.storage.redis.scripts import Script

Row = TypeVar("Row")

_WALK = Script("walk_indexes")
_READ_ROWS = Script("read_rows")

CANDIDATES_MAX_BYTES: Final = 2 << 20


class Run(Protocol):
    """RedisStore's way to run a script on a namespace."""

    def __call__(
        self, script: Script, namespace: str, *arguments: str | int, writes: bool = False
    ) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class _Walked:
    """Positions of candidates, and where to go on after them."""

    positions: list[str]
    after: str | None
    remaining: int


class Searching:
    """Finds what may match."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def find_versions(
        self, namespace: str, plan: Plan, *, after: str, limit: int, content: Contents
    ) -> Read[Candidates[VersionRow]]:
        walked = await self._walk(namespace, plan, "version", after, limit)
        keys = [positions.key_in(position) for position in walked.positions]
        read = await self._read(content, namespace, keys, CANDIDATES_MAX_BYTES)
        return Read(_candidates(read.value, walked, VersionRow), read.revision)

    async def find_prompts(
        self, namespace: str, plan: Plan, *, after: str, limit: int
    ) -> Read[Candidates[PromptRecord]]:
        walked = await self._walk(namespace, plan, "prompt", after, limit)
        keys = [positions.key_in(position) for position in walked.positions]
        read = await self._read("none", namespace, keys, CANDIDATES_MAX_BYTES)
        return Read(_candidates(read.value, walked, PromptRecord), read.revision)

    async def read_rows(
        self, namespace: str, keys: Sequence[tuple[str, int]], *, max_bytes: int
    ) -> Read[list[VersionRow | None]]:
        read = await self._read("all", namespace, keys, max_bytes)
        return Read([row if isinstance(row, VersionRow) else None for row in read.value], read.revision)

    async def read_prompt_rows(
        self, namespace: str, names: Sequence[str], *, max_bytes: int
    ) -> Read[list[PromptRecord | None]]:
        read = await self._read("all", namespace, [(name, 0) for name in names], max_bytes)
        return Read([row if isinstance(row, PromptRecord) else None for row in read.value], read.revision)

    async def _walk(self, namespace: str, plan: Plan, subject: str, after: str, limit: int) -> _Walked:
        if plan.newest:
            key = f"x:newest:{subject}:{plan.newest}"
            covers = [[{"key": key, "lower": f"({after}" if after else "-", "upper": "+", "expands": False}]]
        else:
            covers = [[_leg_json(leg, subject, after) for leg in cover] for cover in plan.covers]
        request = json.dumps({"limit": limit, "covers": covers})
        _, chosen, remaining, lists, read = await self._run(_WALK, namespace, request)
        legs = covers[chosen - 1]
        found = [
            _expanded(members, after) if leg["expands"] else iter(members)
            for leg, members in zip(legs, lists, strict=True)
        ]
        # A leg with as many members as it may have can have more after its last one, so nothing beyond that is sure.
        cut = [_last(leg, members) for leg, members in zip(legs, lists, strict=True) if _count(leg, members) == read]
        horizon = min(cut, default=None)
        sure = (position for position, _ in groupby(merge(*found)) if horizon is None or position <= horizon)
        taken = list(islice(sure, limit + 1))
        if len(taken) > limit:
            return _Walked(taken[:limit], taken[limit - 1], remaining)
        return _Walked(taken, horizon, remaining)

    async def _read(
        self, content: str, namespace: str, keys: Sequence[tuple[str, int]], max_bytes: int
    ) -> Read[list[VersionRow | PromptRecord | None]]:
        """As many as the bytes allow."""
        arguments = [part for name, version in keys for part in (name, str(version or ""))]
        head, prompts, rows = await self._run(_READ_ROWS, namespace, content, max_bytes, *arguments)
        known = {prompt.name: prompt for prompt in map(prompt_of, prompts)}
        found: list[VersionRow | PromptRecord | None] = []
        for (name, version), row in zip(keys, rows, strict=False):
            if not version:
                found.append(known.get(name))
            else:
                found.append(VersionRow(known[name], version_of(row)) if row else None)
        return Read(found, revision_of(head))


def _candidates(read: Sequence[object], walked: _Walked, kind: type[Row]) -> Candidates[Row]:
    rows = [(position, row) for position, row in zip(walked.positions, read, strict=False) if isinstance(row, kind)]
    cut = len(read) < len(walked.positions)
    return Candidates(rows, walked.positions[len(read) - 1] if cut else walked.after, len(read), walked.remaining)


def _leg_json(leg: Leg, subject: str, after: str) -> dict[str, Any]:
    """The leg from a position on, as the script takes it."""
    by_prompt = not leg.term or leg.term[0] == "prompt"
    expands = by_prompt and subject == "version"
    if expands:
        after = positions.name_in(after)  # its older versions may be left
    lower = leg.span.lower
    if after and after >= lower:
        lower_bound = f"[{after}" if expands else f"({after}"
    else:
        lower_bound = f"[{lower}" if lower else "-"
    return {
        "key": f"x:{_sha1(leg.term)}" if leg.term else "names",
        "lower": lower_bound,
        "upper": "+" if leg.span.upper is None else f"({leg.span.upper}",
        "expands": expands,
    }


def _sha1(term: tuple[str, ...]) -> str:
    return hashlib.sha1("\0".join(term).encode(), usedforsecurity=False).hexdigest()


def _expanded(flat: list[str], after: str) -> Iterator[str]:
    """The versions of prompts, given as names and their highest numbers."""
    names = iter(flat)
    for name, last in zip(names, names, strict=True):
        for version in range(int(last), 0, -1):
            position = positions.of_version(name, version)
            if position > after:
                yield position


def _count(leg: dict[str, Any], members: list[str]) -> int:
    return len(members) // 2 if leg["expands"] else len(members)


def _last(leg: dict[str, Any], members: list[str]) -> str:
    return positions.of_version(members[-2], 1) if leg["expands"] else members[-1]
