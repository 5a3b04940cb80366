"""How long ago something was known right, and whether that is still vouched for."""

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds that never go back, like time.monotonic."""


class Lease:
    """Vouches for what it is attached to until `seconds` after `confirmed_at`, the latest time it was surely right.

    The values that one watch keeps right share a lease, so that one bookmark renews them all.
    """

    __slots__ = ("_clock", "_seconds", "confirmed_at")

    def __init__(self, clock: Clock, seconds: float, confirmed_at: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.confirmed_at = confirmed_at

    @property
    def until(self) -> float:
        """When it runs out, by the clock."""
        return self.confirmed_at + self._seconds

    @property
    def age(self) -> float:
        """Seconds since it was confirmed."""
        return max(0.0, self._clock() - self.confirmed_at)

    @property
    def stale(self) -> bool:
        return self._clock() >= self.confirmed_at + self._seconds

    def copy(self) -> "Lease":
        """The same lease, but nobody renews it: for values that leave what kept them right."""
        return Lease(self._clock, self._seconds, self.confirmed_at)
