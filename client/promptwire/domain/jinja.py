"""Jinja2 templates, of a subset in which whoever wrote the template can neither reach out nor take long.

docs/templates.md has the subset. A text is read into Jinja2's syntax tree (jinja_parsing), checked (jinja_subset) and
rendered by walking it (jinja_rendering) within a budget (jinja_budget). Needs the package jinja2, which `promptwire`
alone does not bring.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final, NoReturn

from jinja2 import nodes

from promptwire.domain.jinja_budget import Budget
from promptwire.domain.jinja_parsing import TOKENS_MAX, parse
from promptwire.domain.jinja_rendering import render
from promptwire.domain.jinja_subset import check_tree
from promptwire.domain.template import MissingVariablesError, RenderingError, TemplateError

__all__ = ["Budget", "JinjaPrompt", "JinjaTemplate"]

_CACHE_MAX_BYTES: Final = 32 << 20
_TOKEN_BYTES: Final = 250
"""About what a tree takes for each token; its texts come on top."""


class JinjaPrompt:
    """Makes the templates of one prompt's texts, which are bounded together."""

    def __init__(self) -> None:
        self._tokens = 0

    def template(self, text: str) -> "JinjaTemplate":
        """Raises TemplateError."""
        made = JinjaTemplate(text)
        self._tokens += made.tokens
        if self._tokens > TOKENS_MAX:
            raise TemplateError(f"a prompt's texts have more than {TOKENS_MAX:,} words and signs of Jinja2", 1, 1)
        return made


class JinjaTemplate:
    """A template that was read once. Raises TemplateError when it is none, or outside of the subset."""

    __slots__ = ("_text", "tokens", "variables")

    def __init__(self, text: str) -> None:
        checked = _trees.get(text)
        self._text = text
        self.tokens = checked.tokens
        self.variables = checked.variables

    def render(self, values: Mapping[str, object], budget: Budget | None = None) -> str:
        """Raises MissingVariablesError for the first value that was needed and is not there, RenderingError for any
        other failure: a value of the wrong kind, too much work. A prompt's texts share one budget.
        """
        try:
            return render(_trees.get(self._text).tree, values, budget or Budget())
        except (MissingVariablesError, RenderingError):
            raise
        except Exception as error:
            raise RenderingError(str(error) or type(error).__name__) from error

    def partly(self, values: Mapping[str, object]) -> NoReturn:
        raise RenderingError("Jinja2 templates cannot be filled in partly")

    @property
    def text(self) -> str:
        return self._text

    def single_braced(self) -> NoReturn:
        raise RenderingError("Jinja2 templates have no single-brace form")


@dataclass(frozen=True, slots=True)
class _Checked:
    tree: nodes.Template
    variables: tuple[str, ...]
    tokens: int
    size_bytes: int


class _Trees:
    """Trees by their texts: those used last, up to a size in all."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, _Checked] = OrderedDict()
        self._size_bytes = 0

    def get(self, text: str) -> _Checked:
        """Raises TemplateError."""
        with self._lock:
            if kept := self._kept.get(text):
                self._kept.move_to_end(text)
                return kept
        tree, tokens = parse(text)
        made = _Checked(tree, check_tree(text, tree), tokens, 8 * len(text) + tokens * _TOKEN_BYTES)
        with self._lock:
            if text not in self._kept:
                self._kept[text] = made
                self._size_bytes += made.size_bytes
            while self._size_bytes > _CACHE_MAX_BYTES:
                self._size_bytes -= self._kept.popitem(last=False)[1].size_bytes
        return made


_trees: Final = _Trees()
