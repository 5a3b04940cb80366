"""Observations of prompts, as they are recorded and asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """Observations of one series within one hour (hours since 1970), a sketch for each metric."""

    name: str
    series: Series
    hour: int
    sketches: Mapping[str, Sketch] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of groups: the indexes of those whose prompt or version is not there."""

    refused: frozenset[int]


@dataclass(frozen=True, slots=True)
class Observed:
    """All of one series and hour that was recorded of a prompt."""

    series: Series
    hour: int
    sketches: Mapping[str, Sketch]
