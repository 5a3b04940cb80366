"""Splits: an alias that points at weighted versions. Buckets are assigned, so that a key's version can be looked up."""

import hashlib
import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from promptwire.domain.violations import Violation

BUCKETS: Final = 10_000
VERSIONS_MAX: Final = 100
SALT_MAX_CHARS: Final = 64
_SUM_MAX: Final = 1e12


@dataclass(frozen=True, slots=True)
class Split:
    """Which of 10,000 buckets means which version.

    `segments` are pairs of (end, version): from the end of the segment before, that one's version included, to `end`,
    excluded. Ends rise, the last one is 10,000, and neighbours have different versions.
    """

    salt: str
    segments: tuple[tuple[int, int], ...]

    @property
    def versions(self) -> tuple[int, ...]:
        """All of them, by number."""
        return tuple(sorted({version for _, version in self.segments}))

    def weights(self) -> dict[int, int]:
        """Buckets of each version, by number; 10,000 in all."""
        weights = dict.fromkeys(self.versions, 0)
        begin = 0
        for end, version in self.segments:
            weights[version] += end - begin
            begin = end
        return weights

    def version_in(self, bucket: int) -> int:
        """The version of a bucket, 0-9,999."""
        return self.segments[bisect_right(self.segments, bucket, key=lambda segment: segment[0])][1]

    def drawn(self) -> int:
        """A version at random, by the weights."""
        return self.version_in(random.randrange(BUCKETS))

    def bucket(self, alias: str, key: str | None) -> int:
        """The bucket of a key; without one, any."""
        return random.randrange(BUCKETS) if key is None else bucket_of(alias, self.salt, key)

    def version_for(self, alias: str, key: str) -> int:
        """The version that a key has under this alias."""
        return self.version_in(bucket_of(alias, self.salt, key))


Target = int | Split
"""What an alias points at: a version, or a split; 0 stands for nothing."""


def bucket_of(alias: str, salt: str, key: str) -> int:
    """The first 8 bytes of SHA-256 over `alias NUL salt NUL key` in UTF-8, a big-endian number, modulo 10,000."""
    digest = hashlib.sha256(f"{alias}\0{salt}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def reweighted(previous: Target, weights: Mapping[int, float], salt: str) -> Split:
    """The split that has these weights, and moves as few keys as can be.

    Weights are shares of any size, rounded to buckets by largest remainder, at least one for a version that has any.
    Buckets move only from versions that have too many to versions that have too few, from the highest bucket of the
    former on, to the latter, the highest number first. So a key that has a version keeps it while that version's share
    does not shrink. A plain version before counts as all buckets. docs/splits.md tells it step by step.
    """
    quotas = _quotas(weights)
    owners = _owners(previous)
    surplus = {version: owners.count(version) - quotas.get(version, 0) for version in set(owners)}
    wanting = [version for version in sorted(quotas) for _ in range(quotas[version] - owners.count(version))]
    for bucket in reversed(range(BUCKETS)):
        version = owners[bucket]
        if surplus.get(version, 0) > 0 and wanting:
            surplus[version] -= 1
            owners[bucket] = wanting.pop()
    return Split(salt, _segments(owners))


def check_weights(weights: Mapping[int, float], field: str = "weights") -> Violation | None:
    positive = {version: weight for version, weight in weights.items() if weight > 0}
    if any(not math.isfinite(weight) or weight < 0 for weight in weights.values()):
        return Violation(field, "must be numbers from 0")
    if not 1 <= len(positive) <= VERSIONS_MAX:
        return Violation(field, f"must be above 0 for 1-{VERSIONS_MAX} versions; got {len(positive)}")
    if sum(positive.values()) > _SUM_MAX:
        return Violation(field, f"must be at most {_SUM_MAX:g} together")
    return None


def _quotas(weights: Mapping[int, float]) -> dict[int, int]:
    """Buckets for each version with a weight above 0; 10,000 in all."""
    shares = {version: weight for version, weight in sorted(weights.items()) if weight > 0}
    total = sum(shares.values())
    exact = {version: weight * BUCKETS / total for version, weight in shares.items()}
    quotas = {version: max(1, math.floor(buckets)) for version, buckets in exact.items()}
    by_remainder = sorted(exact, key=lambda version: (math.floor(exact[version]) - exact[version], version))
    for version in itertools.islice(itertools.cycle(by_remainder), max(0, BUCKETS - sum(quotas.values()))):
        quotas[version] += 1
    while sum(quotas.values()) > BUCKETS:
        quotas[max(quotas, key=lambda version: (quotas[version], -version))] -= 1
    return quotas


def _owners(target: Target) -> list[int]:
    if not isinstance(target, Split):
        return [target] * BUCKETS
    owners: list[int] = []
    for end, version in target.segments:
        owners += [version] * (end - len(owners))
    return owners


def _segments(owners: list[int]) -> tuple[tuple[int, int], ...]:
    end, segments = 0, []
    for version, buckets in itertools.groupby(owners):
        end += len(list(buckets))
        segments.append((end, version))
    return tuple(segments)


def plain(target: Target) -> int:
    """The version of a target that is one, 0 for others."""
    return target if isinstance(target, int) else 0


def versions_of_target(target: Target) -> tuple[int, ...]:
    """The versions that a target may lead to."""
    if isinstance(target, Split):
        return target.versions
    return (target,) if target else ()
