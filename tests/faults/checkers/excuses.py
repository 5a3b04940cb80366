"""What a store whose servers fail over may answer besides its history: what an epoch that was left had alone.

A primary shows a write before its replicas have it, and an old one that is cut off goes on answering. So under an epoch
that is over by the end, an answer is excused in two cases, and in no other: it names a revision after the newest that
was acknowledged under that epoch, or it was asked for after a write had been acknowledged under a later one.

A load of the client names no epoch. It is excused between the last acknowledgement under one epoch and the first one
under the next, and for one lease after that: for so long an agent may hold what is gone for fresh.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.history import Op


@dataclass(slots=True)
class _Epoch:
    first: int
    """When a write was first acknowledged under it; and when the last of these was asked for."""
    last: int
    newest: int
    """Revision that was acknowledged."""


@dataclass(slots=True)
class Epochs:
    """Of one namespace whose servers fail over: those under which writes were acknowledged."""

    _known: dict[str, _Epoch] = field(default_factory=dict)
    _last: str = ""

    @classmethod
    def of(cls, ops: Iterable[Op]) -> "Epochs":
        epochs = cls()
        for op in ops:
            if op.writes and op.outcome == "ok":
                known = epochs._known.setdefault(op.epoch, _Epoch(op.end, op.start, op.revision))
                known.first, known.last = min(known.first, op.end), max(known.last, op.start)
                known.newest = max(known.newest, op.revision)
        epochs._last = max(epochs._known, key=lambda epoch: epochs._known[epoch].newest, default="")
        return epochs

    def excuse(self, epoch: str, revision: int, asked: int) -> str:
        """Why such an answer may be something else than what the history has; empty if it may not."""
        if not epoch or epoch == self._last:
            return ""
        mine = self._known.get(epoch)
        newest = mine.newest if mine else 0
        if any(one.newest > newest and one.first < asked for name, one in self._known.items() if name != epoch):
            return "from an old primary"
        if revision > newest:
            return "not acknowledged, then gone"
        return ""

    def excuse_load(self, start: int, end: int, lease_ns: int) -> str:
        """The same for a load from start to end."""
        epochs = sorted(self._known.values(), key=lambda epoch: epoch.newest)
        for before, later in pairwise(epochs):
            if before.last <= end and start <= later.first + lease_ns:
                return "held over a fail-over"
        return ""
