"""Which servers' histories a namespace has had: a primary that was replaced is not believed again, unless it stays."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache

from promptwire_service.domain.records import Revision

STAYS_SECONDS = 2.0
"""For how long a server that was left is refused, from its first answer on. Each refusal has all connections made anew:
who is still there after that is the primary, whatever was seen before."""
_NAMESPACES_MAX = 10_000
_LEFT_MAX = 16


@dataclass(slots=True)
class _Line:
    now: str
    left: dict[str, float | None] = field(default_factory=dict)
    """Servers, the latest last, and since when each answers again."""


class Lineage:
    """A fail-over leaves the old primary behind. If it was only cut off or paused it may come back, think itself the
    primary for a while, and answer from a history that is over.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: LRUCache[str, _Line] = LRUCache(_NAMESPACES_MAX)

    def admits(self, namespace: str, at: Revision) -> bool:
        """Whether an answer of this revision may be believed; takes note of it."""
        server = at.epoch.rpartition("-")[2]  # see head() in prelude.lua
        line = self._lines.get(namespace)
        if line is None:
            self._lines[namespace] = _Line(server)
            return True
        if server == line.now:
            return True
        if server in line.left:
            since = line.left[server]
            if since is None:
                line.left[server] = since = self._clock()
            if self._clock() - since < STAYS_SECONDS:
                return False
            del line.left[server]
        line.left[line.now] = None
        if len(line.left) > _LEFT_MAX:
            del line.left[next(iter(line.left))]
        line.now = server
        return True
