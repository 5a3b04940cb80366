"""Observations of prompts, as they are recorded and asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from promptwire_service.domain.sketch import Sketch

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Series:
    """What observations of one version share. Of a folded one only the version is known."""

    version: int
    alias: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    """Sorted."""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Observations of one series within one hour (hours since 1970), a sketch for each metric. Recorded whole or not at
    all.
    """

    name: str
    series: Series
    hour: int
    sketches: Mapping[str, Sketch] = field(default_factory=dict)


class Why(StrEnum):
    """Why a group was not recorded."""

    MISSING = "missing"
    """Its prompt or version is not there, or deleted."""
    NAMES = "names"
    """Its metrics would bring the prompt over METRIC_NAMES_MAX."""
    SERIES = "series"
    """Its version is one too many that was observed within an hour."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why, and how many names or series there are."""

    why: Why
    count: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of groups: those that were refused, by their index; each whole, the others are recorded."""

    refused: Mapping[int, Refused]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read: hours, both included, and metrics and versions, all of them where none are named."""

    first_hour: int = 0
    last_hour: int = 10**9
    metrics: frozenset[str] = frozenset()
    versions: frozenset[int] = frozenset()

    def covers(self, hour: int, metric: str, version: int) -> bool:
        return (
            self.first_hour <= hour <= self.last_hour
            and (not self.metrics or metric in self.metrics)
            and (not self.versions or version in self.versions)
        )


@dataclass(frozen=True, slots=True)
class Observed:
    """One metric of one series within one hour."""

    series: Series
    hour: int
    metric: str
    sketch: Sketch


@dataclass(frozen=True, slots=True)
class ObservedPart:
    """A part of what was wanted, by hour, and where the next one begins, empty for the last part."""

    observed: tuple[Observed, ...]
    following: str = ""
