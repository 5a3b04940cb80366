"""Observations, kept apart from prompts: `:m:<name>:<hour>` (sketches of each series and metric), `:ms:<name>:<hour>`
(which series), `:mh:<name>` (which hours).
"""

import hashlib
import json
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol

from promptwire_service.domain.errors import request_id_reused
from promptwire_service.domain.metrics import Group, Observed, Recorded, Series
from promptwire_service.domain.records import Read
from promptwire_service.domain.sketch import Sketch
from promptwire_service.storage.redis.encoding import pairs, revision_of
from promptwire_service.storage.redis.scripts import Script

RETENTION_SECONDS: Final = 400 * 86_400
SERIES_MAX: Final = 1_000
"""Of a prompt within an hour; more are folded into one of each version."""
_HOURS_AT_ONCE: Final = 50
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
    _, encoded = await run(_RECORD, namespace, request, kept_seconds, RETENTION_SECONDS, SERIES_MAX, writes=True)
    answer = json.loads(encoded)
    if "error" in answer:
        raise request_id_reused(request_id)
    return Recorded(frozenset(answer.get("refused") or ()))


async def read(run: Run, namespace: str, name: str, first_hour: int, last_hour: int) -> Read[list[Observed]]:
    observed: list[Observed] = []
    lower = str(first_hour)
    while True:
        head, flat = await run(_READ, namespace, name, lower, str(last_hour), _HOURS_AT_ONCE)
        for hour, fields in zip(flat[::2], flat[1::2], strict=True):
            observed += _observed(int(hour), pairs(fields))
        if len(flat) < 2 * _HOURS_AT_ONCE:
            return Read(observed, revision_of(head))
        lower = f"({flat[-2]}"


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


def _observed(hour: int, fields: dict[str, str]) -> list[Observed]:
    found: dict[str, dict[str, Sketch]] = {}
    for field, text in fields.items():
        series, metric, what = field.split("\0")
        sketch = found.setdefault(series, {}).setdefault(metric, Sketch())
        match what:
            case "count":
                sketch.count = int(float(text))
            case "mean" | "m2" | "least" | "greatest":
                setattr(sketch, what, float(text))
            case _:
                sketch.buckets[int(what[1:])] = int(text)
    return [Observed(_series_of(series), hour, sketches) for series, sketches in found.items()]
