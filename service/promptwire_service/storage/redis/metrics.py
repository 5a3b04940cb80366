"""Observations, kept apart from prompts: `:m:<name>:<hour>:<metric>:<series>` (one sketch; series by number in the
hour), `:mi:<name>:<hour>` (which of them there are: metric, version, series), `:ms:<name>:<hour>` (series by number),
`:mh:<name>` (which hours), `:mn:<name>` (names of metrics, by the last hour that they were used in).
"""

import hashlib
import json
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol

from promptwire.domain import limits
from promptwire_service.domain.errors import request_id_reused
from promptwire_service.domain.metrics import (
    Group,
    Observed,
    ObservedPart,
    Recorded,
    Refused,
    Series,
    Wanted,
    Why,
)
from promptwire_service.domain.records import Read
from promptwire_service.domain.sketch import Sketch
from promptwire_service.storage.redis.encoding import pairs, revision_of
from promptwire_service.storage.redis.scripts import Script

RETENTION_SECONDS: Final = 400 * 86_400
LOOKS_AT_ONCE: Final = 10_000
"""Members of indexes and numbers of sketches that one script reads, while others wait."""
_RANGES_MAX: Final = 100
"""Of an index, for metrics and versions; past that, ranges are of metrics, and other versions are passed over."""
_RECORD = Script("record_metrics")
_READ = Script("read_metrics")


class Run(Protocol):
    """RedisStore's way to run a script on a namespace."""

    def __call__(
        self, script: Script, namespace: str, *arguments: str | int, writes: bool = False
    ) -> Awaitable[Any]: ...


async def record(
    run: Run, namespace: str, groups: Sequence[Group], request_id: str, asked: str, kept_seconds: int
) -> Recorded:
    written = [_group_json(group) for group in groups]
    fingerprint = hashlib.sha256((asked or json.dumps(written, sort_keys=True)).encode()).hexdigest()
    request = json.dumps({"request_id": request_id, "fingerprint": fingerprint, "groups": written})
    maxima = (limits.METRIC_SERIES_MAX, limits.METRIC_NAMES_MAX)
    _, encoded = await run(_RECORD, namespace, request, kept_seconds, RETENTION_SECONDS, *maxima, writes=True)
    answer = json.loads(encoded)
    if "error" in answer:
        raise request_id_reused(request_id)
    return Recorded({index: Refused(Why(why), count) for index, why, count in answer.get("refused") or ()})


async def read(run: Run, namespace: str, name: str, wanted: Wanted, after: str) -> Read[ObservedPart]:
    legs, versions = _legs(wanted)
    query: dict[str, Any] = {"name": name, "first": str(wanted.first_hour), "last": str(wanted.last_hour), "legs": legs}
    if versions:
        query["versions"] = {str(version): True for version in versions}
    if after:
        query["after"] = json.loads(after)
    head, flat, following = await run(_READ, namespace, json.dumps(query), LOOKS_AT_ONCE)
    observed = tuple(
        Observed(_series_of(series), int(hour), metric, _sketch_of(fields))
        for hour, metric, series, fields in zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
    )
    return Read(ObservedPart(observed, following), revision_of(head))


def _legs(wanted: Wanted) -> tuple[list[tuple[str, str]], frozenset[int]]:
    """Ranges of an hour's index, and the versions to look for in them, empty when they have no others."""
    if not wanted.metrics:
        return [("-", "+")], wanted.versions
    prefixes = [f"{metric}\0" for metric in sorted(wanted.metrics)]
    versions = wanted.versions
    if versions and len(prefixes) * len(versions) <= _RANGES_MAX:
        prefixes = [f"{prefix}{version}\0" for prefix in prefixes for version in sorted(versions)]
        versions = frozenset()
    return [(f"[{prefix}", f"({prefix[:-1]}\1") for prefix in prefixes], versions


def _group_json(group: Group) -> dict[str, Any]:
    series = group.series
    return {
        "name": group.name,
        "version": str(series.version),
        "series": _series_text(series),
        "folded": _series_text(Series(series.version, folded=True)),
        "hour": group.hour,
        "sketches": {metric: _sketch_json(sketch) for metric, sketch in group.sketches.items()},
    }


def _sketch_json(sketch: Sketch) -> dict[str, Any]:
    return {
        "count": sketch.count,
        "mean": sketch.mean,
        "m2": sketch.m2,
        "least": sketch.least,
        "greatest": sketch.greatest,
        "buckets": [part for item in sketch.buckets.items() for part in item],
    }


def _series_text(series: Series) -> str:
    return json.dumps([series.version, series.alias, series.tags, series.folded], separators=(",", ":"))


def _series_of(text: str) -> Series:
    version, alias, tags, folded = json.loads(text)
    return Series(version, alias, tuple((key, value) for key, value in tags), folded)


def _sketch_of(flat: list[str]) -> Sketch:
    fields = pairs(flat)
    count = int(float(fields.pop("count")))
    mean, m2, least, greatest = (float(fields.pop(name)) for name in ("mean", "m2", "least", "greatest"))
    return Sketch(count, mean, m2, least, greatest, {int(bucket[1:]): int(number) for bucket, number in fields.items()})
