"""Who has a change of an alias: values that services add up."""

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

LAGGING_NAMED: Final = 100
"""Agents that an answer names at most."""
DELAY_BUCKETS: Final = 18
"""The first counts delays of up to 1 ms, each next one of up to twice as long; the last takes all that are longer."""


@dataclass(frozen=True, slots=True)
class AliasPoint:
    """One change of an alias: the revision number, and what it changed."""

    number: int
    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class Lag:
    """An agent that does not have a change."""

    client_id: str
    client_name: str
    peer: str
    applied_revision: int


@dataclass(slots=True)
class Part:
    """What some agents have of one change; parts of several services add up. `silent` ones do not report."""

    agents: int = 0
    converged: int = 0
    silent: int = 0
    lagging: list[Lag] = field(default_factory=list)
    delay_counts: list[int] = field(default_factory=list)
    slowest_ms: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all that report have it."""
        return self.converged == self.agents

    def add_lag(self, lag: Lag) -> None:
        if len(self.lagging) < LAGGING_NAMED:
            self.lagging.append(lag)

    def add(self, other: "Part") -> None:
        self.agents += other.agents
        self.converged += other.converged
        self.silent += other.silent
        for lag in other.lagging:
            self.add_lag(lag)
        self.delay_counts = [one + two for one, two in zip_longest(self.delay_counts, other.delay_counts, fillvalue=0)]
        self.slowest_ms = max(self.slowest_ms, other.slowest_ms)


@dataclass(frozen=True, slots=True)
class Survey:
    """One part for each change that was asked about, and how many services did not answer."""

    parts: list[Part]
    unheard: int
