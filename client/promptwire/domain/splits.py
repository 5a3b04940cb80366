"""Splits: an alias that points at weighted versions. Buckets are assigned, so that a key's version can be looked up."""

import hashlib
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

BUCKETS: Final = 10_000


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

    def version_for(self, alias: str, key: str) -> int:
        """The version that a key has under this alias."""
        return self.version_in(bucket_of(alias, self.salt, key))


Target = int | Split
"""What an alias points at: a version, or a split; 0 stands for nothing."""


def bucket_of(alias: str, salt: str, key: str) -> int:
    """The first 8 bytes of SHA-256 over `alias NUL salt NUL key` in UTF-8, a big-endian number, modulo 10,000."""
    digest = hashlib.sha256(f"{alias}\0{salt}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def plain(target: Target) -> int:
    """The version of a target that is one, 0 for others."""
    return target if isinstance(target, int) else 0


def versions_of_target(target: Target) -> tuple[int, ...]:
    """The versions that a target may lead to."""
    if isinstance(target, Split):
        return target.versions
    return (target,) if target else ()
