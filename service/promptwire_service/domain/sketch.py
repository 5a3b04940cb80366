"""What many numbers were like, in little room: a summary that two of can be added up.

Quantiles come from buckets whose bounds grow by a constant factor, as in DDSketch (Masson, Rim, Lee: "DDSketch: a fast
and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019): a value is told within 1 % of itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

RELATIVE_ERROR: Final = 0.01
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(_GAMMA)
SMALLEST: Final = 1e-9
"""Of a value's size: what is nearer to 0 counts as 0 in quantiles."""
LARGEST: Final = 1e15
"""Of a value's size: what is beyond counts as this in quantiles."""


@dataclass(slots=True)
class Sketch:
    """Count, mean, squared deviations from the mean, least, greatest, and buckets by their number.

    A bucket's number is 0 for zero, and for other values rises with their size, negative for negative ones: at most
    about 2,800 of either sign.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf
    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, value: float) -> None:
        bucket = bucket_of(value)
        self.merge(Sketch(1, value, 0.0, value, value, {bucket: 1}))

    def merge(self, other: "Sketch") -> None:
        """Adds the other up with this one; exactly as Lua does in record_metrics.lua (Chan, Golub, LeVeque 1979)."""
        if not other.count:
            return
        count = self.count + other.count
        delta = other.mean - self.mean
        self.m2 += other.m2 + delta * delta * self.count * other.count / count
        self.mean += delta * other.count / count
        self.count = count
        self.least, self.greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        for bucket, number in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + number

    @property
    def standard_deviation(self) -> float:
        """Of the sample; 0 for a single value."""
        return math.sqrt(max(0.0, self.m2) / (self.count - 1)) if self.count > 1 else 0.0

    def quantile(self, fraction: float) -> float:
        """A value that this fraction of all are at most, within 1 %; of an empty sketch NaN."""
        return self.quantiles((fraction,))[0]

    def quantiles(self, fractions: Sequence[float]) -> tuple[float, ...]:
        """Those of several fractions, which ascend."""
        if not self.count:
            return (math.nan,) * len(fractions)
        found: list[float] = []
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            while len(found) < len(fractions) and seen > fractions[len(found)] * (self.count - 1):
                found.append(min(self.greatest, max(self.least, _value_of(bucket))))
        return (*found, *(self.greatest,) * (len(fractions) - len(found)))


_OFFSET: Final = 1 - math.ceil(math.log(SMALLEST) / _LOG_GAMMA)


def bucket_of(value: float) -> int:
    size = abs(value)
    if size < SMALLEST:
        return 0
    number = math.ceil(math.log(min(size, LARGEST)) / _LOG_GAMMA) + _OFFSET
    return number if value > 0 else -number


def _value_of(bucket: int) -> float:
    if not bucket:
        return 0.0
    size = 2.0 * _GAMMA ** (abs(bucket) - _OFFSET) / (_GAMMA + 1.0)
    return size if bucket > 0 else -size
