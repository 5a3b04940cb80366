"""Pages of a list: how many rows, and tokens that say where the next one begins.

A token is the base64url of a small JSON array. It is opaque to clients, not secret: whoever forges one gets what he
could have asked for anyway. It names the list that it was made for, so that one of another list is refused, not
misread.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from promptwire.domain import limits
from promptwire.domain.strict_json import parse_json
from promptwire.domain.violations import Violation

Cursor = TypeVar("Cursor", str, int)
Row = TypeVar("Row")

PAGE_MAX_BYTES: Final = 3 << 19
"""A page ends before the row that would take it past this, however many rows were asked for.

Far enough below what a message may have: as one, a row may be twice what a store counts, for a version tells the names
of its variables too, and one row alone may be larger.
"""


@dataclass(frozen=True, slots=True)
class Listing(Generic[Cursor]):
    """One list: what kind, whose, and the filter that its pages share; `field` is the filter's name in the request."""

    kind: str
    namespace: str
    field: str
    filter: str
    start: Cursor
    accepts: Callable[[Cursor], bool]

    def token(self, cursor: Cursor) -> str:
        """For the page that begins after `cursor`."""
        array = [self.kind, self.namespace, self.filter, cursor]
        return base64.urlsafe_b64encode(json.dumps(array, separators=(",", ":")).encode()).decode().rstrip("=")

    def check(self, token: str) -> Violation | None:
        if not token or self._read(token) is not None:
            return None
        return Violation(
            "page_token",
            f"is not a token of this list; take next_page_token of the page before, and the same {self.field}",
        )

    def cursor(self, token: str) -> Cursor:
        """Where the page of a token that passed `check` begins; the list's start for an empty one."""
        cursor = self._read(token)
        return self.start if cursor is None else cursor

    def _read(self, token: str) -> Cursor | None:
        try:
            padded = token + "=" * (-len(token) % 4)
            array = parse_json(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
        except ValueError:
            return None
        if not isinstance(array, list) or array[:-1] != [self.kind, self.namespace, self.filter]:
            return None
        cursor = array[-1]
        # `type` and not isinstance: true is an int in Python, not in a token.
        return cursor if type(cursor) is type(self.start) and self.accepts(cursor) else None


def fitting(rows: Sequence[Row], size_bytes: Callable[[Row], int]) -> tuple[Row, ...]:
    """The first row, and those after it that fit into the page."""
    total = 0
    for count, row in enumerate(rows):
        total += size_bytes(row)
        if count and total > PAGE_MAX_BYTES:
            return tuple(rows[:count])
    return tuple(rows)


def check_page_size(value: int) -> Violation | None:
    if 0 <= value <= limits.PAGE_MAX:
        return None
    return Violation("page_size", f"must be 0-{limits.PAGE_MAX:,}, 0 for {limits.PAGE_DEFAULT}; got {value}")
