"""The check of `read` that all read commands share."""

from promptwire.domain.violations import Violation
from promptwire_service.domain.reads import Freshness


def check_freshness(freshness: Freshness) -> Violation | None:
    """A revision that no answer ever carried is refused: ignored, it would be a guarantee that does not hold."""
    wanted = freshness.min_revision
    if wanted is None:
        return None
    if wanted.number < 0:
        return Violation("read.min_revision.number", f"must be a whole number from 0; got {wanted.number}")
    if wanted.number > 0 and not wanted.epoch:
        return Violation("read.min_revision.epoch", "must not be empty; send the revision as it was answered")
    return None
