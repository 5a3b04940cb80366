"""LIKE and ILIKE, in steps: `%` is any text, `_` any character, a backslash takes the meaning of the next.

A pattern is cut at each `%` into segments, and each is looked for where the one before it ended; the first place is as
good as any. So a text is gone through once. A segment with `_` between other characters cannot be looked for as a text:
for each of its characters there is a bit set of the places where a part of the text has it, and these sets are shifted
and intersected, thousands of places at a time. No pattern costs more than a bounded number of set operations for each
part of a text; a backtracking matcher, or a regular expression with many `.*`, can take a power of it, in one go.
"""

from collections import defaultdict
from collections.abc import Generator, Iterator
from itertools import groupby
from typing import Final

Steps = Generator[int, None, bool]
"""The work of a test, done between its steps: each yields what it cost, in comparisons of short values."""

_PLACES_MIN: Final = 256
"""Places that are looked at together first; there are twice as many each time, since a segment is often found soon."""
_PLACES_MAX: Final = 1 << 14
_CODES: Final = 255
"""Different characters that one pass over a text can tell apart."""
_CHARS_A_UNIT: Final = 200
"""Characters that are looked through in the time of one comparison, about 0.2 us."""
_FOLDED_A_UNIT: Final = 100
_CODED_A_UNIT: Final = 4


class Pattern:
    """What a LIKE, or an ILIKE, has on its right side."""

    def __init__(self, text: str, *, ignores_case: bool = False) -> None:
        self._ignores_case = ignores_case
        self._first, *rest = [_Segment(characters, ignores_case) for characters in _segments(text)]
        self._middle = [segment for segment in rest[:-1] if segment.length]
        self._last = rest[-1] if rest else None
        self._least_chars = sum(segment.length for segment in (self._first, *rest))

    def matches(self, text: str) -> bool:
        """The same as `scan` without a pause."""
        steps = self.scan(text)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return bool(end.value)

    def scan(self, text: str) -> Steps:
        """Whether a text matches."""
        if self._ignores_case:
            yield len(text) // _FOLDED_A_UNIT
            text = _folded(text)
        if len(text) < self._least_chars or not self._first.is_at(text, 0):
            return False
        if self._last is None:
            return len(text) == self._least_chars
        end = len(text) - self._last.length
        if not self._last.is_at(text, end):
            return False
        place = self._first.length
        for segment in self._middle:
            found = yield from segment.find(text, place, end)
            if found < 0:
                return False
            place = found + segment.length
        return True


class _Segment:
    """What stands between two `%`; None is any character."""

    def __init__(self, characters: list[str | None], ignores_case: bool) -> None:
        if ignores_case:
            characters = [None if character is None else _folded(character) for character in characters]
        self.length = len(characters)
        self._runs: list[tuple[int, str]] = []
        """Texts between the `_`, and where in the segment each begins."""
        self._offsets: dict[str, list[int]] = defaultdict(list)
        place = 0
        for is_any, run in groupby(characters, lambda character: character is None):
            texts = list(run)
            if not is_any:
                self._runs.append((place, "".join(filter(None, texts))))
            place += len(texts)
        for offset, character in enumerate(characters):
            if character is not None:
                self._offsets[character].append(offset)

    def is_at(self, text: str, place: int) -> bool:
        return all(text.startswith(run, place + offset) for offset, run in self._runs)

    def find(self, text: str, place: int, end: int) -> Generator[int, None, int]:
        """Where it stands first, from a place on and wholly before `end`; -1 for nowhere."""
        last = end - self.length
        if place > last or not self._runs:
            return place if place <= last else -1
        if len(self._runs) == 1:
            offset, run = self._runs[0]
            found = text.find(run, place + offset, last + offset + len(run))
            yield ((found if found >= 0 else last) - place) // _CHARS_A_UNIT + 1
            return found - offset if found >= 0 else -1
        places = _PLACES_MIN
        while place <= last:
            places = min(places, last - place + 1)
            found = yield from self._find_among(text[place : place + places + self.length - 1], places)
            if found >= 0:
                return place + found
            place, places = place + places, min(2 * places, _PLACES_MAX)
        return -1

    def _find_among(self, part: str, places: int) -> Generator[int, None, int]:
        """The first of so many places in a part of a text that it stands at; -1 for none. Bit n is place n."""
        left = (1 << places) - 1
        characters = list(self._offsets)
        for first in range(0, len(characters), _CODES):
            coded = characters[first : first + _CODES]
            codes = _Codes({ord(character): code for code, character in enumerate(coded, 1)})
            yield len(part) // _CODED_A_UNIT
            data = part.translate(codes).encode("latin-1")[::-1]
            for code, character in enumerate(coded, 1):
                has = int(data.translate(b"0" * code + b"1" + b"0" * (_CODES - code)), 2)
                for count, offset in enumerate(self._offsets[character], 1):
                    left &= has >> offset
                    if not count % 64:
                        yield len(part) // _CHARS_A_UNIT + 32
                yield len(part) // _FOLDED_A_UNIT
                if not left:
                    return -1
        return (left & -left).bit_length() - 1


class _Codes(dict[int, int]):
    """A character's code for str.translate; 0 for those that a segment has not."""

    def __missing__(self, character: int) -> int:
        self[character] = 0
        return 0


def literal_prefix(pattern: str) -> tuple[str, bool]:
    """What every text that matches begins with, and whether that is all that it is."""
    prefix = ""
    first, *rest = _segments(pattern)
    for character in first:
        if character is None:
            return prefix, False
        prefix += character
    return prefix, not rest


def _segments(pattern: str) -> Iterator[list[str | None]]:
    segment: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            yield segment
            segment = []
        elif character == "_":
            segment.append(None)
        else:
            segment.append(next(characters, "\\") if character == "\\" else character)
    yield segment


def _folded(text: str) -> str:
    """In lower case, character by character: a text stays as long as it is."""
    return text.replace("\u0130", "i").lower().replace("\u03c2", "\u03c3")
