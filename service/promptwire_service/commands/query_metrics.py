"""Summaries of what was observed of a prompt, by version and metric."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.log_metrics import check_metric_tags
from promptwire_service.domain.errors import query_too_large, refuse
from promptwire_service.domain.metrics import HOUR_MS, Observed, Series, Wanted
from promptwire_service.domain.sketch import Sketch

QUANTILES: Final = (0.50, 0.95, 0.99)
READ_MAX: Final = 5_000_000
"""Numbers of sketches that one question reads in all: about ten seconds of work, in parts."""
HELD_MAX: Final = 500_000
"""Buckets that it holds at a time: about 50 MB."""
SUMMARIES_MAX: Final = 10_000
_SUMMARIES_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one version; `quantiles` are those of QUANTILES."""

    version: int
    metric: str
    count: int
    mean: float
    standard_deviation: float
    least: float
    greatest: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Summaries:
    """By version, then by metric; and how many observations have lost their alias and tags."""

    summaries: tuple[Summary, ...]
    folded: int


async def query_metrics(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    metrics: Collection[str],
    versions: Collection[int],
    alias: str | None,
    since_ms: int | None,
    until_ms: int | None,
    tags: Mapping[str, str],
) -> Summaries:
    """Times count by the hour: the whole hour that `since` falls into, up to the whole hour that `until` does.

    Read and added up a part at a time, while others get their turns. Refused: what would take more than READ_MAX,
    HELD_MAX or SUMMARIES_MAX (QUERY_TOO_LARGE).
    """
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        *(check_version(version, "versions") for version in versions),
        check_metric_tags(tags, "tags"),
    )
    wanted = Wanted(
        since_ms // HOUR_MS if since_ms is not None else 0,
        until_ms // HOUR_MS if until_ms is not None else 10**9,
        frozenset(metrics),
        frozenset(versions),
    )
    total = _Total()
    after: str | None = ""
    while after is not None:
        part = (await registry.store.read_metrics(namespace, name, wanted, after=after)).value
        for one in part.observed:
            total.add(one, _matches(one.series, alias, tags))
        after = part.following or None
    return Summaries(await total.summaries(), total.folded)


class _Total:
    """Adds up what is read, by version and metric."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Sketch] = {}
        self._folded: dict[int, int] = {}
        self._hour = self._numbers = self._held = self._lost = 0

    def add(self, one: Observed, matches: bool) -> None:
        self._numbers += len(one.sketch.buckets) + 5
        if self._numbers > READ_MAX:
            raise query_too_large("numbers", READ_MAX)
        if one.hour != self._hour:
            self._lost, self._hour, self._folded = self.folded, one.hour, {}
        version = one.series.version
        if one.series.folded:
            self._folded[version] = max(self._folded.get(version, 0), one.sketch.count)
        if not matches:
            return
        sketch = self._found.setdefault((version, one.metric), Sketch())
        self._held -= len(sketch.buckets)
        sketch.merge(one.sketch)
        self._held += len(sketch.buckets)
        if self._held > HELD_MAX:
            raise query_too_large("different numbers", HELD_MAX)
        if len(self._found) > SUMMARIES_MAX:
            raise query_too_large("metrics of versions", SUMMARIES_MAX)

    @property
    def folded(self) -> int:
        """How many observations have lost their alias and tags: of an hour's metrics, what the one with most has."""
        return self._lost + sum(self._folded.values())

    async def summaries(self) -> tuple[Summary, ...]:
        summaries = []
        for number, key in enumerate(sorted(self._found), 1):
            summaries.append(summary(*key, self._found[key]))
            if number % _SUMMARIES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return tuple(summaries)


def summary(version: int, metric: str, sketch: Sketch) -> Summary:
    return Summary(
        version=version,
        metric=metric,
        count=sketch.count,
        mean=sketch.mean,
        standard_deviation=sketch.standard_deviation,
        least=sketch.least,
        greatest=sketch.greatest,
        quantiles=sketch.quantiles(QUANTILES),
    )


def _matches(series: Series, alias: str | None, tags: Mapping[str, str]) -> bool:
    return (alias is None or series.alias == alias) and tags.items() <= dict(series.tags).items()
