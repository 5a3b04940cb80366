"""What a checker found wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.history import Record


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise, and what shows it."""

    check: str
    message: str
    namespace: str = ""
    name: str = ""
    """Of the prompt, where it is about one."""
    shows: Sequence[Record] = field(default_factory=tuple)

    def __str__(self) -> str:
        where = f" [{self.namespace}/{self.name}]" if self.name else f" [{self.namespace}]" if self.namespace else ""
        lines = [f"{self.check}{where}: {self.message}", *(f"    {record}" for record in self.shows)]
        return "\n".join(lines)
