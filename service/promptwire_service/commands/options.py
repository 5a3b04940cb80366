"""What every write carries, and the checks of it that all write commands share."""

from dataclasses import dataclass

from promptwire.domain.names import check_request_id
from promptwire.domain.violations import Violation
from promptwire_service.domain.operations import Operation, Write

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Who writes and why, what makes it happen at most once, and what must not have changed since."""

    request_id: str
    actor: str = ""
    reason: str = ""
    expected_etag: int | None = None

    def violations(self) -> tuple[Violation | None, ...]:
        return (
            check_request_id(self.request_id),
            check_expected(self.expected_etag, "write.expected_etag"),
        )

    def write(
        self,
        *operations: Operation,
        release: str | None = None,
        undoes: int | None = None,
        dry_run: bool = False,
        asked: str = "",
    ) -> Write:
        return Write(
            operations=operations,
            asked=asked,
            release=release,
            undoes=undoes,
            dry_run=dry_run,
            request_id=self.request_id,
            actor=self.actor or ANONYMOUS,
            reason=self.reason,
            expected_etag=self.expected_etag,
        )


def check_expected(value: int | None, field: str) -> Violation | None:
    """For a precondition where 0 stands for "does not exist yet"."""
    if value is None or value >= 0:
        return None
    return Violation(field, f"must be a whole number from 0; got {value}")
