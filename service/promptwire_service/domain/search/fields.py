"""What can be searched by: the fields of versions and of prompts, their kinds, and how a row tells them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from promptwire.domain import limits
from promptwire_service.domain.search.expressions import Field, Value


class Kind(Enum):
    """What a field holds."""

    TEXT = "text"
    TEXTS = "texts"
    """Several, e.g. aliases: a comparison holds if it does for one of them."""
    TAG = "tag"
    NUMBER = "number"
    TIME = "time"
    BOOLEAN = "boolean"


COMPARES_WITH: Final = {
    Kind.TEXT: "a text in quotes",
    Kind.TEXTS: "a text in quotes",
    Kind.TAG: "a text in quotes or a number",
    Kind.NUMBER: "a whole number",
    Kind.TIME: "a time: '2026-05-31', '2026-05-31T12:00:00Z' or milliseconds since 1970",
    Kind.BOOLEAN: "true or false",
}

Getter = Callable[[Any], Any]
"""Of a row: what the field holds. None for nothing; of TEXTS, all of them."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """`sortable`: whether `order_by` takes it."""

    kind: Kind
    get: Callable[[str], Getter]
    """By the key of a tag, which other fields do not look at."""
    sortable: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """What is searched: `versions` or `prompts`, and their fields by name."""

    name: str
    fields: Mapping[str, FieldType]

    def type_of(self, field: Field) -> FieldType:
        return self.fields[field.name]

    def getter(self, field: Field) -> Getter:
        return self.type_of(field).get(field.key)

    @property
    def field_names(self) -> list[str]:
        return [f"{name}.<key>" if kind.kind is Kind.TAG else name for name, kind in self.fields.items()]


def _plain(kind: Kind, getter: Getter, *, sortable: bool = True) -> FieldType:
    return FieldType(kind, lambda _: getter, sortable)


def _tag(tags_of: Getter) -> FieldType:
    return FieldType(Kind.TAG, lambda key: lambda row: tags_of(row).get(key))


VERSIONS: Final = Subject(
    "versions",
    {
        "name": _plain(Kind.TEXT, lambda row: row.version.name),
        "alias": _plain(Kind.TEXTS, lambda row: row.aliases, sortable=False),
        "version": _plain(Kind.NUMBER, lambda row: row.version.version),
        "latest": _plain(Kind.BOOLEAN, lambda row: row.is_latest),
        "created_at": _plain(Kind.TIME, lambda row: row.version.created_ms),
        "updated_at": _plain(Kind.TIME, lambda row: row.version.updated_ms or row.version.created_ms),
        "author": _plain(Kind.TEXT, lambda row: row.version.author),
        "commit_message": _plain(Kind.TEXT, lambda row: row.version.commit_message),
        "template": _plain(Kind.TEXT, lambda row: row.version.content.template, sortable=False),
        "tags": _tag(lambda row: row.version.tags),
        "prompt_tags": _tag(lambda row: row.prompt.tags),
    },
)

PROMPTS: Final = Subject(
    "prompts",
    {
        "name": _plain(Kind.TEXT, lambda prompt: prompt.name),
        "alias": _plain(Kind.TEXTS, lambda prompt: [*prompt.aliases, *prompt.splits], sortable=False),
        "latest_version": _plain(Kind.NUMBER, lambda prompt: prompt.latest_version),
        "created_at": _plain(Kind.TIME, lambda prompt: prompt.created_ms),
        "updated_at": _plain(Kind.TIME, lambda prompt: prompt.updated_ms),
        "author": _plain(Kind.TEXT, lambda prompt: prompt.author),
        "tags": _tag(lambda prompt: prompt.tags),
    },
)

_NUMBER: Final = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*\Z", re.ASCII)


def number_in(text: str) -> float | None:
    """What a tag's value is as a number; None when it is none."""
    return float(text) if len(text) <= 64 and _NUMBER.match(text) else None


def converted(kind: Kind, value: Value) -> Value | None:
    """A value as a field of this kind compares with it; None when it does not."""
    match kind, value:
        case (Kind.BOOLEAN, bool()) | (Kind.TEXT | Kind.TEXTS | Kind.TAG, str()):
            return value
        case Kind.BOOLEAN, str() if value.lower() in ("true", "false"):
            return value.lower() == "true"
        case (_, bool()) | (Kind.BOOLEAN, _):
            return None
        case (Kind.NUMBER, int()) | (Kind.TAG, int() | float()):
            return value
        case Kind.TIME, int():
            # A smaller one would be of seconds, a larger one of microseconds or nanoseconds.
            return value if value == 0 or limits.TIME_MIN_MS <= value <= limits.TIME_MAX_MS else None
        case Kind.TIME, str():
            return _milliseconds(value)
    return None


def _milliseconds(text: str) -> int | None:
    """Of an ISO 8601 time; one without an offset is UTC's."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1_000)
