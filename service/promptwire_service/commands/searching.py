"""What both searches share: reading the request, and filling a page within a bound of work.

In an order that the store has, candidates are matched as they come, and a page's token is a position. In any other,
all candidates are sorted, so there may not be too many of them; where each stands is kept for the pages that follow.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire.domain.strict_json import parse_json
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.commands.paging import Listing, check_page_size
from promptwire_service.commands.sorted_lists import SortedList
from promptwire_service.commands.work import Work
from promptwire_service.domain.errors import refuse, too_many_to_sort, too_much_to_sort
from promptwire_service.domain.records import PromptRecord, Read, Revision
from promptwire_service.domain.search import positions
from promptwire_service.domain.search.expressions import EVERYTHING, Expression, Field, fields_of
from promptwire_service.domain.search.fields import VERSIONS, Subject
from promptwire_service.domain.search.matching import Matcher
from promptwire_service.domain.search.ordering import OrderKey, comparable, is_ranks, ranks
from promptwire_service.domain.search.parsing import parse_filter, parse_order
from promptwire_service.domain.search.planning import Plan, newest_of, plan
from promptwire_service.domain.search.rows import Candidates, VersionRow

Row = TypeVar("Row", bound=VersionRow | PromptRecord)

LOOKS_MAX: Final = 2_000
"""Candidates that one page looks at; then it ends, even empty, and its token goes on from there."""
PAGE_UNITS_MAX: Final = 2_500_000
"""Work of one page, about half a second; then it ends as well."""
SORTED_MAX: Final = 20_000
"""Candidates that are sorted."""
SORT_UNITS_MAX: Final = 10_000_000
"""Work of finding what there is to sort, about two seconds; what would take more is refused."""
SORTED_RATHER_THAN_WALKED_MAX: Final = 500
"""Candidates that are sorted even where an index has the order: so few are there sooner than the index finds them."""
_BATCH_MAX: Final = 200
"""Candidates that the store reads at once, and that are made into rows at once, while others wait."""
_ROW_UNITS: Final = 100
"""Work of reading a candidate, beside its text."""
_CHARS_A_UNIT: Final = 200

Find = Callable[[Plan, str, int], Awaitable[Read[Candidates[Row]]]]
"""Candidates of a plan after a position, so many at most."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Row]):
    """Names and numbers of some that match, and the cursor after each; `token` goes on after all, empty at the end."""

    keys: list[tuple[str, int]]
    cursors: list[str]
    token: str
    revision: Revision
    rows: list[Row] | None = None
    """As they were matched; None for a sorted list, which does not have them."""
    one_read: bool = False
    """Whether all rows came with the first read."""


class Search(Generic[Row]):
    """One request, read and checked."""

    def __init__(
        self,
        registry: Registry,
        subject: Subject,
        *,
        namespace: str,
        filter: str,
        order_by: Sequence[str],
        page_size: int,
        page_token: str,
    ) -> None:
        """Raises INVALID_ARGUMENT, with the column of what cannot be read in `filter` or `order_by`."""
        expression, order = parse_filter(filter, subject), parse_order(order_by, subject)
        refuse(
            check_namespace(namespace),
            check_page_size(page_size),
            expression if isinstance(expression, Violation) else None,
            order if isinstance(order, Violation) else None,
        )
        assert not isinstance(expression, Violation)
        assert not isinstance(order, Violation)
        self._matcher = Matcher(expression, subject)
        self._turns = registry.turns
        self._lists = registry.sorted_lists
        self._work = Work(self._turns, PAGE_UNITS_MAX)
        self.limit = page_size or limits.PAGE_DEFAULT
        self.reads_text = Field("template") in fields_of(expression)
        self._subject = subject
        self._order = order
        self._plan = plan(expression, subject)
        self._ranks = ranks(order, subject)
        digest = _digest(expression, order)
        self._listing = Listing(f"search {subject.name}", namespace, "filter and order_by", digest, "", self._is_cursor)
        self._list_key = namespace, f"{subject.name} {digest}"
        refuse(self._listing.check(page_token))
        self._cursor = self._listing.cursor(page_token)

    async def page(self, find: Find[Row]) -> Found[Row]:
        if not self._order:
            return await self._walk(find, self._plan)
        newest = newest_of(self._order, self._subject)
        if newest and _is_position_of_newest(self._cursor):
            return await self._walk(find, Plan((), newest))
        # Which way to take is decided by the first page; the token keeps to it.
        head = await find(self._plan, "", 1)
        remaining = head.value.remaining
        if newest and not self._cursor and remaining > min(SORTED_RATHER_THAN_WALKED_MAX, SORTED_MAX):
            return await self._walk(find, Plan((), newest))

        def is_right(kept: SortedList) -> bool:
            """A first page has all that is written; those that follow go on in the order that there was."""
            return kept.revision == head.revision or (bool(self._cursor) and kept.revision.epoch == head.revision.epoch)

        async def sort() -> SortedList:
            if remaining > SORTED_MAX:
                raise too_many_to_sort(remaining, SORTED_MAX)
            return await self._sort(find)

        return self._page_of(await self._lists.get(self._list_key, is_right, sort))

    async def holds(self, row: Row) -> bool:
        """Whether the filter holds for a row."""
        return await self._work.run(self._matcher.scan(row))

    async def _walk(self, find: Find[Row], plan: Plan) -> Found[Row]:
        rows: list[Row] = []
        places: list[str] = []

        def found(token: str) -> Found[Row]:
            return Found(list(map(positions.key_in, places)), places, token, read.revision, rows, reads == 1)

        after: str | None = self._cursor
        reads = 0
        looked_at, batch = 0, min(self.limit + 1, _BATCH_MAX)
        while True:
            read = await find(plan, after or "", batch)
            reads += 1
            await self._work.add(_ROW_UNITS * read.value.looked_at)
            for position, row in read.value.rows:
                holds = await self._holds_for_candidate(row)
                if holds and len(rows) == self.limit:  # one more than asked for tells that a page follows
                    return found(self.token(places[-1]))
                if holds:
                    rows.append(row)
                    places.append(position)
                if self._work.is_spent:
                    return found(self.token(position))
            after = read.value.after
            looked_at += read.value.looked_at
            if after is None:
                return found("")
            if looked_at >= LOOKS_MAX or self._work.is_spent:
                return found(self.token(after))
            batch = _BATCH_MAX

    async def _holds_for_candidate(self, row: Row) -> bool:
        if self.reads_text and isinstance(row, VersionRow):
            await self._work.add(len(row.version.content.template) // _CHARS_A_UNIT)
        return await self.holds(row)

    async def _sort(self, find: Find[Row]) -> SortedList:
        """All that match, as of the first read: what is written later has another revision."""
        self._work = Work(self._turns, SORT_UNITS_MAX)
        runs: list[list[tuple[tuple[Any, ...], str]]] = []
        after: str | None = ""
        looked_at = 0
        revision: Revision | None = None
        while after is not None:
            read = await find(self._plan, after, _BATCH_MAX)
            revision = revision or read.revision
            await self._work.add(_ROW_UNITS * read.value.looked_at)
            run = []
            for position, row in read.value.rows:
                if await self._holds_for_candidate(row):
                    ranked = self._ranks(row)
                    cursor = json.dumps([ranked, position], ensure_ascii=False)
                    run.append((self._sortable(ranked, position), cursor))
            runs.append(sorted(run))
            # Runs of like length are merged at once: so none of the merges is long, and the last one is no sort.
            while len(runs) > 1 and len(runs[-2]) <= 2 * len(runs[-1]):
                await self._merge(runs)
            after = read.value.after
            looked_at += read.value.looked_at
            if looked_at > SORTED_MAX:
                raise too_many_to_sort(looked_at, SORTED_MAX)
            if self._work.is_spent and after is not None:
                raise too_much_to_sort(looked_at)
        while len(runs) > 1:
            await self._merge(runs)
        assert revision is not None
        return SortedList(tuple(cursor for _, cursor in runs[0]), revision)

    async def _merge(self, runs: list[list[tuple[tuple[Any, ...], str]]]) -> None:
        last = runs.pop()
        runs[-1] += last
        runs[-1].sort()  # which finds that these are two runs, and merges them
        await self._work.add(2 * len(runs[-1]))

    def _page_of(self, listed: SortedList) -> Found[Row]:
        start = 0
        if self._cursor:
            least = self._sortable(*json.loads(self._cursor))
            start = bisect_right(listed.cursors, least, key=lambda cursor: self._sortable(*json.loads(cursor)))
        cursors = list(listed.cursors[start : start + self.limit])
        keys = [positions.key_in(json.loads(cursor)[1]) for cursor in cursors]
        more = len(listed.cursors) > start + self.limit
        return Found(keys, cursors, self.token(cursors[-1]) if more else "", listed.revision)

    def token(self, position: str) -> str:
        """For the page that begins after a position."""
        return self._listing.token(position)

    def _sortable(self, ranked: Any, position: str) -> tuple[Any, ...]:
        return (*comparable(self._order, ranked), position)

    def _is_cursor(self, cursor: str) -> bool:
        version = self._subject is VERSIONS
        if not self._order:
            return positions.is_position(cursor, version=version, newest=False)
        if newest_of(self._order, self._subject) and positions.is_position(cursor, version=version, newest=True):
            return True
        try:
            array = parse_json(cursor)
        except ValueError:
            return False
        match array:
            case [ranked, str(position)]:
                natural = positions.is_position(position, version=version, newest=False)
                return natural and is_ranks(ranked, self._order, self._subject)
        return False


def _is_position_of_newest(cursor: str) -> bool:
    return bool(cursor) and not cursor.startswith("[")


def _digest(expression: Expression, order: Sequence[OrderKey]) -> str:
    """Of what a token is bound to, however it was written."""
    meant = "" if expression == EVERYTHING else str(expression)
    return hashlib.sha256("\n".join([meant, *map(str, order)]).encode()).hexdigest()[:32]
