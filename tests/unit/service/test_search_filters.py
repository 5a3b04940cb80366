"""Filters: what they mean, what they refuse and where, and that what is printed parses to the same."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain.violations import Violation
from promptwire_service.domain.search.expressions import And, Compare, Expression, Field, In, IsNull, Like, Not, Or
from promptwire_service.domain.search.fields import PROMPTS, VERSIONS
from promptwire_service.domain.search.like import Pattern
from promptwire_service.domain.search.matching import Matcher
from promptwire_service.domain.search.parsing import parse_filter, parse_order

ROW = SimpleNamespace(
    prompt=SimpleNamespace(tags={"owner": "ana"}),
    version=SimpleNamespace(
        name="telco_support_technical",
        version=3,
        created_ms=1_780_000_000_000,
        updated_ms=0,
        author="ana@laptop",
        commit_message="Added 5G",
        content=SimpleNamespace(template="You are {{role}}."),
        tags={"use_case": "technical_support", "token_count": "250", "a key": "x", "it's": "y"},
    ),
    aliases=["production", "staging"],
    is_latest=True,
)


def parsed(text: str) -> Expression:
    expression = parse_filter(text, VERSIONS)
    assert not isinstance(expression, Violation), str(expression)
    return expression


def holds(text: str) -> bool:
    return Matcher(parsed(text), VERSIONS).matches(ROW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "name = 'telco_support_technical'",
        'name = "telco_support_technical"',
        "name LIKE 'telco%'",
        "name ilike 'TELCO%technical'",
        "name NOT LIKE 'x%' and NOT name = 'x'",
        "tags.use_case = 'technical_support'",
        "tags.`a key` = 'x' AND tags.\"a key\" = 'x'",
        "tags.`it's` = 'y'",
        "tags.token_count > 100 AND tags.token_count <= 250",
        "tags.token_count = 250 and tags.token_count = '250'",
        "tags.missing IS NULL and tags.use_case is not null",
        "tags.missing != 'x'",
        "NOT tags.missing < 'x'",
        "prompt_tags.owner = 'ana'",
        "alias = 'production' AND alias != 'champion'",
        "alias IN ('champion', 'staging')",
        "alias IS NOT NULL",
        "version >= 3 and version in (1, 3)",
        "latest = true",
        "created_at > '2026-05-28' and created_at < '2026-05-29T00:00:00Z'",
        "created_at = 1780000000000",
        "updated_at = 1780000000000",
        "author LIKE 'ana@%' or author = 'x'",
        "(version = 1 OR version = 3) AND (name = 'x' OR latest = true)",
        "template LIKE '%{{role}}%'",
        "commit_message LIKE '%5_'",
    ],
)
def test_this_matches(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "name = 'TELCO_SUPPORT_TECHNICAL'",
        "name LIKE 'Telco%'",
        "tags.token_count > 250",
        "tags.missing < 'x'",
        "tags.missing = ''",
        "alias != 'production'",
        "latest = false",
        "version = 1 AND latest = true OR name = 'x'",
        "created_at < 0",
    ],
)
def test_this_does_not(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nme = 'x'", "column 1: versions have no field 'nme'; did you mean name?"),
        ("name = 'x' AND verzion = 1", "column 16: versions have no field 'verzion'"),
        ("name = x", "column 8: found 'x' where a value was expected; a text stands in quotes: 'x'"),
        ("name = 'x", "column 8: this ' is never closed"),
        ("name =", "column 7: it ends where"),
        ("name = 'x' name = 'y'", "column 12"),
        ("(name = 'x'", "column 12: it ends where"),
        ("version = 'one'", "column 11: version is compared with a whole number"),
        ("created_at > 'yesterday'", "column 14: created_at is compared with a time"),
        ("created_at > 1764344000", "column 14: created_at is compared with a time"),
        ("created_at > 1764344000000000", "column 14: created_at is compared with a time"),
        ("latest > true", "column 8: latest is compared with = or !="),
        ("version LIKE '1%'", "column 9: version is no text"),
        ("tags = 'x'", "column 1: versions have no field 'tags'"),
        ("name.x = 'x'", "column 1"),
        ("alias = 'latest'", "write latest = true"),
        ("name = 'x' ORDER BY name", "order_by"),
        ("name = 'x'; drop", "without ';'"),
        ("\nname =\n  x", "line 3, column 3"),
        ("((((" * 20 + "name = 'x'", "nested deeper"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_column(text: str, says: str) -> None:
    violation = parse_filter(text, VERSIONS)
    assert isinstance(violation, Violation)
    assert violation.field == "filter"
    assert says in violation.description


def test_nots_turn_each_other_round_and_too_many_are_refused() -> None:
    assert parsed("not " * 9 + "latest = true") == Not(Compare(Field("latest"), "=", True))
    assert isinstance(parse_filter("not " * 2_000 + "latest = true", VERSIONS), Violation)
    assert isinstance(parse_filter("not (" * 2_000 + "latest = true", VERSIONS), Violation)
    deepest = "not (" * 20 + "latest = true" + ")" * 20
    assert not isinstance(parse_filter(deepest, VERSIONS), Violation)


def test_orders_are_keys_with_directions() -> None:
    keys = parse_order(["created_at desc, name", "tags.cost ASC"], VERSIONS)
    assert not isinstance(keys, Violation)
    assert [(str(key.field), key.descending) for key in keys] == [
        ("created_at", True),
        ("name", False),
        ("tags.cost", False),
    ]
    for wrong, field in (
        ("nme", "order_by[0]"),
        ("alias", "order_by[0]"),
        ("name,", "order_by[0]"),
        ("", "order_by[0]"),
    ):
        violation = parse_order([wrong], PROMPTS)
        assert isinstance(violation, Violation)
        assert violation.field == field


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("%", "", True),
        ("a%b%c", "a-b-b-c", True),
        ("a%b%c", "a-b-b-d", False),
        ("a_c", "abc", True),
        ("a_c", "a\nc", True),
        ("a\\%c", "a%c", True),
        ("a\\%c", "abc", False),
        ("%aa%aa", "aaa", False),
        ("%" + "a%" * 50 + "b", "a" * 2_000, False),
        ("\\", "\\", True),
    ],
)
def test_like(pattern: str, text: str, matches: bool) -> None:
    assert Pattern(pattern).matches(text) is matches


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
fields = st.one_of(
    st.sampled_from([Field("name"), Field("author"), Field("commit_message")]),
    st.builds(Field, st.sampled_from(["tags", "prompt_tags"]), keys),
)
leaves: Any = st.one_of(
    st.builds(Compare, fields, st.sampled_from(["=", "<", "<=", ">", ">="]), texts),
    st.builds(Compare, st.just(Field("version")), st.sampled_from(["=", "<", ">="]), st.integers(-5, 10**14)),
    st.builds(Compare, st.just(Field("latest")), st.just("="), st.booleans()),
    st.builds(Compare, st.builds(Field, st.just("tags"), keys), st.just(">"), st.floats(-1e9, 1e9)),
    st.builds(Like, fields, texts, st.booleans()),
    st.builds(In, fields, st.lists(texts, min_size=1, max_size=3).map(tuple)),
    st.builds(IsNull, fields),
)


def _flat(kind: type[And] | type[Or], parts: list[Expression]) -> Expression:
    flat: list[Expression] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else [part]
    return kind(tuple(flat))


expressions: Any = st.recursive(
    leaves,
    lambda parts: st.one_of(
        parts.map(lambda part: part.part if isinstance(part, Not) else Not(part)),
        st.lists(parts, min_size=2, max_size=3).map(lambda found: _flat(And, found)),
        st.lists(parts, min_size=2, max_size=3).map(lambda found: _flat(Or, found)),
    ),
    max_leaves=8,
)


@given(expressions)
def test_what_is_printed_parses_to_the_same(expression: Expression) -> None:
    assert parse_filter(str(expression), VERSIONS) == expression
