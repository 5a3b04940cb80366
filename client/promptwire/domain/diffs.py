"""What differs between two versions: parts, hunks of lines, and in changed lines the words.

Lines first, then words within lines that changed; where either would take too long, it is left out and said so. One
bound holds for all parts of a diff together.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Literal

from promptwire.domain.alignment import Budget, align

CONTEXT_LINES: Final = 3
CONTEXT_MAX_LINES: Final = 1_000
LINES_MAX: Final = 20_000
"""Of all hunks of all parts; what is past it is cut."""
LINES_READ_MAX: Final = 1_500_000
"""Of both sides of all parts, about half a second of one core; a part that goes past it is not looked into."""

COMPARISONS_MAX: Final = 500_000
"""Of lines, and again of words, in one diff: about a quarter of a second of one core each."""
_WORDS_MAX_CHARS: Final = 50_000
"""Of a line whose words are compared: taking a line apart is one call, which nothing interrupts."""
_ALIKE: Final = 0.4
"""Lines that share fewer of their words are shown as one removed and one added."""
_WORD = re.compile(r"\{\{|\}\}|\w+|\s+|[^\w\s]")

SegmentKind = Literal["equal", "delete", "insert"]
PartKind = Literal["changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """Some words of a line."""

    kind: SegmentKind
    text: str


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of one side, or of both with what differs in it; its end belongs to its text."""

    before_line: int | None
    """Its number before, from 1; None when it was added."""
    after_line: int | None
    """Its number after, from 1; None when it was removed."""
    segments: tuple[DiffSegment, ...]

    @property
    def before(self) -> str:
        """The whole line as it was."""
        return "".join(segment.text for segment in self.segments if segment.kind != "insert")

    @property
    def after(self) -> str:
        """The whole line as it is."""
        return "".join(segment.text for segment in self.segments if segment.kind != "delete")

    @property
    def changed(self) -> bool:
        return any(segment.kind != "equal" for segment in self.segments)


@dataclass(frozen=True, slots=True)
class DiffHunk:
    """Neighbouring lines that changed, with some that did not around them."""

    lines: tuple[DiffLine, ...]


@dataclass(frozen=True, slots=True)
class DiffPart:
    """One part of a prompt that differs: `template`, `messages[0]`, `model_config`, `tags.use_case` ..."""

    name: str
    kind: PartKind
    hunks: tuple[DiffHunk, ...]
    by_words: bool = True
    """False where comparing words, or even lines, would have taken too long."""
    cut: bool = False
    """Whether there is more than was compared. Without hunks, the part was replaced whole, as far as is known: the
    parts before it took all that a diff may take.
    """


class DiffBounds:
    """What one diff may still take, all its parts together."""

    def __init__(self, pause: Callable[[], None] | None = None) -> None:
        """`pause` is called after each few milliseconds of work."""
        self.lines = Budget(COMPARISONS_MAX, pause)
        self.words = Budget(COMPARISONS_MAX, pause)
        self.reading = Budget(LINES_READ_MAX, pause)
        self.room = LINES_MAX
        """Lines that the hunks may still have."""

    def stop(self) -> None:
        """Lets a diff on another thread end soon: nobody waits for it."""
        for budget in (self.lines, self.words, self.reading):
            budget.stop()


def diff_parts(
    before: Mapping[str, str],
    after: Mapping[str, str],
    context_lines: int = CONTEXT_LINES,
    bounds: DiffBounds | None = None,
) -> tuple[DiffPart, ...]:
    """The parts that differ: content as it is in `before`, then in `after`; tags last."""
    bounds = bounds or DiffBounds()
    return tuple(
        _part(name, before.get(name), after.get(name), context_lines, bounds)
        for name in sorted(dict.fromkeys([*before, *after]), key=lambda name: name.startswith("tags."))
        if before.get(name) != after.get(name)
    )


def parts_of(fields: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, str]:
    """A version's content fields and tags as what is compared: messages one by one, JSON indented, tags by key."""
    parts: dict[str, str] = {}
    for name, text in fields.items():
        if name == "text":
            parts["template"] = text
        elif name == "syntax" or (name == "source" and "text" in fields):
            parts[name] = text
        elif name == "includes":
            parts[name] = "".join(f"{of}/{version}\n" for of, version, _ in json.loads(text))
        else:
            parts |= _of_json(name, text)
    return parts | {f"tags.{key}": tags[key] for key in sorted(tags)}


def _of_json(name: str, text: str) -> dict[str, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {name: text}
    if isinstance(value, list):
        return {f"{name}[{index}]": readable(item) for index, item in enumerate(value)}
    return {name: readable(value)}


def readable(value: object) -> str:
    """A chat message's words as such, under its role, and a placeholder's name; else indented JSON."""
    match value:
        case {"role": str(role), "content": str(content), **rest} if not rest:
            return f"{role}:\n{content}"
        case {"type": "placeholder", "name": str(name), **rest} if rest.keys() <= {"optional"}:
            return f"placeholder{' (optional)' if rest.get('optional') else ''}:\n{name}"
        case str():
            return value
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    # Versions of before it was refused may have half a surrogate pair in them.
    return text.encode(errors="backslashreplace").decode()


def _part(name: str, before: str | None, after: str | None, context_lines: int, bounds: DiffBounds) -> DiffPart:
    kind: PartKind = "added" if before is None else "removed" if after is None else "changed"
    before, after = before or "", after or ""
    if bounds.room <= 0 or not bounds.reading.spend(before.count("\n") + after.count("\n")):
        return DiffPart(name, kind, (), by_words=False, cut=True)
    left, right = _lines(before), _lines(after)
    pairs = align(left, right, bounds.lines)
    by_words = pairs is not None
    rows: list[DiffLine] = []
    i = j = changed = 0
    unused = context_lines + 1
    for next_i, next_j, equal in _runs(pairs or (), len(left), len(right)):
        if i < next_i or j < next_j:
            # One more than is kept, so that it shows that there is more.
            most = bounds.room + 1 - changed
            by_words &= _block(left[i : min(next_i, i + most)], right[j : min(next_j, j + most)], i, j, bounds, rows)
            changed += max(next_i - i, next_j - j)
        if changed > bounds.room:
            break
        # Of lines that neither side changed, those that may stand around a change, and two that part hunks.
        near: Iterable[int] = range(equal)
        if equal > 2 * context_lines + 2:
            near = chain(range(context_lines + 1), range(equal - context_lines - 1, equal))
        unused += min(max(0, equal - 2 * context_lines), 2)
        rows += (DiffLine(next_i + n + 1, next_j + n + 1, (DiffSegment("equal", left[next_i + n]),)) for n in near)
        if len(rows) - unused > bounds.room:
            break
        i, j = next_i + equal, next_j + equal
    hunks, cut = _hunks(rows, context_lines, bounds.room)
    bounds.room -= sum(len(hunk.lines) for hunk in hunks)
    return DiffPart(name, kind, hunks, by_words, cut)


def _runs(pairs: Sequence[tuple[int, int]], before: int, after: int) -> Iterator[tuple[int, int, int]]:
    """Where lines that both sides keep begin on either side, and how many follow each other; none at the end."""
    start = 0
    for index, (i, j) in enumerate(pairs, 1):
        if index == len(pairs) or pairs[index] != (i + 1, j + 1):
            yield *pairs[start], index - start
            start = index
    yield before, after, 0


def _lines(text: str) -> list[str]:
    """With their ends; only LF ends a line, a CR before it is part of the line's end."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _block(left: Sequence[str], right: Sequence[str], i: int, j: int, bounds: DiffBounds, rows: list[DiffLine]) -> bool:
    """Lines between two that are equal. Whether words were compared wherever both sides have lines."""
    compared, words = True, bounds.words
    at_left = at_right = 0
    for k, m in [*_couples(left, right, words), (len(left), len(right))]:
        rows += (DiffLine(i + n + 1, None, (DiffSegment("delete", left[n]),)) for n in range(at_left, k))
        rows += (DiffLine(None, j + n + 1, (DiffSegment("insert", right[n]),)) for n in range(at_right, m))
        if k < len(left) and m < len(right):
            segments = _segments(left[k], right[m], words)
            compared &= segments is not None
            if segments and _is_alike(segments):
                rows.append(DiffLine(i + k + 1, j + m + 1, segments))
            else:
                rows.append(DiffLine(i + k + 1, None, (DiffSegment("delete", left[k]),)))
                rows.append(DiffLine(None, j + m + 1, (DiffSegment("insert", right[m]),)))
        at_left, at_right = k + 1, m + 1
    return compared


def _couples(left: Sequence[str], right: Sequence[str], words: Budget) -> Iterator[tuple[int, int]]:
    """Which lines to compare: those that share most words, in order; where that takes too long, each with its
    counterpart.
    """
    if len(left) == len(right) == 1 or not left or not right:
        yield from zip(range(len(left)), range(len(right)), strict=False)
        return
    cost = (len(right) * sum(map(len, left)) + len(left) * sum(map(len, right))) // 4 + 20 * len(left) * len(right)
    if cost > words.left or max(map(len, (*left, *right))) > _WORDS_MAX_CHARS:
        yield from zip(range(len(left)), range(len(right)), strict=False)
        return
    words.spend(cost)
    bags = [_bag(line) for line in left], [_bag(line) for line in right]
    # best[k][m] is the most that can be shared by what follows line k on the left and m on the right.
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    alike = [[_share(one, other) for other in bags[1]] for one in bags[0]]
    for k in range(len(left) - 1, -1, -1):
        for m in range(len(right) - 1, -1, -1):
            best[k][m] = max(best[k + 1][m], best[k][m + 1], best[k + 1][m + 1] + alike[k][m])
    k = m = 0
    while k < len(left) and m < len(right):
        if alike[k][m] and best[k][m] == best[k + 1][m + 1] + alike[k][m]:
            yield k, m
            k, m = k + 1, m + 1
        elif best[k][m] == best[k + 1][m]:
            k += 1
        else:
            m += 1


def _bag(line: str) -> Counter[str]:
    return Counter(word for word in _WORD.findall(line) if not word.isspace())


def _share(one: Counter[str], other: Counter[str]) -> float:
    share = 2 * (one & other).total() / max(1, one.total() + other.total())
    return share if share >= _ALIKE else 0.0


def _segments(before: str, after: str, words: Budget) -> tuple[DiffSegment, ...] | None:
    """None when it would take too long."""
    chars = len(before) + len(after)
    if words.left < 0 or chars > _WORDS_MAX_CHARS or not words.spend(20 + chars // 4):
        return None
    left, right = _WORD.findall(before), _WORD.findall(after)
    pairs = align(left, right, words)
    if pairs is None:
        return None
    runs = [_Run()]
    i = j = 0
    for next_i, next_j in [*pairs, (len(left), len(right))]:
        if i < next_i or j < next_j:
            # A space between two changed words is no island: it goes with both.
            if runs[-1].changed and len(runs[-1].equal) == 1 and runs[-1].equal[0].isspace():
                runs[-1].absorb()
            elif runs[-1].equal:
                runs.append(_Run())
            runs[-1].deleted += left[i:next_i]
            runs[-1].inserted += right[j:next_j]
        runs[-1].equal += left[next_i : next_i + 1]
        i, j = next_i + 1, next_j + 1
    return tuple(segment for run in runs for segment in run.segments())


@dataclass(slots=True)
class _Run:
    """Words that changed, and those after them that did not."""

    deleted: list[str] = field(default_factory=list)
    inserted: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.deleted or self.inserted)

    def absorb(self) -> None:
        self.deleted += self.equal
        self.inserted += self.equal
        self.equal = []

    def segments(self) -> Iterator[DiffSegment]:
        kinds: tuple[tuple[SegmentKind, list[str]], ...] = (
            ("delete", self.deleted),
            ("insert", self.inserted),
            ("equal", self.equal),
        )
        return (DiffSegment(kind, "".join(words)) for kind, words in kinds if words)


def _is_alike(segments: Sequence[DiffSegment]) -> bool:
    """Whether enough is kept to be read as one line that changed; also when only its end or its spaces did."""
    kept = sum(len(segment.text.strip()) for segment in segments if segment.kind == "equal")
    before = sum(len(segment.text.strip()) for segment in segments if segment.kind != "insert")
    after = sum(len(segment.text.strip()) for segment in segments if segment.kind != "delete")
    return 2 * kept >= _ALIKE * (before + after)


def _hunks(rows: Sequence[DiffLine], context_lines: int, room: int) -> tuple[tuple[DiffHunk, ...], bool]:
    """At most so many lines of them; also whether some were cut."""
    spans: list[tuple[int, int]] = []
    for index, row in enumerate(rows):
        if row.changed:
            start, end = max(0, index - context_lines), min(len(rows), index + context_lines + 1)
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
    hunks = []
    for start, end in spans:
        if room <= 0:
            break
        hunks.append(DiffHunk(tuple(rows[start : min(end, start + room)])))
        room -= end - start
    return tuple(hunks), room < 0 or len(hunks) < len(spans)
