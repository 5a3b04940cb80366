"""Summaries of what was observed of a prompt, by version and metric."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from promptwire.domain.names import check_namespace, check_prompt_name, check_version
from promptwire_service.commands.context import Registry
from promptwire_service.commands.log_metrics import check_metric_tags
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.metrics import HOUR_MS, Series
from promptwire_service.domain.sketch import Sketch, merged


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one version."""

    version: int
    metric: str
    sketch: Sketch


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
    """Times count by the hour: the whole hour that `since` falls into, up to the whole hour that `until` does."""
    refuse(
        check_namespace(namespace),
        check_prompt_name(name),
        *(check_version(version, "versions") for version in versions),
        check_metric_tags(tags, "tags"),
    )
    first = since_ms // HOUR_MS if since_ms is not None else 0
    last = until_ms // HOUR_MS if until_ms is not None else 10**9
    observed = (await registry.store.read_metrics(namespace, name, first_hour=first, last_hour=last)).value
    found: dict[tuple[int, str], list[Sketch]] = {}
    folded = 0
    for one in observed:
        if versions and one.series.version not in versions:
            continue
        if one.series.folded:
            folded += max(sketch.count for sketch in one.sketches.values())
        if not _matches(one.series, alias, tags):
            continue
        for metric, sketch in one.sketches.items():
            if not metrics or metric in metrics:
                found.setdefault((one.series.version, metric), []).append(sketch)
    return Summaries(tuple(Summary(*key, merged(found[key])) for key in sorted(found)), folded)


def _matches(series: Series, alias: str | None, tags: Mapping[str, str]) -> bool:
    return (alias is None or series.alias == alias) and tags.items() <= dict(series.tags).items()
