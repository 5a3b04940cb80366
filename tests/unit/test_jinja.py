"""The Jinja2 subset: the same as Jinja2's own sandbox has it, and whatever is outside refused with its place."""

import datetime
import enum
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptwire.domain import jinja, jinja_parsing
from promptwire.domain.jinja import JinjaTemplate
from promptwire.domain.jinja_budget import UNITS_MAX
from promptwire.domain.jinja_filters import FILTERS, METHODS, TESTS
from promptwire.domain.jinja_parsing import BRACKETS_MAX, TOKEN_MAX_CHARS, TOKENS_MAX
from promptwire.domain.jinja_rendering import LOOP_ATTRIBUTES, RANGE_MAX
from promptwire.domain.jinja_subset import DEPTH_MAX
from promptwire.domain.template import OUTPUT_MAX_CHARS, MissingVariablesError, RenderingError, TemplateError
from tests.unit.jinja_templates import VALUES, Document, bodies

SANDBOX = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


class Tone(enum.Enum):
    KIND = "kind"


PUBLISHED: list[tuple[str, dict[str, Any]]] = [
    # What Jinja2's own documentation and tests show, of what templates of prompts use.
    ("{% for item in seq %}{{ item }}{% endfor %}", {"seq": list(range(10))}),
    ("{% for item in seq %}XXX{% else %}...{% endfor %}", {"seq": []}),
    ("{% for item in seq -%} {{ loop.index }}|{{ loop.first }}|{{ loop.last }}###{% endfor %}", {"seq": [42, 24]}),
    (
        "{% for x in seq %}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.index0 }}{{ loop.length }}{% endfor %}",
        {"seq": "ab"},
    ),
    (
        "{% for x in seq %}{% if not loop.first %}{{ loop.previtem }}{% endif %}{{ loop.nextitem|d('.') }}{% endfor %}",
        {"seq": "abc"},
    ),
    ("{% for item in iter if item is even %}<{{ item }}>{% endfor %}", {"iter": range(6)}),
    ("{% for a in seq %}{% for b in seq %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", {"seq": "xy"}),
    ("{% for k, v in data.items() %}({{ k }}={{ v }}){% endfor %}", {"data": {"a": 1, "b": 2}}),
    ("{% for k, (a, b) in seq %}{{ k }}{{ a }}{{ b }}{% endfor %}", {"seq": [(1, (2, 3))]}),
    (
        "{% for k in data.keys() %}{{ data.get(k) }}{{ data.get('z', 0) }}{% endfor %}{{ data.values()|list }}",
        {"data": {"a": 1}},
    ),
    ("{% if a %}A{% elif b %}B{% else %}C{% endif %}", {"a": 0, "b": 1}),
    ("{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", {}),
    ("{% set x = 1 %}{% for i in range(2) %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}", {}),
    ("{% if a %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}", {"a": 1}),
    ("{% set text %}a{{ b }}c{% set b = 2 %}{% endset %}{{ text|upper }}{{ b }}", {"b": "x"}),
    ("{% set a, b = 1, [2] %}{{ a }}{{ b }}", {}),
    ("{% raw %}{{ not }} {% this %}{% endraw %}{# nor this #}", {}),
    ("{{ 'foo bar'|title }}|{{ 'FOO'|lower }}|{{ ' x '|trim }}|{{ 'a b c'|wordcount }}|{{ 'aBC'|capitalize }}", {}),
    (
        "{{ users|map(attribute='name')|join('; ') }}|{{ users|join(',', attribute='name') }}",
        {"users": [{"name": "a"}, {"name": "b"}]},
    ),
    (
        "{{ users|selectattr('on')|map(attribute='id')|list }}{{ users|rejectattr('id', 'gt', 1)|list|length }}",
        {"users": [{"id": 1, "on": True}, {"id": 2, "on": False}]},
    ),
    (
        "{{ users|map(attribute='a.b', default='-')|list }}|{{ seq|map(attribute=0)|list }}",
        {"users": [{"a": {"b": 1}}], "seq": ["xy"]},
    ),
    (
        "{{ seq|select('odd')|list }}{{ seq|reject('in', [1])|list }}{{ seq|map('string')|map('upper')|list }}",
        {"seq": [1, 2]},
    ),
    ("{{ missing|default('none') }}|{{ missing is defined }}|{{ x is string }}|{{ ''|d('e', true) }}", {"x": "s"}),
    (
        "{{ a.b is defined }}{{ missing is none }}{{ missing is string }}{{ none is none }}{{ n is number }}",
        {"a": {}, "n": 1},
    ),
    ("{{ {'a': [1, 'é<']}|tojson }}|{{ {'b': 1, 'a': [2]}|tojson(indent=2) }}", {}),
    (
        "{{ 'x' ~ 1 ~ 2.5 ~ none }}|{{ 'a' + 'b' }}|{{ [1] + [2] }}|"
        "{{ 7 // 2 }}|{{ 7 % 4 }}|{{ 2 * 5 }}|{{ 7 / 2 }}|{{ -3 - +1 }}",
        {},
    ),
    (
        "{{ [3, 1, 2]|sort(reverse=true) }}|{{ ['b', 'A']|sort }}|{{ ['b', 'A', 'B']|unique|list }}|{{ [1, 2.5]|sum }}",
        {},
    ),
    (
        "{{ docs|sort(attribute='score')|map(attribute='title')|join }}{{ docs|sum('score') }}",
        {"docs": [Document("a", 2), Document("b", 1)]},
    ),
    (
        "{{ {'b': 1, 'A': 2}|dictsort }}"
        "{{ {'b': 1, 'a': 2}|dictsort(by='value', reverse=true) }}{{ {'a': 1}|items|list }}",
        {},
    ),
    ("{{ 42.55|round(1, 'floor') }}|{{ 42.55|round|int }}|{{ '3x'|int(7) }}|{{ '2.5'|float }}|{{ -2|abs }}", {}),
    (
        "{{ [2, 3]|max }}|{{ ['b', 'A']|min }}|{{ [1, 2]|first }}|"
        "{{ [1, 2]|last }}|{{ 'abc'|reverse }}|{{ [1, 2]|reverse|list }}",
        {},
    ),
    (
        "{{ 'foo bar baz qux'|truncate(11) }}|"
        "{{ 'foo bar baz qux'|truncate(9, true, '..', 0) }}|{{ 'aXbX'|replace('X', '--', 1) }}",
        {},
    ),
    (
        "{{ 'a\nb\n\nc'|indent(2) }}|{{ 'a\nb'|indent('> ', first=true) }}|{{ 'a\n\nb'|indent(width=1, blank=true) }}",
        {},
    ),
    (
        "{{ ' aXb '.strip() }}|{{ 'aab'.lstrip('a') }}|{{ 'a,b,c'.split(',', 1) }}|"
        "{{ ' a b '.split() }}|{{ 'ab'.replace('b', 'c') }}",
        {},
    ),
    ("{{ 'ab'.startswith('a') }}{{ 'ab'.endswith('a') }}{{ 'aB'.upper() }}{{ 'aB'.lower() }}{{ 'a-b'.title() }}", {}),
    (
        "{{ a.b.c }}|{{ a['b']['c'] }}|{{ seq[0] }}|{{ seq.1 }}|"
        "{{ seq[-1] }}|{{ seq[1:] }}|{{ seq[::-1] }}|{{ 'abc'[:2] }}",
        {"a": {"b": {"c": 1}}, "seq": ["x", "y"]},
    ),
    (
        "{{ 'x' in seq }}{{ 'z' not in seq }}{{ 'b' in 'abc' }}"
        "{{ 'k' in {'k': 1} }}{{ 1 in (1, 2) }}{{ 3 in range(4) }}",
        {"seq": ["x"]},
    ),
    (
        "{{ 'yes' if a else 'no' }}|{{ not a }}|{{ 1 < 2 < 3 }}|{{ 1 == 1.0 != 2 }}|{{ a and b or 'c' }}",
        {"a": False, "b": 1},
    ),
    (
        "{{ 3 is odd }}{{ 4 is divisibleby 2 }}{{ 1 is integer }}"
        "{{ [] is sequence }}{{ {} is mapping }}{{ 'a' is lower }}{{ 1 is eq 1 }}",
        {},
    ),
    (
        "{{ doc.title }}|{{ doc.label }}|{{ doc['score'] }}|{{ tone.value }}|{{ d.year }}|{{ d }}",
        {"doc": Document("t"), "tone": Tone.KIND, "d": datetime.date(2026, 11, 25)},
    ),
    ("one  \n\n{% if true -%}\n  two\n{%- endif %}\n", {}),
    ("a\r\nb\r{{ 'c\\n' }}{#- x -#}   d {{- 1 -}} e", {}),
]


@pytest.mark.parametrize(("text", "values"), PUBLISHED)
def test_it_renders_as_jinja2_does(text: str, values: dict[str, Any]) -> None:
    assert JinjaTemplate(text).render(values) == SANDBOX.from_string(text).render(values)


@settings(max_examples=50)
@given(bodies)
def test_random_templates_render_as_in_jinja2s_own_sandbox(text: str) -> None:
    try:
        expected = SANDBOX.from_string(text).render(VALUES)
    except Exception:
        with pytest.raises((RenderingError, MissingVariablesError)):
            JinjaTemplate(text).render(VALUES)
    else:
        assert JinjaTemplate(text).render(VALUES) == expected


pieces = st.sampled_from(
    [
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        "+",
        " ",
        "\n",
        "\r\n",
        "a",
        "if",
        "endif",
        "for x in y",
        "endfor",
        "'",
        '"',
        "\\",
        "1",
        "2.5",
        "1_0",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        "|",
        "~",
        "é",
        "raw",
        "endraw",
        "{{ a }}",
        "{% if a %}",
        "{%- endif +%}",
        "{% raw %}",
        "{%- endraw -%}",
        "{#- c -#}",
        "'q'",
        "0x1f",
        "1e3",
        "=",
        "not",
        "is",
        "in",
    ]
)


@given(st.one_of(st.lists(pieces, max_size=25).map("".join), bodies))
def test_a_text_is_read_as_jinja2_reads_it(text: str) -> None:
    # At the very end Jinja2 takes the beginning of a comment or of raw text for one.
    assume(not re.search(r"(\{#[-+]?|raw\s*-?%\}\s*)\Z", text))
    try:
        expected = SANDBOX.parse(text)
    except jinja2.TemplateSyntaxError:
        with pytest.raises(TemplateError):
            jinja_parsing.parse(text)
        return
    tree, _ = jinja_parsing.parse(text)
    assert tree == expected


@settings(max_examples=50)
@given(bodies)
def test_no_other_value_is_needed_than_its_variables(text: str) -> None:
    template = JinjaTemplate(text)
    # Jinja2 counts what only one branch of an `if` sets and uses.
    assert {*template.variables} <= meta.find_undeclared_variables(SANDBOX.parse(text))
    with suppress(RenderingError):
        try:
            template.render({})
        except MissingVariablesError as error:
            names = {*error.names}
        else:
            names = set()
        assert names <= {*template.variables}


def test_its_variables_are_those_without_a_value_of_its_own() -> None:
    text = (
        "{{ b }}{{ a.x }}{% for c in d %}{{ c }}{{ loop.index }}{% endfor %}{% set z = 1 %}{{ z }}{{ range(2) }}{{ b }}"
        "{% if e %}{% set f = 1 %}{% endif %}{{ f }}"
        "{% if e %}{% set g = 1 %}{% else %}{% set g = 2 %}{% endif %}{{ g }}{{ c }}"
    )
    assert JinjaTemplate(text).variables == ("b", "a", "d", "e", "f", "c")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("ab\n  {% if %} x", 2, 9, "Expected an expression"),
        ("{{ a", 1, 5, "unexpected end of template"),
        ("a\n{% for x in y %}\nb", 3, 2, "endfor"),
        ("a\n b {{ x | nope }}", 2, 11, "there is no filter 'nope'; there are abs, capitalize"),
        ("a\n{{ 'x' * 9 }}", 2, 4, "* takes numbers; allowed are {% if %}"),
        ("{{ 3 * [1] }}", 1, 4, "* takes numbers"),
        ("{{ '%9s' % y }}", 1, 4, "% takes numbers"),
        ("{{ (x ~ 'y') - 1 }}", 1, 4, "- takes numbers"),
        ("{{ x is nope }}", 1, 6, "there is no test 'nope'; there are !=, <"),
        ("{{ x|map('nope') }}", 1, 10, "there is no filter 'nope'"),
        ("{{ x|select('nope') }}", 1, 13, "there is no test 'nope'"),
        ("{{ x|map(name) }}", 1, 10, "there is no filter None"),
        ("{{ x|map('map', 'upper') }}", 1, 10, "there is no filter 'map'"),
        ("{{ x|map('replace') }}", 1, 10, "replace: missing a required argument: 'old'"),
        ("{{ x|trim(a=1) }}", 1, 6, "trim: got an unexpected keyword argument 'a'"),
        ("{{ x|trim(*a) }}", 1, 6, "* and ** among arguments are not taken"),
        ("é {{ a b }}", 1, 8, "expected token 'end of print statement', got 'b'"),
        ("a {% include 'x' %}", 1, 6, "{{> prompts:/name@alias }}"),
        ("{% extends 'x' %}", 1, 4, "extends"),
        ("{% from 'x' import y %}", 1, 4, "{% from %}"),
        ("{% nope %}", 1, 4, "unknown tag 'nope'"),
        ("\n{% macro a() %}{% endmacro %}", 2, 4, "{% macro %} is not part of the Jinja2 that prompts may use"),
        ("{% call a() %}{% endcall %}", 1, 4, "{% call %}"),
        ("{% filter upper %}{% endfilter %}", 1, 4, "{% filter %}"),
        ("{% block a %}{% endblock %}", 1, 4, "{% block %}"),
        ("{% with a=1 %}{% endwith %}", 1, 4, "{% with %}"),
        ("{% autoescape true %}{% endautoescape %}", 1, 4, "{% autoescape %}"),
        ("{% set a|upper %}{% endset %}", 1, 4, "{% set with a filter %}"),
        ("{% for a in b recursive %}{% endfor %}", 1, 4, "recursive"),
        ("{{ 2 ** 3 }}", 1, 4, "** is not part of"),
        ("{{ f(1) }}", 1, 4, "there is no function 'f'; there are namespace, range"),
        ("{{ a[0](1) }}", 1, 5, "there is no function 'this'"),
        ("{{ a.format(1) }}", 1, 5, "there is no method 'format'; there are capitalize, endswith"),
        ("{{ a.strip(1, 2) }}", 1, 5, "strip() takes 0 to 1 arguments"),
        ("{{ a._b }}", 1, 5, "attributes that begin with _ are not taken"),
        ("{{ self }}", 1, 4, "self is no variable"),
        ("{{ range }}", 1, 4, "range is no variable"),
        ("{% set range = 1 %}", 1, 8, "range is no variable"),
        ("{{ range() }}", 1, 4, "it is range(stop)"),
        ("{% for a in b %}{{ loop.cycle }}{% endfor %}", 1, 24, "there is no attribute 'loop.cycle'"),
        ("{{ 9223372036854775808 }}", 1, 4, "an integer must be at most 9,223,372,036,854,775,807"),
        ("{{ " + "9" * 5_000 + " }}", 1, 4, "is no integer that can be read"),
        ("{{ 'a }}", 1, 4, "a text in quotes has an end, and at most 10,000 characters"),
        ("{{ " + "(" * 17 + ")" * 17 + " }}", 1, 20, "nested too deep: more than 16 open brackets"),
        ("{{ a" + ".b" * 60 + " }}", 1, 29, "nested too deep: at most 48 levels"),
        ("{{ " + "not " * 5_000 + "a }}", 1, 1, "nested too deep"),
        ("{% if a %}" * 49 + "{% endif %}" * 49, 1, 477, "nested too deep: at most 48 levels"),
        ("{{a}}" * 1_250, 1, 6_251, "more than 5,000 words"),
        ("{# a", 1, 3, "Missing end of comment tag"),
        ("{% raw %}{{", 1, 1, "Missing end of raw directive"),
    ],
)  # fmt: skip
def test_what_is_outside_of_the_subset_is_refused_with_its_place(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        JinjaTemplate(text)
    assert says in str(refused.value)
    assert (refused.value.line, refused.value.column) == (line, column)


def test_a_missing_value_is_named_and_a_missing_attribute_told() -> None:
    with pytest.raises(MissingVariablesError) as missing:
        JinjaTemplate("{{ who }}").render({})
    assert missing.value.names == ("who",)
    with pytest.raises(RenderingError, match="has no attribute 'name'"):
        JinjaTemplate("{{ who.name }}").render({"who": {}})
    for text in (
        "{% for x in xs %}{% endfor %}",
        "{{ xs|upper }}",
        "{{ xs == 1 }}",
        "{{ xs.a }}",
        "{{ not xs }}",
        "{{ [xs] }}",
    ):
        with pytest.raises(MissingVariablesError):
            JinjaTemplate(text).render({})


def test_the_documentation_lists_the_subset() -> None:
    page = (Path(__file__).parents[2] / "docs/templates.md").read_text()
    rows = {cells[1].strip(): cells[2] for line in page.splitlines() if len(cells := line.split("|")) == 4}
    assert rows["filters"].split("`")[1].split() == sorted(FILTERS)
    comparisons = {"==", "!=", "<", "<=", ">", ">=", "equalto", "lessthan", "greaterthan"}
    written = {*rows["tests"].split("`")[1].split(), *rows["tests"].split("`")[3].split()}
    assert written == {*TESTS} - comparisons
    assert {*rows["methods"].split("`")[1].split(), *rows["methods"].split("`")[3].split()} == {*METHODS}
    attributes = {name for part in rows["in a loop"].split("`")[1::2] for name in [part.removeprefix("loop.")]}
    assert attributes == {*LOOP_ATTRIBUTES}
    for number in (TOKENS_MAX, TOKEN_MAX_CHARS, BRACKETS_MAX, DEPTH_MAX, UNITS_MAX, OUTPUT_MAX_CHARS, RANGE_MAX):
        assert f"{number:,}" in page


def test_trees_are_kept_up_to_a_size() -> None:
    trees = jinja._Trees()
    for number in range(60):
        trees.get(f"{number}" + "word {{ a }}" * 800)
    assert trees._size_bytes == sum(one.size_bytes for one in trees._kept.values()) <= jinja._CACHE_MAX_BYTES
    assert 1 <= len(trees._kept) < 60
    text = "x" * 100
    assert trees.get(text) is trees.get("x" * 100)
