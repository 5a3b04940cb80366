"""Which servers a store has had: a primary that was replaced is not believed again, unless it stays."""

import time
from collections.abc import Callable

STAYS_SECONDS = 2.0
"""For how long a server that was left is refused, from its first answer on. Each refusal has all connections made anew:
who is still there after that is the primary, whatever was seen before."""
_LEFT_MAX = 16


class Lineage:
    """A fail-over leaves the old primary behind. If it was only cut off or paused it may come back, think itself the
    primary for a while, and answer from a history that is over.

    A fail-over replaces the server of all namespaces at once, so one line serves them all.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._now: str | None = None
        self._left: dict[str, float | None] = {}
        """Servers that were left, the latest last, and since when each answers again."""

    def admits(self, server: str) -> bool:
        """Tells whether an answer of this server may be believed, and takes note of it."""
        if server == self._now:
            return True
        if server in self._left:
            since = self._left[server]
            if since is None:
                self._left[server] = since = self._clock()
            if self._clock() - since < STAYS_SECONDS:
                return False
            del self._left[server]
        if self._now is not None:
            self._left[self._now] = None
        if len(self._left) > _LEFT_MAX:
            del self._left[next(iter(self._left))]
        self._now = server
        return True
