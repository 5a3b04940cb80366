"""What both searches share: reading the request, and filling a page within a bound of work.

In an order that the store has, candidates are matched as they come, and a page's token is a position. In any other,
all candidates are looked at for every page, and the least that come after the token's are kept; so there may not be
too many of them.
"""

import hashlib
import heapq
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from promptwire.domain import limits
from promptwire.domain.names import check_namespace
from promptwire.domain.strict_json import parse_json
from promptwire.domain.violations import Violation
from promptwire_service.commands.paging import Listing, check_page_size
from promptwire_service.domain.errors import refuse, too_many_to_sort
from promptwire_service.domain.records import PromptRecord, Read, Revision
from promptwire_service.domain.search import positions
from promptwire_service.domain.search.expressions import EVERYTHING, Expression, Field, fields_of
from promptwire_service.domain.search.fields import VERSIONS, Subject
from promptwire_service.domain.search.matching import Test, matcher
from promptwire_service.domain.search.ordering import OrderKey, comparable, is_ranks, ranks
from promptwire_service.domain.search.parsing import parse_filter, parse_order
from promptwire_service.domain.search.planning import Plan, newest_of, plan
from promptwire_service.domain.search.rows import Candidates, VersionRow

Row = TypeVar("Row", bound=VersionRow | PromptRecord)

LOOKS_MAX: Final = 2_000
"""Candidates that one page looks at; then it ends, even empty, and its token goes on from there."""
SORTED_MAX: Final = 20_000
"""Candidates that are sorted for one page."""
SORTED_RATHER_THAN_WALKED_MAX: Final = 500
"""Candidates that are sorted even where an index has the order: so few are there sooner than the index finds them."""
_BATCH_MAX: Final = 500
"""Candidates that the store reads at once, while others wait."""

Find = Callable[[Plan, str, int], Awaitable[Read[Candidates[Row]]]]
"""Candidates of a plan after a position, so many at most."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Row]):
    """Some that match, and where each stands; `token` goes on after all, empty at the end."""

    rows: list[Row]
    positions: list[str]
    token: str
    revision: Revision
    one_read: bool = False
    """Whether all rows came with the first read."""


class Search(Generic[Row]):
    """One request, read and checked."""

    def __init__(
        self,
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
        self.matches: Test = matcher(expression, subject)
        self.limit = page_size or limits.PAGE_DEFAULT
        self.reads_text = Field("template") in fields_of(expression)
        self._subject = subject
        self._order = order
        self._plan = plan(expression, subject)
        self._ranks = ranks(order, subject)
        self._listing = Listing(
            f"search {subject.name}", namespace, "filter and order_by", _digest(expression, order), "", self._is_cursor
        )
        refuse(self._listing.check(page_token))
        self._cursor = self._listing.cursor(page_token)

    async def page(self, find: Find[Row]) -> Found[Row]:
        if not self._order:
            return await self._walk(find, self._plan)
        newest = newest_of(self._order, self._subject)
        if newest and _is_position_of_newest(self._cursor):
            return await self._walk(find, Plan((), newest))
        # Which way to take is decided by the first page; the token keeps to it.
        remaining = (await find(self._plan, "", 1)).value.remaining
        if newest and not self._cursor and remaining > min(SORTED_RATHER_THAN_WALKED_MAX, SORTED_MAX):
            return await self._walk(find, Plan((), newest))
        if remaining > SORTED_MAX:
            raise too_many_to_sort(remaining, SORTED_MAX)
        return await self._sort(find)

    async def _walk(self, find: Find[Row], plan: Plan) -> Found[Row]:
        rows: list[Row] = []
        places: list[str] = []
        after: str | None = self._cursor
        reads = 0
        looked_at, batch = 0, min(self.limit + 1, _BATCH_MAX)
        while True:
            read = await find(plan, after or "", batch)
            reads += 1
            for position, row in read.value.rows:
                if not self.matches(row):
                    continue
                if len(rows) == self.limit:  # one more than asked for tells that a page follows
                    return Found(rows, places, self.token(places[-1]), read.revision, reads == 1)
                rows.append(row)
                places.append(position)
            after = read.value.after
            looked_at += read.value.looked_at
            if after is None:
                return Found(rows, places, "", read.revision, reads == 1)
            if looked_at >= LOOKS_MAX:
                return Found(rows, places, self.token(after), read.revision, reads == 1)
            batch = _BATCH_MAX

    async def _sort(self, find: Find[Row]) -> Found[Row]:
        cursor = json.loads(self._cursor) if self._cursor else None
        least = self._sortable(*cursor) if cursor else None
        kept: list[tuple[tuple[Any, ...], str, Row]] = []
        after: str | None = ""
        looked_at = 0
        while after is not None:
            read = await find(self._plan, after, _BATCH_MAX)
            matching = ((self._ranks(row), position, row) for position, row in read.value.rows if self.matches(row))
            keyed = [
                (self._sortable(ranked, position), json.dumps([ranked, position], ensure_ascii=False), row)
                for ranked, position, row in matching
            ]
            later = [one for one in keyed if least is None or one[0] > least]
            kept = heapq.nsmallest(self.limit + 1, [*kept, *later], key=lambda one: one[0])
            after = read.value.after
            looked_at += read.value.looked_at
            if looked_at > SORTED_MAX:
                raise too_many_to_sort(looked_at, SORTED_MAX)
        places = [cursor for _, cursor, _ in kept[: self.limit]]
        return Found(
            [row for _, _, row in kept[: self.limit]],
            places,
            self.token(places[-1]) if len(kept) > self.limit else "",
            read.revision,
        )

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
