"""Values in tables: in words for people, exact for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from promptwire.cli.text import safe_line
from promptwire.domain.splits import Split

_AGES = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))
_OLD_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class When:
    """Milliseconds since 1970: an age for people, ISO 8601 in UTC for programs."""

    timestamp: int | None


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes: with a unit for people."""

    bytes: int


Cell = str | int | bool | When | Size | Sequence[str] | Mapping[str, str] | None


def for_people(cell: Cell, now_ms: int) -> str:
    match cell:
        case When(timestamp):
            return "-" if timestamp is None else age(timestamp, now_ms)
        case Size(count):
            return size(count)
        case bool():
            return "yes" if cell else "no"
        case int():
            return str(cell)
        case str():
            return safe_line(cell) or "-"
        case None:
            return "-"
        case Mapping():
            return safe_line(", ".join(f"{key}={value}" for key, value in cell.items())) or "-"
        case _:
            return safe_line(", ".join(cell)) or "-"


def for_programs(cell: Cell) -> str:
    match cell:
        case When(timestamp):
            return "" if timestamp is None else iso(timestamp)
        case Size(count):
            return str(count)
        case bool():
            return "yes" if cell else "no"
        case int():
            return str(cell)
        case str():
            return safe_line(cell)
        case None:
            return ""
        case Mapping():
            return safe_line(",".join(f"{key}={value}" for key, value in cell.items()))
        case _:
            return safe_line(",".join(cell))


def age(timestamp: int, now_ms: int) -> str:
    """`5 min ago`; a date when that is long ago. A clock that is ahead of ours makes no negative ages."""
    seconds = max(0, now_ms - timestamp) // 1_000
    if seconds >= _OLD_SECONDS:
        return local(timestamp)[:10]
    for unit_seconds, unit in _AGES:
        count = seconds // unit_seconds
        if count:
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return "just now"


def iso(timestamp: int) -> str:
    """`2026-11-23T20:29:25.123Z`."""
    return _datetime(timestamp).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(timestamp: int) -> str:
    """`2026-11-23 20:29:25`, by the clock on the wall."""
    return f"{_datetime(timestamp).astimezone():%Y-%m-%d %H:%M:%S}"


def target(version: int | None, split: Split | None) -> str:
    """What an alias points at: `3`, `1 90 %, 2 10 %`, or `none`."""
    if split is not None:
        return ", ".join(f"{version} {weight / 100:g} %" for version, weight in split.weights().items())
    return str(version or "none")


def size(count: int) -> str:
    """`812 B`, `1.5 KiB`, `256 MiB`."""
    value, units = float(count), ["TiB", "GiB", "MiB", "KiB", "B"]
    while value >= 1_024 and len(units) > 1:
        value /= 1_024
        units.pop()
    return f"{value:.0f} {units[-1]}" if value == int(value) else f"{value:.1f} {units[-1]}"


def _datetime(timestamp: int) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
