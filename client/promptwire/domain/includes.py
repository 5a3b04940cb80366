"""`{{> prompts:/name@alias }}` in a template: another prompt's text goes there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire.domain.content import Include
from promptwire.domain.references import Reference, parse_reference
from promptwire.domain.template import TemplateError
from promptwire.domain.violations import InvalidValueError

INCLUDES_MAX: Final = 100
"""In one template."""
DEPTH_MAX: Final = 8
"""Of includes within includes."""

_INCLUDE: Final = re.compile(r"\{\{>[^\S\n]*([^\s{}]*)[^\S\n]*(\}\})?")


@dataclass(frozen=True, slots=True)
class Place:
    """An include and where it begins, from 1."""

    reference: Reference
    line: int
    column: int


def places_in(text: str) -> Iterator[Place]:
    """What a text includes, in order. Raises TemplateError for `{{>` without a reference, and for too many."""
    for count, match in enumerate(_INCLUDE.finditer(text), 1):
        if count > INCLUDES_MAX:
            raise _error(text, match.start(), f"includes more than {INCLUDES_MAX} prompts")
        if not match[2]:
            raise _error(text, match.start(), "an include is {{> prompts:/name@alias }}, and has to end in }}")
        try:
            reference = parse_reference(match[1], "include")
        except InvalidValueError as error:
            raise _error(text, match.start(1), str(error.violation)) from error
        yield Place(reference, *_place(text, match.start()))


def without(text: str) -> str:
    """With spaces where it includes something, so that places in it stay where they are."""
    return _INCLUDE.sub(lambda match: " " * len(match[0]), text)


def replaced(text: str, texts: Mapping[Reference, str]) -> str:
    """With the texts in place of what `places_in` told."""
    return _INCLUDE.sub(lambda match: texts[parse_reference(match[1])], text)


def pinned(text: str, includes: Sequence[Include]) -> str:
    """A source, text or JSON, with the versions that its includes were pinned to: one for each reference, in order."""
    references = dict.fromkeys(parse_reference(match[1]) for match in _INCLUDE.finditer(text))
    numbers = {
        reference: Reference(reference.name, include.version)
        for reference, include in zip(references, includes, strict=True)
    }
    return _INCLUDE.sub(lambda match: f"{{{{> {numbers[parse_reference(match[1])]} }}}}", text)


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _error(text: str, offset: int, problem: str) -> TemplateError:
    return TemplateError(problem, *_place(text, offset))
