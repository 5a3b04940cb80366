"""What the store keeps for ever: how each alias moved, every write, every release; and what waits to be purged."""

from dataclasses import dataclass

from promptwire.domain.splits import Target
from promptwire_service.domain.changes import LogEntry


@dataclass(frozen=True, slots=True)
class AliasMoved:
    """One change of an alias, at revision `number`; a target of 0 is none.

    `rollback` tells that it was a roll-back; `undoes` is the number of the release that it took back, 0 for none.
    """

    number: int
    time_ms: int
    actor: str
    reason: str
    request_id: str
    target: Target
    previous: Target
    rollback: bool = False
    undoes: int = 0


@dataclass(frozen=True, slots=True)
class KeptWrite:
    """A write as it is kept for ever: tags of over 256 bytes only by their size.

    `release` is its title, None for a write that was none; `undoes` the number of the release that it took back, and
    `undone_by` that of the one that took it back; 0 for none.
    """

    entry: LogEntry
    release: str | None = None
    undoes: int = 0
    undone_by: int = 0


@dataclass(frozen=True, slots=True)
class Deleted:
    """A version that is deleted and not purged yet, or a prompt, whose version is 0; and when it was."""

    name: str
    version: int
    deleted_ms: int
