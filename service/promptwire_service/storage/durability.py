"""What an acknowledged write survives, as a mode that is named, promised and checked at start."""

from enum import StrEnum


class Durability(StrEnum):
    FSYNC = "fsync"
    """On disk before it is acknowledged: survives kill -9 of everything and a loss of power."""

    REPLICATED = "replicated"
    """In the memory of so many replicas, too, before it is acknowledged: survives the loss of the primary."""

    NONE = "none"
    """Nothing is promised: for a store used as a cache. Said loudly at start."""


class NotReplicatedError(Exception):
    """A write is on the primary, and not on as many replicas as promised: it may last, or not."""

    def __init__(self, have: int, wanted: int) -> None:
        super().__init__(f"{have} of {wanted} replicas have the write")
        self.have = have
        self.wanted = wanted
