"""What an acknowledged write survives, as a mode that is named, promised and checked at start."""

from enum import StrEnum


class Durability(StrEnum):
    FSYNC = "fsync"
    """On disk before it is acknowledged: survives kill -9 of everything and a loss of power."""

    NONE = "none"
    """Nothing is promised: for a store used as a cache. Said loudly at start."""
