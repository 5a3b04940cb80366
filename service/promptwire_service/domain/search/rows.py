"""What a search looks at, and how the store hands it out."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from promptwire_service.domain.records import PromptRecord, VersionRecord

Row = TypeVar("Row")
Contents = Literal["none", "text", "all"]
"""How much of a version's content is read along."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version with its prompt, which knows its aliases. Without content, if that was not asked for."""

    prompt: PromptRecord
    version: VersionRecord

    @property
    def aliases(self) -> list[str]:
        return self.prompt.aliases_of(self.version.version)

    @property
    def is_latest(self) -> bool:
        return self.prompt.latest_version == self.version.version


@dataclass(frozen=True, slots=True)
class Candidates(Generic[Row]):
    """Some of the rows that may match, with their positions, in order; fewer than were looked at if some are deleted.

    `looked_at` is how many that were, `remaining` about how many there were in all from where this began. `after` is
    the position to go on after, None when this is the end.
    """

    rows: list[tuple[str, Row]]
    after: str | None
    looked_at: int
    remaining: int
