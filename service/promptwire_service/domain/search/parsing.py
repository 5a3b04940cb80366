"""Reads filters and orders. What cannot be read is refused with the column where that shows."""

import difflib
import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, VisitError
from lark.lark import PostLex

from promptwire.domain import limits
from promptwire.domain.violations import Violation, shape
from promptwire_service.domain.search.expressions import (
    EVERYTHING,
    And,
    Compare,
    Expression,
    Field,
    In,
    IsNull,
    Like,
    Not,
    Operator,
    Or,
    Value,
)
from promptwire_service.domain.search.fields import (
    COMPARES_WITH,
    PROMPTS,
    VERSIONS,
    FieldType,
    Kind,
    Subject,
    converted,
)
from promptwire_service.domain.search.ordering import OrderKey

NESTING_MAX: Final = 50
TOKENS_MAX: Final = 2_500
"""Words, values and signs of a filter, which take up to 10 us each to be read."""
CONDITIONS_MAX: Final = 500
"""Each is tested for every candidate."""
LIKES_MAX: Final = 20
"""Each goes through a whole text, of up to 1 MiB."""
_PARSED_MAX: Final = 32
_NUMBER_MAX_CHARS: Final = 40

_IN_WORDS: Final = {
    "OPERATOR": "= != < <= > >=",
    "STRING": "a text in quotes",
    "NUMBER": "a number",
    "BOOLEAN": "true or false",
    "FIELD": "a field",
    "LPAR": "'('",
    "RPAR": "')'",
    "COMMA": "','",
    "LIKE": "LIKE or ILIKE",
    "$END": "the end",
}


_SUBJECTS: Final = {subject.name: subject for subject in (VERSIONS, PROMPTS)}


class FilterError(Exception):
    """What is written cannot be meant; `position` is the character where that shows, counted from 0."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position
        self.problem = problem


def parse_filter(text: str, subject: Subject) -> Expression | Violation:
    """An empty filter is EVERYTHING."""
    return _parsed_filter(text, subject.name)


@lru_cache(_PARSED_MAX)  # since each page of a search brings its filter again
def _parsed_filter(text: str, subject_name: str) -> Expression | Violation:
    if not text.strip():
        return EVERYTHING
    try:
        return cast(Expression, _parse(text, "filter", _SUBJECTS[subject_name]))
    except FilterError as error:
        return _violation("filter", text, error)


def parse_order(texts: Sequence[str], subject: Subject) -> tuple[OrderKey, ...] | Violation:
    """Each text is one key or several with commas between them."""
    keys: list[OrderKey] = []
    for index, text in enumerate(texts):
        field = f"order_by[{index}]"
        try:
            keys += cast(list[OrderKey], _parse(text, "order", subject))
        except FilterError as error:
            return _violation(field, text, error)
    if len(keys) > limits.ORDER_KEYS_MAX:
        return Violation("order_by", f"must be at most {limits.ORDER_KEYS_MAX} keys; got {len(keys)}")
    return tuple(keys)


def _violation(field: str, text: str, error: FilterError) -> Violation:
    before = text[: error.position]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    place = f"column {column}" if "\n" not in text.strip() else f"line {line}, column {column}"
    return Violation(field, f"{place}: {error.problem}")


def _parse(text: str, start: str, subject: Subject) -> object:
    try:
        tree = _grammar().parse(text, start=start)
        return _Builder(subject).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    except UnexpectedCharacters as error:
        position = cast(int, error.pos_in_stream)
        raise FilterError(position, _unreadable(text[position:])) from None
    except UnexpectedToken as error:
        ended = error.token.type == "$END"
        position = len(text.rstrip()) if ended else error.token.start_pos or 0
        raise FilterError(position, _unexpected(error.token, set(error.accepts) or error.expected)) from None
    except UnexpectedEOF as error:
        raise FilterError(len(text), _unexpected(None, set(map(str, error.expected)))) from None


def _unreadable(rest: str) -> str:
    match rest[0]:
        case "'" | '"' | "`" as quote:
            return f"this {quote} is never closed; inside a text, write it twice"
        case ";":
            return "a filter is one expression, without ';'"
    if rest[0].isdigit() or rest[0] in "+-":
        return f"{shape(rest.split(maxsplit=1)[0])} is not a number; a text stands in quotes"
    return f"{shape(rest[0])} cannot stand here"


def _unexpected(token: Token | None, expected: set[str]) -> str:
    words = ", ".join(sorted(dict.fromkeys(_IN_WORDS.get(one, one.strip("_")) for one in expected)))
    if token is None or token.type == "$END":
        return f"it ends where one of these should follow: {words}"
    if token.type == "FIELD" and token.upper() == "ORDER":
        return "an order is not part of the filter; it has a field of its own, order_by"
    if token.type == "FIELD" and "STRING" in expected:
        return f"found {shape(str(token))} where a value was expected; a text stands in quotes: '{token}'"
    return f"found {shape(str(token))} where one of these was expected: {words}"


@cache
def _grammar() -> Lark:
    text = files(__package__).joinpath("filter.lark").read_text()
    return Lark(text, start=["filter", "order"], parser="lalr", postlex=_Bounded())


class _Bounded(PostLex):
    """Refuses what is nested deeper than a walk through its tree should go, or too much to be read or tested."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = nots = 0
        counts = {"FIELD": 0, "LIKE": 0}
        for number, token in enumerate(stream, 1):
            counts[token.type] = counts.get(token.type, 0) + 1
            for count, most, what in (
                (number, TOKENS_MAX, "words, values and signs"),
                (counts["FIELD"], CONDITIONS_MAX, "conditions"),
                (counts["LIKE"], LIKES_MAX, "LIKEs and ILIKEs"),
            ):
                if count > most:
                    raise FilterError(token.start_pos or 0, f"has more than {most:,} {what}")
            depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            nots = nots + 1 if token.type == "NOT" else 0
            if max(depth, nots) > NESTING_MAX:
                raise FilterError(token.start_pos or 0, f"is nested deeper than {NESTING_MAX} parentheses, or NOTs")
            yield token


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Turns what lark read into expressions of one subject."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(visit_tokens=False)
        self._subject = subject

    def filter(self, expression: Expression) -> Expression:
        return expression

    def order(self, *keys: OrderKey) -> list[OrderKey]:
        return list(keys)

    def or_(self, *parts: Expression) -> Expression:
        return Or(tuple(inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))))

    def and_(self, *parts: Expression) -> Expression:
        return And(tuple(inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))))

    def not_(self, _: Token, part: Expression) -> Expression:
        return _negated(part)

    def comparison(self, name: Token, sign: Token, written: Token) -> Expression:
        field, kind = self._field(name)
        value = _value(written, kind.kind, name)
        if kind.kind in (Kind.TEXTS, Kind.BOOLEAN) and sign not in ("=", "==", "!=", "<>"):
            raise FilterError(sign.start_pos or 0, f"{name} is compared with = or !=, not {sign}")
        if sign in ("!=", "<>"):
            return Not(Compare(field, "=", value))
        return Compare(field, cast(Operator, "=" if sign == "==" else str(sign)), value)

    def like(self, name: Token, *rest: Token) -> Expression:
        field, kind = self._field(name)
        word, written = rest[-2:]
        if kind.kind not in (Kind.TEXT, Kind.TEXTS, Kind.TAG):
            raise FilterError(word.start_pos or 0, f"{name} is no text, which {word.upper()} is for")
        expression = Like(field, _unquoted(written), ignores_case=word.upper() == "ILIKE")
        return _negated(expression) if len(rest) == 3 else expression

    def in_(self, name: Token, *rest: Token) -> Expression:
        field, kind = self._field(name)
        negative = rest[0].type == "NOT"
        expression = In(field, tuple(_value(one, kind.kind, name) for one in rest[2 if negative else 1 :]))
        return _negated(expression) if negative else expression

    def is_null(self, name: Token, *words: Token) -> Expression:
        field, _ = self._field(name)
        return _negated(IsNull(field)) if len(words) == 3 else IsNull(field)

    def key(self, name: Token, direction: Token | None = None) -> OrderKey:
        field, kind = self._field(name)
        if not kind.sortable:
            raise FilterError(name.start_pos or 0, f"results cannot be ordered by {name}")
        return OrderKey(field, descending=direction is not None and direction.upper() == "DESC")

    def _field(self, written: Token) -> tuple[Field, FieldType]:
        name, _, key = written.partition(".")
        kind = self._subject.fields.get(name)
        if kind is None or bool(key) != (kind.kind is Kind.TAG):
            raise FilterError(written.start_pos or 0, self._unknown(str(written)))
        return Field(str(name), _unquoted(key) if key[:1] in ('"', "`") else str(key)), kind

    def _unknown(self, written: str) -> str:
        names = self._subject.field_names
        close = difflib.get_close_matches(written.lower(), names, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{self._subject.name} have no field {shape(written)}; {hint}they have {', '.join(names)}"


# Named as rules of the grammar, which are keywords of Python.
for _rule in ("or", "and", "not", "in"):
    setattr(_Builder, _rule, getattr(_Builder, f"{_rule}_"))


def _negated(part: Expression) -> Expression:
    return part.part if isinstance(part, Not) else Not(part)


def _value(written: Token, kind: Kind, name: Token) -> Value:
    value = converted(kind, _literal(written))
    if value is None:
        raise FilterError(
            written.start_pos or 0, f"{name} is compared with {COMPARES_WITH[kind]}; got {shape(str(written))}"
        )
    if name == "alias" and value == "latest":
        raise FilterError(written.start_pos or 0, "'latest' is no alias that is stored; write latest = true")
    return value


def _literal(written: Token) -> Value:
    match written.type:
        case "STRING":
            return _unquoted(written)
        case "BOOLEAN":
            return written.lower() == "true"
    if len(written) > _NUMBER_MAX_CHARS:
        raise FilterError(written.start_pos or 0, f"a number has at most {_NUMBER_MAX_CHARS} characters")
    if not set(".eE") & set(written):
        return int(written)
    number = float(written)
    if not math.isfinite(number):
        raise FilterError(written.start_pos or 0, f"{written} is too large a number")
    return number


def _unquoted(written: str) -> str:
    quote = written[0]
    return written[1:-1].replace(quote * 2, quote)
