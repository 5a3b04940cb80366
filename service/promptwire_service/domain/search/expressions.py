"""A filter, parsed: a small tree of frozen values. `str()` of a node writes it as a filter that parses to the same.

There is no negative leaf: `!=`, `NOT IN`, `NOT LIKE` and `IS NOT NULL` are the leaf inside a Not.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

_PLAIN_KEY: Final = re.compile(r"[\w./-]+\Z")

Value = str | int | float | bool
Operator = Literal["=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of what is searched; `key` is the tag's, for `tags` and `prompt_tags`."""

    name: str
    key: str = ""

    def __str__(self) -> str:
        if not self.key:
            return self.name
        key = self.key if _PLAIN_KEY.match(self.key) else "`" + self.key.replace("`", "``") + "`"
        return f"{self.name}.{key}"


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against one value; times are in milliseconds since 1970."""

    field: Field
    operator: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {_written(self.value)}"


@dataclass(frozen=True, slots=True)
class Like:
    """A text against a pattern: `%` is any text, `_` any character, and a backslash takes the meaning of the next."""

    field: Field
    pattern: str
    ignores_case: bool = False

    def __str__(self) -> str:
        return f"{self.field} {'ILIKE' if self.ignores_case else 'LIKE'} {_written(self.pattern)}"


@dataclass(frozen=True, slots=True)
class In:
    """A field that equals one of these."""

    field: Field
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.field} IN ({', '.join(map(_written, self.values))})"


@dataclass(frozen=True, slots=True)
class IsNull:
    """A field without a value: an absent tag, no alias, no commit message."""

    field: Field

    def __str__(self) -> str:
        return f"{self.field} IS NULL"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Expression"

    def __str__(self) -> str:
        match self.part:
            case Compare(field, "=", value):
                return f"{field} != {_written(value)}"
            case Like(field) | In(field):
                return f"{field} NOT{str(self.part).removeprefix(str(field))}"
            case IsNull(field):
                return f"{field} IS NOT NULL"
        return f"NOT {_grouped(self.part)}"


@dataclass(frozen=True, slots=True)
class And:
    """All of these; no part is an And. Of none at all, everything: what an empty filter means."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " AND ".join(map(_grouped, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """One of these, at least; no part is an Or."""

    parts: tuple["Expression", ...]

    def __str__(self) -> str:
        return " OR ".join(map(_grouped, self.parts))


Expression = Compare | Like | In | IsNull | Not | And | Or

EVERYTHING: Final = And(())


def fields_of(expression: Expression) -> frozenset[Field]:
    """All that are named in it."""
    match expression:
        case And(parts) | Or(parts):
            return frozenset().union(*map(fields_of, parts))
        case Not(part):
            return fields_of(part)
    return frozenset((expression.field,))


def _grouped(part: Expression) -> str:
    return f"({part})" if isinstance(part, And | Or) else str(part)


def _written(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return "'" + value.replace("'", "''") + "'"
    return repr(value)
