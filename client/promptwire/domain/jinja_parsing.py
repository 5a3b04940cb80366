"""Reads Jinja2 into Jinja2's own syntax tree, in time and memory that are bounded before any of it is read.

Jinja2's lexer takes 0.4 s for a megabyte of prose, in one step that nothing else can interrupt, so that tokens are
made here: text between tags costs next to nothing. Tokens and nodes have their offset in the text for a line number.
"""

import re
from ast import literal_eval
from collections.abc import Iterator
from typing import Any, Final, NoReturn, cast

from jinja2 import TemplateSyntaxError, lexer, nodes
from jinja2.environment import Environment
from jinja2.parser import Parser

from promptwire.domain.template import TemplateError

TOKENS_MAX: Final = 5_000
"""Largest number of tokens of a prompt, texts between its tags included: the largest published ones have 1,200."""
TOKEN_MAX_CHARS: Final = 10_000
"""Largest size of a token within a tag, e.g. of a text in quotes."""
BRACKETS_MAX: Final = 16
"""Deepest nesting of brackets, which the parser follows by recursion."""

_TAG: Final = re.compile(r"\{([{%#])")
_SPACE: Final = re.compile(r"\s*")
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\s*(-%\}\s*|%\})")
_END_OF_RAW: Final = re.compile(r"\{%([-+]?)\s*endraw\s*(?:\+%\}|-%\}\s*|%\})")
_ENDS: Final = {"{": re.compile(r"-\}\}\s*|\}\}"), "%": re.compile(r"[+]%\}|-%\}\s*|%\}")}
_KINDS: Final = {"{": "variable", "%": "block"}
_TOKEN: Final = re.compile(
    "|".join(
        f"(?P<{kind}>{expression.pattern})"
        for kind, expression in {
            lexer.TOKEN_FLOAT: lexer.float_re,
            lexer.TOKEN_INTEGER: lexer.integer_re,
            lexer.TOKEN_NAME: lexer.name_re,  # type: ignore[attr-defined]
            lexer.TOKEN_STRING: lexer.string_re,
            lexer.TOKEN_OPERATOR: lexer.operator_re,
        }.items()
    ),
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_QUOTES: Final = ("'", '"')


def parse(text: str) -> tuple[nodes.Template, int]:
    """The tree, and how many tokens it was made of. Raises TemplateError."""
    tokens = _Tokens(text)
    try:
        return Parser(cast(Environment, tokens), text).parse(), tokens.count
    except TemplateSyntaxError as error:
        raise error_at(text, error.lineno, str(error.message).rstrip(".")) from error
    except RecursionError as error:
        raise TemplateError("is nested too deep", 1, 1) from error


def error_at(text: str, offset: int, problem: str) -> TemplateError:
    text = _with_newlines(text)
    return TemplateError(problem, text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class _Tokens:
    """Stands in for Jinja2's environment towards its parser."""

    def __init__(self, text: str) -> None:
        self._text = _with_newlines(text)
        self._at = 0
        self.count = 0

    def _tokenize(self, *_: object) -> lexer.TokenStream:
        return lexer.TokenStream(self._counted(), None, None)

    def iter_extensions(self) -> Iterator[Any]:
        return iter(())

    def _counted(self) -> Iterator[lexer.Token]:
        for token in self._read():
            self.count += 1
            if self.count > TOKENS_MAX:
                self._fail(token.lineno, f"has more than {TOKENS_MAX:,} words, signs and texts between tags")
            yield token

    def _read(self) -> Iterator[lexer.Token]:
        text = self._text
        while tag := _TAG.search(text, self._at):
            start, kind = tag.start(), tag[1]
            sign = text[start + 2 : start + 3]
            yield self._data(self._at, start, sign)
            if kind == "#":
                self._at = self._after_comment(start + (3 if sign in ("-", "+") else 2))
            elif kind == "%" and (raw := _RAW.match(text, start)):
                end = _END_OF_RAW.search(text, raw.end())
                if end is None:
                    self._fail(start, "Missing end of raw directive")
                yield self._data(raw.end(), end.start(), end[1])
                self._at = end.end()
            else:
                yield lexer.Token(start, f"{_KINDS[kind]}_begin", text[start : start + 2])
                self._at = start + (3 if sign and sign in "-+" else 2)
                yield from self._tag(_ENDS[kind], f"{_KINDS[kind]}_end")
        yield self._data(self._at, len(text))
        yield lexer.Token(len(text), lexer.TOKEN_DATA, "")

    def _data(self, start: int, end: int, sign: str = "") -> lexer.Token:
        data = self._text[start:end]
        return lexer.Token(start, lexer.TOKEN_DATA, data.rstrip() if sign == "-" else data)

    def _after_comment(self, begin: int) -> int:
        end = self._text.find("#}", begin)
        if end < 0:
            self._fail(begin, "Missing end of comment tag")
        return self._after_space(end + 2) if end > begin and self._text[end - 1] == "-" else end + 2

    def _after_space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _tag(self, end: re.Pattern[str], end_kind: str) -> Iterator[lexer.Token]:
        """The tokens of one tag, which ends where no bracket is open."""
        text = self._text
        open_brackets: list[str] = []
        while True:
            at = self._after_space(self._at)
            if not open_brackets and (match := end.match(text, at)):
                self._at = match.end()
                yield lexer.Token(at, end_kind, match[0])
                return
            # Not looking further than a token may be long bounds what the expression can do.
            match = _TOKEN.match(text, at, at + TOKEN_MAX_CHARS)
            if match is None:
                self._fail_at(at)
            raw = match[0]
            if raw in _CLOSING:
                open_brackets.append(_CLOSING[raw])
                if len(open_brackets) > BRACKETS_MAX:
                    self._fail(at, f"is nested too deep: more than {BRACKETS_MAX} open brackets")
            elif raw in (")", "]", "}") and (not open_brackets or open_brackets.pop() != raw):
                self._fail(at, f"unexpected {raw!r}")
            self._at = match.end()
            yield self._token(at, str(match.lastgroup), raw)

    def _token(self, at: int, kind: str, raw: str) -> lexer.Token:
        if kind == lexer.TOKEN_OPERATOR:
            return lexer.Token(at, lexer.operators[raw], raw)
        value: Any = raw
        try:
            if kind == lexer.TOKEN_NAME:
                if not raw.isidentifier():
                    self._fail(at, "Invalid character in identifier")
            elif kind == lexer.TOKEN_STRING:
                value = raw[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")
            elif kind == lexer.TOKEN_INTEGER:
                value = int(raw.replace("_", ""), 0)
            else:
                value = literal_eval(raw.replace("_", ""))
        except (ValueError, SyntaxError) as error:
            raise error_at(self._text, at, f"{raw[:20]!r} is no {kind} that can be read") from error
        return lexer.Token(at, kind, value)

    def _fail_at(self, at: int) -> NoReturn:
        if at == len(self._text):
            self._fail(at, "unexpected end of template")
        ends = f"; a text in quotes has an end, and at most {TOKEN_MAX_CHARS:,} characters"
        char = self._text[at]
        self._fail(at, f"unexpected char {char!r}{ends if char in _QUOTES else ''}")

    def _fail(self, at: int, problem: str) -> NoReturn:
        raise error_at(self._text, at, problem)
