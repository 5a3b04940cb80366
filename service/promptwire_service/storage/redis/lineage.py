"""Which servers' histories a namespace has had: a primary that was replaced must not be believed again."""

from dataclasses import dataclass, field

from cachetools import LRUCache

from promptwire_service.domain.records import Revision

_NAMESPACES_MAX = 10_000
_LEFT_MAX = 16


@dataclass(slots=True)
class _Line:
    now: str
    left: list[str] = field(default_factory=list)


class Lineage:
    """A fail-over leaves the old primary behind. If it was only cut off or paused it may come back, think itself the
    primary for a while, and answer from a history that is over.
    """

    def __init__(self) -> None:
        self._lines: LRUCache[str, _Line] = LRUCache(_NAMESPACES_MAX)

    def admits(self, namespace: str, at: Revision) -> bool:
        """Whether an answer of this revision may be believed; takes note of it."""
        server = at.epoch.rpartition("-")[2]  # see head() in prelude.lua
        line = self._lines.get(namespace)
        if line is None:
            self._lines[namespace] = _Line(server)
        elif server in line.left:
            return False
        elif server != line.now:
            line.left = [*line.left[1 - _LEFT_MAX :], line.now]
            line.now = server
        return True
