"""What the store keeps for ever: how each alias moved, every write, every release; what waits to be purged; and what
includes what.
"""

import re
from dataclasses import dataclass
from typing import Final

from promptwire.domain.splits import Target
from promptwire_service.domain.changes import LogEntry, target_size_bytes


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

    @property
    def size_bytes(self) -> int:
        """About what it takes up in a message."""
        return 500 + len(self.reason.encode()) + target_size_bytes(self.target) + target_size_bytes(self.previous)


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


_TURNED: Final = 999_999_999_999_999
_POSITION: Final = re.compile(r"(\d{15}):([A-Za-z0-9_.\-/]+)\0(\d{15})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dependent:
    """A version of a prompt, and one that includes it."""

    version: int
    by_name: str
    by_version: int

    @property
    def position(self) -> str:
        """Where it stands: newest version first, then by name and number, in the order of code points."""
        return f"{_TURNED - self.version:015}:{self.by_name}\0{self.by_version:015}"

    @staticmethod
    def at(position: str) -> "Dependent":
        match = _POSITION.match(position)
        if match is None:
            raise ValueError(f"{position!r} is no position of a dependent")
        return Dependent(_TURNED - int(match[1]), match[2], int(match[3]))

    @staticmethod
    def is_position(text: str) -> bool:
        return _POSITION.match(text) is not None


@dataclass(frozen=True, slots=True)
class Dependents:
    """Some of them, and the position to go on after, empty when none follow."""

    found: tuple[Dependent, ...]
    next_position: str = ""
