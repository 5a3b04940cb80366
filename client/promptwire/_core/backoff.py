"""How long to wait before trying again."""

import random
from collections.abc import Callable


class Backoff:
    """Full jitter: a wait is uniform between 0 and a ceiling that doubles, so that a fleet does not return in step.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(
        self, first_seconds: float, most_seconds: float, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first = self._ceiling = first_seconds
        self._most = most_seconds
        self._uniform = uniform

    def next(self) -> float:
        """Seconds to wait this time."""
        wait = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._most, self._ceiling * 2)
        return wait

    def reset(self) -> None:
        self._ceiling = self._first
