"""Characters that a reader of a text does not see: a model may follow what they spell, and a reviewer misses it.

Marks that the writing of a language or an emoji needs are not hidden where they stand as that needs them: joiners after
a letter of Arabic or of an Indic script, variation selectors after what they vary, tags in the flag of a region.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

# C0 and C1 controls but tab and line ends, DEL, lone surrogates, and separators that some programs take for line ends.
_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
# Marks that reorder text (Trojan Source, CVE-2021-42574).
_BIDI: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# What has no width or no glyph, by Unicode's Default_Ignorable_Code_Point, and the interlinear annotations.
_INVISIBLE: Final = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff"
    r"\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)

_JOINED: Final = (
    r"\u0600-\u0619\u061d-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u17b3\u17b6-\u17ff\u1820-\u18af\u1b00-\u1bff"
)
_EMOJI: Final = r"\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_VARIED: Final = r"\u1000-\u109f\u2200-\u2aff\u3000-\u303f\ua840-\ua87f\uff00-\uffef"
_IDEOGRAPHS: Final = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CANDIDATE: Final = re.compile(rf"[{_CONTROLS}{_BIDI}{_INVISIBLE}]|\r(?!\n)")
_NEEDED: Final = re.compile(
    "|".join(
        (
            rf"(?<=[{_JOINED}])[\u200c\u200d]",
            rf"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])",
            rf"(?<=[{_EMOJI}0-9#*])[\ufe0e\ufe0f]",
            rf"(?<=[{_VARIED}{_IDEOGRAPHS}])[\ufe00-\ufe0d]",
            rf"(?<=[{_IDEOGRAPHS}])[\U000e0100-\U000e01ef]",
            r"(?<=[\u1820-\u18af])[\u180b-\u180f]",
            r"(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f",
        )
    )
)
COUNT_MAX: Final = 1_000
"""How many hidden characters of a text are counted."""
EXAMINED_MAX: Final = 20_000
"""How many marks of a text `find_hidden` examines: some 20 ms of work, also for a text that is full of them."""


@dataclass(frozen=True, slots=True)
class HiddenText:
    """The hidden characters of one text."""

    count: int
    first: str
    """The first of them."""
    line: int
    """Where that is, from 1."""
    column: int

    def __str__(self) -> str:
        name = unicodedata.name(self.first, "CONTROL CHARACTER")
        more = f" and {'at least ' if self.count == COUNT_MAX else ''}{self.count - 1:,} more" if self.count > 1 else ""
        return f"line {self.line}, column {self.column}: U+{ord(self.first):04X} {name}{more}, which readers do not see"


def find_hidden(text: str) -> HiddenText | None:
    """Returns what is hidden in a text, among its first EXAMINED_MAX marks; None if nothing is."""
    found = list(islice(_hidden(text, EXAMINED_MAX), COUNT_MAX))
    if not found:
        return None
    at = found[0].start()
    return HiddenText(
        count=len(found), first=text[at], line=text.count("\n", 0, at) + 1, column=at - text.rfind("\n", 0, at)
    )


def show_hidden(text: str, show: Callable[[str], str]) -> str:
    """Returns a text in which `show` has replaced each hidden character. Line ends and tabs are left alone."""
    shown: list[str] = []
    at = 0
    for match in _hidden(text, len(text)):
        shown += (text[at : match.start()], show(match[0]))
        at = match.end()
    return "".join((*shown, text[at:])) if shown else text


def _hidden(text: str, most: int) -> Iterator[re.Match[str]]:
    at = 0
    for _ in range(most):
        match = _CANDIDATE.search(text, at)
        if match is None:
            return
        needed = _NEEDED.match(text, match.start())
        at = (needed or match).end()
        if not needed:
            yield match
