"""Records observations of prompts' versions. They are no changes: no revision, nothing in the log, nobody is told."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_request_id, check_version
from promptwire.domain.violations import Violation, shape
from promptwire_service.commands.context import Registry
from promptwire_service.domain.errors import (
    RegistryError,
    observed_nothing,
    refuse,
    too_many_metrics,
    too_many_series,
)
from promptwire_service.domain.metrics import HOUR_MS, Group, Refused, Series, Why
from promptwire_service.domain.sketch import Sketch

AGE_MAX_SECONDS: Final = 7 * 86_400.0
VALUES_AT_ONCE: Final = 1_000
"""That one script of the store records, while others wait."""
_METRIC: Final = re.compile(rf"[A-Za-z0-9_.\-/]{{1,{limits.METRIC_MAX_CHARS}}}\Z")


@dataclass(frozen=True, slots=True)
class Observation:
    """Values observed together, so many seconds before the request."""

    name: str
    version: int
    alias: str
    values: Mapping[str, float]
    tags: Mapping[str, str]
    age_seconds: float

    def violations(self, field: str) -> tuple[Violation | None, ...]:
        return (
            check_prompt_name(self.name, f"{field}.name"),
            check_version(self.version, f"{field}.version"),
            check_alias(self.alias, f"{field}.alias") if self.alias else None,
            check_values(self.values, f"{field}.values"),
            check_metric_tags(self.tags, f"{field}.tags"),
        )


async def log_metrics(
    registry: Registry, *, namespace: str, observations: Sequence[Observation], request_id: str
) -> dict[int, RegistryError]:
    """Returns why observations were not recorded, by their index: their prompt or version is not there, or deleted, or
    they have a new metric where the prompt has as many as it may have.

    They go to the store some at a time, in parts that depend on nothing but what they are, each under an id of its
    own: a repeat counts again none of those that were recorded, and the rest once.
    """
    refuse(
        check_namespace(namespace),
        check_request_id(request_id, "request_id"),
        _check_count(observations),
        *(one for index, each in enumerate(observations) for one in each.violations(f"observations[{index}]")),
    )
    refused: dict[int, RegistryError] = {}
    for number, part in enumerate(_parts(observations)):
        # No id of a caller's has a `#`.
        part_id = f"{request_id}#{number}" if number else request_id
        refused |= await _record(registry, namespace, part, part_id)
    return refused


async def _record(
    registry: Registry, namespace: str, part: Mapping[int, Observation], request_id: str
) -> dict[int, RegistryError]:
    now_ms = time.time() * 1_000
    # What has the same metrics is refused together, and nothing else is.
    groups: dict[tuple[str, Series, int, tuple[str, ...]], dict[str, Sketch]] = {}
    members: dict[tuple[str, Series, int, tuple[str, ...]], list[int]] = {}
    for index, one in part.items():
        series = Series(one.version, one.alias, tuple(sorted(one.tags.items())))
        hour = int((now_ms - one.age_seconds * 1_000) // HOUR_MS)
        key = (one.name, series, hour, tuple(sorted(one.values)))
        sketches = groups.setdefault(key, {})
        members.setdefault(key, []).append(index)
        for metric, value in one.values.items():
            sketches.setdefault(metric, Sketch()).add(value)
    # But for ages, which a repeat has others of.
    asked = [[one.name, one.version, one.alias, dict(one.values), dict(one.tags)] for one in part.values()]
    recorded = await registry.store.record_metrics(
        namespace,
        [Group(name, series, hour, sketches) for (name, series, hour, _), sketches in groups.items()],
        request_id,
        json.dumps(asked, sort_keys=True),
    )
    keys = list(members)
    return {
        index: _refusal(keys[group][0], keys[group][1], why)
        for group, why in sorted(recorded.refused.items())
        for index in members[keys[group]]
    }


def _parts(observations: Sequence[Observation]) -> Iterator[dict[int, Observation]]:
    part: dict[int, Observation] = {}
    values = 0
    for index, one in enumerate(observations):
        if part and values + len(one.values) > VALUES_AT_ONCE:
            yield part
            part, values = {}, 0
        part[index] = one
        values += len(one.values)
    yield part


def _refusal(name: str, series: Series, refused: Refused) -> RegistryError:
    match refused.why:
        case Why.NAMES:
            return too_many_metrics(name, refused.count, limits.METRIC_NAMES_MAX)
        case Why.SERIES:
            return too_many_series(name, series.version, refused.count)
    return observed_nothing(name, series.version)


def check_values(values: Mapping[str, float], field: str) -> Violation | None:
    if not values:
        return Violation(field, "must not be empty")
    for metric, value in values.items():
        if not _METRIC.match(metric):
            rule = f"must be 1-{limits.METRIC_MAX_CHARS} of A-Z a-z 0-9 _ . - /"
            return Violation(field, f"a metric's name {rule} ; got {shape(metric)}")
        if not abs(value) <= limits.METRIC_VALUE_MAX:
            most = f"{limits.METRIC_VALUE_MAX:g}"
            return Violation(f"{field}[{metric}]", f"must be a number from -{most} to {most}; got {value}")
    return None


def check_metric_tags(tags: Mapping[str, str], field: str) -> Violation | None:
    for text in (*tags, *tags.values()):
        if not text or "\0" in text:
            return Violation(field, f"keys and values must have characters, and no NUL; got {shape(text)}")
    return None


def _check_count(observations: Sequence[Observation]) -> Violation | None:
    return None if observations else Violation("observations", "must not be empty")
