"""Answers that are newer than what pushes have told, and wait for them.

A release moves several aliases at one revision. Whoever loads one of them for the first time may be answered at that
revision while the push that moves the others is still on its way: shown at once, it would be half of the release.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from promptwire._core.flight import Flight
from promptwire._core.split_alias import Meaning
from promptwire.values import Revision

HELD_BACK_SECONDS = 1.0
"""At most: a push that takes longer is not waited for."""


@dataclass(frozen=True, slots=True)
class Held:
    """One answer, as it is to be landed."""

    key: str
    flight: Flight
    value: Meaning
    revision: Revision
    until: float
    """By the clock."""


class HeldBack:
    """Guarded by the live table's lock."""

    def __init__(self) -> None:
        self._held: list[Held] = []

    def add(self, held: Held) -> None:
        self._held.append(held)

    def due(self, position: Revision | None, now: float) -> list[Held]:
        """Those that pushes have reached, and those that have waited long enough; they are no longer held."""
        due: list[Held] = []
        waiting: list[Held] = []
        for one in self._held:
            behind = position is not None and position.is_behind(one.revision)
            (waiting if behind and now < one.until else due).append(one)
        self._held = waiting
        return due

    @property
    def next_end(self) -> float:
        """When the first has waited long enough, by the clock."""
        return min((one.until for one in self._held), default=math.inf)

    def flights(self) -> Iterator[Flight]:
        return (one.flight for one in self._held)
