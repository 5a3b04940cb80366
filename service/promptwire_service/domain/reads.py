"""What a read asks for beyond its subject, and how good an answer is."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from promptwire_service.domain.records import Revision

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How much a read may trust caches.

    `strong`: the answer holds every write acknowledged before the read began. `min_revision`: the answer is at least
    this new; it says nothing once its epoch is no longer the store's.
    """

    strong: bool = False
    min_revision: Revision | None = None

    def is_met_at(self, revision: Revision) -> bool:
        """Whether a cached answer of this revision will do, as far as it can be told without a look at the store."""
        least = self.min_revision
        return not self.strong and (
            least is None or (least.epoch == revision.epoch and least.number <= revision.number)
        )


CACHED = Freshness()
STRONG = Freshness(strong=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[T_co]):
    """A value, a revision at which the store held it, and how long ago at most that was checked against the store."""

    value: T_co
    revision: Revision
    max_age_seconds: float = 0.0
