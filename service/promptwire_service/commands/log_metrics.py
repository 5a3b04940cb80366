"""Records observations of prompts' versions. They are no changes: no revision, nothing in the log, nobody is told."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire.domain import limits
from promptwire.domain.names import check_alias, check_namespace, check_prompt_name, check_request_id, check_version
from promptwire.domain.violations import Violation, shape
from promptwire_service.commands.context import Registry
from promptwire_service.domain.errors import RegistryError, observed_nothing, refuse
from promptwire_service.domain.metrics import HOUR_MS, Group, Series
from promptwire_service.domain.sketch import Sketch

AGE_MAX_SECONDS: Final = 7 * 86_400.0
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
    """Why observations were not recorded, by their index: their prompt or version is not there, or deleted."""
    refuse(
        check_namespace(namespace),
        check_request_id(request_id, "request_id"),
        _check_count(observations),
        *(one for index, each in enumerate(observations) for one in each.violations(f"observations[{index}]")),
    )
    now_ms = time.time() * 1_000
    groups: dict[tuple[str, Series, int], dict[str, Sketch]] = {}
    members: dict[tuple[str, Series, int], list[int]] = {}
    for index, one in enumerate(observations):
        series = Series(one.version, one.alias, tuple(sorted(one.tags.items())))
        key = (one.name, series, int((now_ms - one.age_seconds * 1_000) // HOUR_MS))
        sketches = groups.setdefault(key, {})
        members.setdefault(key, []).append(index)
        for metric, value in one.values.items():
            sketches.setdefault(metric, Sketch()).add(value)
    # But for ages, which a repeat has others of.
    asked = [[one.name, one.version, one.alias, dict(one.values), dict(one.tags)] for one in observations]
    recorded = await registry.store.record_metrics(
        namespace,
        [Group(*key, sketches) for key, sketches in groups.items()],
        request_id,
        json.dumps(asked, sort_keys=True),
    )
    keys = list(members)
    return {
        index: observed_nothing(keys[group][0], keys[group][1].version)
        for group in sorted(recorded.refused)
        for index in members[keys[group]]
    }


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
