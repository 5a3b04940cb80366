"""What the store in memory finds: everything there is, whatever the plan: the model of what a search answers."""

from collections.abc import Iterable
from typing import TypeVar

from promptwire_service.domain.records import PromptRecord
from promptwire_service.domain.search import positions
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, VersionRow

Row = TypeVar("Row", VersionRow, PromptRecord)


def candidates(rows: Iterable[Row], plan: Plan, after: str, limit: int) -> Candidates[Row]:
    """Of all rows, those after a position."""
    placed = [(positions.of_row(row, plan.newest), row) for row in rows]
    left = sorted((one for one in placed if one[0] > after), key=lambda one: one[0])
    taken = left[:limit]
    return Candidates(taken, taken[-1][0] if len(left) > limit else None, len(taken), len(left))
