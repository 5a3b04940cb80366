"""Text templates: `{{variable}}` is replaced, everything else stays as it is.

A placeholder is two braces, a name, two braces, with spaces allowed inside; a name is an identifier, followed by
identifiers and numbers with dots between them. Braces around anything else are text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from promptwire.domain.attributes import NOTHING, attribute

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]{1,9}))*)\s*\}\}")
_FEW_PLACES: Final = 100
"""Up to so many, what a template makes is a small multiple of what it is given."""


OUTPUT_MAX_CHARS: Final = 16 << 20
"""Largest size of what a prompt makes, where a template could multiply what it is given."""


class TemplateError(ValueError):
    """A text is no template; `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


class RenderingError(Exception):
    """A template cannot be filled in, for another reason than a missing value."""


class MissingVariablesError(KeyError):
    """Values are missing; `names` has them in the order of the template."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class TextLike(Protocol):
    """A text to be filled in."""

    variables: tuple[str, ...]

    def render(self, values: Mapping[str, object], budget: Any = None) -> str:
        """Raises MissingVariablesError and RenderingError. The texts of a prompt share a budget, if they need one."""
        ...

    def partly(self, values: Mapping[str, object]) -> "TextLike":
        """The rest, to be rendered later. Raises RenderingError where there is no such thing."""
        ...

    @property
    def text(self) -> str:
        """As it was written, but for spaces in `{{variable}}`."""
        ...

    def single_braced(self) -> str:
        """With `{variable}` for `{{variable}}`. Raises RenderingError where there is no such thing."""
        ...


def variables_in(text: str) -> tuple[str, ...]:
    """Those of a TextTemplate, without taking it apart."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


class TextTemplate:
    """A template taken apart once, so that rendering is one join."""

    __slots__ = ("_dotted", "_only", "_parts", "_places", "variables")

    def __init__(self, text: str) -> None:
        # re.split with one group alternates literal, variable, literal, ... and always ends in a literal.
        self._parts = _PLACEHOLDER.split(text)
        self._places = tuple((index, self._parts[index]) for index in range(1, len(self._parts), 2))
        self._note_variables(self._places)

    def _note_variables(self, places: tuple[tuple[int, str], ...]) -> None:
        self._places = places
        self.variables = tuple(dict.fromkeys(name for _, name in places))
        self._dotted = tuple(name for name in self.variables if "." in name)
        self._only = tuple(self._parts) if len(self._parts) == 3 and places and not self._dotted else None

    def render(self, values: Mapping[str, object], budget: object = None) -> str:
        """Values in one pass: a value that looks like a placeholder is not expanded again. Others than str go
        through str().

        The value of `user.name` is that of this very key, or else what `user` has under `name`: an entry of a mapping,
        or a public attribute, see domain.attributes; `items.0` is an item of a list or tuple. Raises
        MissingVariablesError, and RenderingError for a text that is too long.
        """
        if self._only:
            before, name, after = self._only
            try:
                value = values[name]
            except KeyError:
                raise MissingVariablesError((name,)) from None
            return f"{before}{value if value.__class__ is str else str(value)}{after}"
        if self._dotted:
            values = self._with_dotted(values)
        parts = self._parts.copy()
        try:
            for index, name in self._places:
                value = values[name]
                parts[index] = value if value.__class__ is str else str(value)
        except KeyError:
            missing = tuple(name for name in self.variables if name not in values)
            if not missing:  # a value's own, out of its __str__
                raise
            raise MissingVariablesError(missing) from None
        if len(self._places) > _FEW_PLACES:
            check_output(sum(map(len, parts)))
        return "".join(parts)

    def partly(self, values: Mapping[str, object]) -> "TextTemplate":
        """The rest, to be rendered later: values that are there are literals in it, whatever they look like."""
        values = self._with_dotted(values)
        rest = TextTemplate("")
        rest._parts = [*self._parts]
        for index, name in self._places:
            rest._parts[index] = str(values[name]) if name in values else name
        rest._note_variables(tuple((index, name) for index, name in self._places if name not in values))
        return rest

    @property
    def text(self) -> str:
        """With placeholders, as it was written but for spaces in them."""
        parts = self._parts.copy()
        for index, name in self._places:
            parts[index] = f"{{{{{name}}}}}"
        return "".join(parts)

    def single_braced(self) -> str:
        """With `{variable}` for `{{variable}}`, as str.format takes it: it makes the same of it as `render`.

        Raises RenderingError where str.format would take something else for a field, or walk into a value.
        """
        filled = dict(self._places)
        if any(brace in part for index, part in enumerate(self._parts) if index not in filled for brace in "{}"):
            raise RenderingError("the text has braces of its own, which str.format would take for fields")
        if self._dotted:
            raise RenderingError(f"{self._dotted[0]} has a dot, by which str.format would reach into a value")
        parts = self._parts.copy()
        for index, name in self._places:
            parts[index] = f"{{{name}}}"
        return "".join(parts)

    def as_f_string(self) -> str:
        """With `{variable}` for `{{variable}}`, and other braces doubled: what str.format makes the same of."""
        parts = [part.replace("{", "{{").replace("}", "}}") for part in self._parts]
        for index, name in self._places:
            parts[index] = f"{{{name}}}"
        return "".join(parts)

    def _with_dotted(self, values: Mapping[str, object]) -> Mapping[str, object]:
        found = dict(values)
        for name in self._dotted:
            if name not in found and (value := _inside(values, name)) is not NOTHING:
                found[name] = value
        return found


def check_output(chars: int) -> None:
    """Raises RenderingError for more than a prompt may make."""
    if chars > OUTPUT_MAX_CHARS:
        raise RenderingError(f"makes more than {OUTPUT_MAX_CHARS:,} characters; got {chars:,}")


def _inside(values: Mapping[str, object], path: str) -> object:
    first, *names = path.split(".")
    value: Any = values.get(first, NOTHING)
    for name in names:
        if isinstance(value, list | tuple) and name.isdecimal():
            value = value[int(name)] if int(name) < len(value) else NOTHING
        else:
            value = attribute(value, name)
        if value is NOTHING:
            return value
    return value
