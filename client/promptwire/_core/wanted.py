"""How good an answer one call wants, beyond what its client does anyway."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from promptwire._core import checks
from promptwire.domain.violations import shown
from promptwire.v1 import common_pb2
from promptwire.values import Revision

Consistency = Literal["cached", "strong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a load's arguments of the same names ask for."""

    strong: bool = False
    min_revision: Revision | None = None
    max_staleness_seconds: float | None = None

    @classmethod
    def read(cls, consistency: object, min_revision: object, max_staleness: object) -> "Wanted":
        """Raises InvalidArgumentError."""
        if consistency is None and min_revision is None and max_staleness is None:
            return ANY
        if consistency not in (None, *get_args(Consistency)):
            kinds = " or ".join(map(repr, get_args(Consistency)))
            raise checks.invalid("consistency", f"must be {kinds}; got {shown(consistency)}")
        return cls(
            # Nothing that was held for any time at all is good enough then.
            strong=consistency == "strong" or max_staleness == 0,
            min_revision=checks.revision(min_revision, "min_revision"),
            max_staleness_seconds=(
                None if max_staleness is None or max_staleness == 0 else checks.seconds(max_staleness, "max_staleness")
            ),
        )

    def put_into(self, read: common_pb2.ReadOptions, token: Revision | None) -> None:
        """Asks for this, and for nothing older than the client's token."""
        if self.strong or self.max_staleness_seconds is not None:
            read.consistency = common_pb2.CONSISTENCY_STRONG  # the service's own cache may be older than that
        least = self.min_revision
        if token is not None and (least is None or least.is_behind(token)):
            least = token
        if least is not None:
            read.min_revision.CopyFrom(common_pb2.Revision(epoch=least.epoch, number=least.number))


ANY: Final = Wanted()
