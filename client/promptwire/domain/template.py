"""Text templates: `{{variable}}` is replaced, everything else stays as it is.

A placeholder is two braces, an identifier, two braces, with spaces allowed inside; braces around anything else are
text.
"""

import re
from collections.abc import Mapping
from typing import Final

_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


class MissingVariablesError(KeyError):
    """Values are missing; `names` has them in the order of the template."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class TextTemplate:
    """A template taken apart once, so that rendering is one join."""

    __slots__ = ("_parts", "_places", "variables")

    def __init__(self, text: str) -> None:
        # re.split with one group alternates literal, variable, literal, ... and always ends in a literal.
        self._parts: Final = _PLACEHOLDER.split(text)
        self._places: Final = tuple((index, self._parts[index]) for index in range(1, len(self._parts), 2))
        self.variables: Final = tuple(dict.fromkeys(name for _, name in self._places))

    def render(self, values: Mapping[str, object]) -> str:
        """Values in one pass: a value that looks like a placeholder is not expanded again. Others than str go
        through str().

        Raises MissingVariablesError.
        """
        parts = self._parts.copy()
        try:
            for index, name in self._places:
                value = values[name]
                parts[index] = value if value.__class__ is str else str(value)
        except KeyError:
            raise MissingVariablesError(tuple(name for name in self.variables if name not in values)) from None
        return "".join(parts)
