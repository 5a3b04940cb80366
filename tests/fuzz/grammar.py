"""Filters and orders of a search: from the grammar's own words, nested, cut and bent."""

import random
from typing import Final

from tests.fuzz import values

_FIELDS: Final = (
    "name",
    "version",
    "template",
    "commit_message",
    "author",
    "created_at",
    "updated_at",
    "aliases",
    "alias",
    "deleted",
    "tags.t",
    "tags.`odd key`",
    'prompt_tags."x"',
    "model_config",
    "syntax",
    "digest",
    "x.y",
    "naem",
)
_OPERATORS: Final = ("=", "!=", "<>", "==", "<", "<=", ">", ">=")


def filter_text(rng: random.Random) -> str:
    if rng.random() < 0.02:
        return rng.choice(("(", "not ", "name = 'a' and ", "-")) * rng.choice((40, 60, 500, 5_000))
    made = _condition(rng, 0)
    return values.bent_text(rng, made) if rng.random() < 0.3 else made


def order_text(rng: random.Random) -> str:
    made = rng.choice(_FIELDS) + rng.choice(("", " asc", " DESC", " desc, name", ","))
    return values.bent_text(rng, made) if rng.random() < 0.3 else made


def _condition(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(8 if depth < 4 else 5)
    field = rng.choice(_FIELDS)
    match kind:
        case 0 | 1:
            return f"{field} {rng.choice(_OPERATORS)} {_value(rng)}"
        case 2:
            pattern = rng.choice(("%", "_", "%a%b%", "a\\%", "\\")) * rng.randrange(1, 4)
            return f"{field} {rng.choice(('like', 'ILIKE', 'not like'))} '{pattern}'"
        case 3:
            return f"{field} {rng.choice(('in', 'NOT IN'))} ({', '.join(_value(rng) for _ in range(rng.randrange(4)))})"
        case 4:
            return f"{field} is {rng.choice(('', 'not '))}null"
        case 5:
            return f"not ({_condition(rng, depth + 1)})"
    return f"({_condition(rng, depth + 1)} {rng.choice(('and', 'OR'))} {_condition(rng, depth + 1)})"


def _value(rng: random.Random) -> str:
    match rng.randrange(5):
        case 0:
            return str(values.integer(rng))
        case 1:
            return rng.choice(
                ("1e999", "-1.5e-400", "9" * 50, "true", "FALSE", "1.", "+1", "'2026-11-28'", "'9999-12-31T23:59:59Z'")
            )
        case 2:
            return "'0001-01-01T00:00:00+14:00'"
    quote = rng.choice("'\"")
    return quote + values.text(rng).replace(quote, quote * 2) + quote
