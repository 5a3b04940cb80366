"""Text templates: `{{variable}}` is replaced, everything else stays as it is.

A placeholder is two braces, a name, two braces, with spaces allowed inside; a name is identifiers with dots between
them. Braces around anything else are text.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")


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

    def render(self, values: Mapping[str, object]) -> str:
        """Raises MissingVariablesError and RenderingError."""
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

    __slots__ = ("_dotted", "_parts", "_places", "variables")

    def __init__(self, text: str) -> None:
        # re.split with one group alternates literal, variable, literal, ... and always ends in a literal.
        self._parts = _PLACEHOLDER.split(text)
        self._places = tuple((index, self._parts[index]) for index in range(1, len(self._parts), 2))
        self.variables = tuple(dict.fromkeys(name for _, name in self._places))
        self._dotted = tuple(name for name in self.variables if "." in name)

    def render(self, values: Mapping[str, object]) -> str:
        """Values in one pass: a value that looks like a placeholder is not expanded again. Others than str go
        through str().

        The value of `user.name` is that of this very key, or else what `user` has under `name`: an entry of a mapping,
        an attribute of anything else that does not begin with an underscore. Raises MissingVariablesError.
        """
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
        return "".join(parts)

    def partly(self, values: Mapping[str, object]) -> "TextTemplate":
        """The rest, to be rendered later: values that are there are literals in it, whatever they look like."""
        values = self._with_dotted(values)
        rest = TextTemplate("")
        rest._parts = [*self._parts]
        for index, name in self._places:
            rest._parts[index] = str(values[name]) if name in values else name
        rest._places = tuple((index, name) for index, name in self._places if name not in values)
        rest.variables = tuple(name for name in self.variables if name not in values)
        rest._dotted = tuple(name for name in self._dotted if name not in values)
        return rest

    @property
    def text(self) -> str:
        """With placeholders, as it was written but for spaces in them."""
        parts = self._parts.copy()
        for index, name in self._places:
            parts[index] = f"{{{{{name}}}}}"
        return "".join(parts)

    def single_braced(self) -> str:
        """With `{variable}` for `{{variable}}`, as str.format and others have it; other braces stay."""
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
            if name not in found and (value := _inside(values, name)) is not _NOTHING:
                found[name] = value
        return found


_NOTHING: Final = object()


def _inside(values: Mapping[str, object], path: str) -> object:
    value: object = values
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name, _NOTHING)
        else:
            value = _NOTHING if name.startswith("_") else getattr(value, name, _NOTHING)
        if value is _NOTHING:
            return value
    return value
