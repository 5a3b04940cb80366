"""What differs between two versions, as the service compared them, and that as text."""

from collections.abc import Iterator
from dataclasses import dataclass

from promptwire.domain.diffs import DiffHunk, DiffLine, DiffPart, DiffSegment
from promptwire.domain.references import SCHEME

__all__ = ["DiffHunk", "DiffLine", "DiffPart", "DiffSegment", "DiffSide", "PromptDiff", "unified"]

_NO_END = "\\ No newline at end of part\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffSide:
    """One of the versions that were compared."""

    version: int
    digest: str
    commit_message: str
    author: str
    creation_timestamp: int
    """Milliseconds since 1970, by the store's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDiff:
    """What differs between two versions of a prompt. True when anything does."""

    name: str
    before: DiffSide
    after: DiffSide
    parts: tuple[DiffPart, ...]
    """Those that differ; empty when content and tags are the same."""

    def __bool__(self) -> bool:
        return bool(self.parts)

    def unified(self) -> str:
        """As `diff -u` writes it, one part after the other; empty when nothing differs."""
        return "".join(
            unified(part, f"{SCHEME}{self.name}/{self.before.version}", f"{SCHEME}{self.name}/{self.after.version}")
            for part in self.parts
        )


def unified(part: DiffPart, before: str, after: str) -> str:
    """One part, under the names of its sides."""
    lines = [
        f"--- {'/dev/null' if part.kind == 'added' else f'{before} {part.name}'}\n",
        f"+++ {'/dev/null' if part.kind == 'removed' else f'{after} {part.name}'}\n",
    ]
    for hunk in part.hunks:
        lines.append(_range(hunk))
        lines += _hunk(hunk)
    if part.cut:
        lines.append("\\ There is more\n" if part.hunks else "\\ Differs; the diff is too large to tell how\n")
    return "".join(lines)


def _range(hunk: DiffHunk) -> str:
    removed = [line.before_line for line in hunk.lines if line.before_line]
    added = [line.after_line for line in hunk.lines if line.after_line]
    return f"@@ -{_span(removed)} +{_span(added)} @@\n"


def _span(numbers: list[int]) -> str:
    return f"{numbers[0] if numbers else 0},{len(numbers)}"


def _hunk(hunk: DiffHunk) -> Iterator[str]:
    """Of neighbours that changed, all that was before all that is."""
    added: list[str] = []
    for line in hunk.lines:
        if not line.changed:
            yield from added
            added = []
            yield _marked(" ", line.before)
            continue
        if line.before_line:
            yield _marked("-", line.before)
        if line.after_line:
            added.append(_marked("+", line.after))
    yield from added


def _marked(mark: str, line: str) -> str:
    return f"{mark}{line}" if line.endswith("\n") else f"{mark}{line}\n{_NO_END}"
