"""Jinja2 templates: the same as Jinja2 has them, refused with line and column, within bounds whoever wrote them."""

import datetime
import time
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain import jinja_budget
from promptwire.domain.jinja import JinjaTemplate
from promptwire.domain.jinja_budget import BudgetError
from promptwire.domain.template import MissingVariablesError, RenderingError, TemplateError

PUBLISHED: list[tuple[str, dict[str, Any]]] = [
    # What Jinja2's own documentation and tests show, of what templates of prompts use.
    ("{% for item in seq %}{{ item }}{% endfor %}", {"seq": list(range(10))}),
    ("{% for item in seq %}XXX{% else %}...{% endfor %}", {"seq": []}),
    ("{% for item in seq -%} {{ loop.index }}|{{ loop.first }}|{{ loop.last }}###{% endfor %}", {"seq": [42, 24]}),
    ("{% for item in seq %}{{ loop.cycle('<1>', '<2>') }}{% endfor %}", {"seq": [1, 2, 3]}),
    ("{% for item in iter if item is even %}<{{ item }}>{% endfor %}", {"iter": range(6)}),
    (
        "{% for item in seq recursive %}[{{ item.a }}{% if item.b %}<{{ loop(item.b) }}>{% endif %}]{% endfor %}",
        {"seq": [{"a": 1, "b": [{"a": 1, "b": 0}, {"a": 2, "b": 0}]}, {"a": 3, "b": [{"a": "a", "b": []}]}]},
    ),
    ("{% for k, v in data.items() %}({{ k }}={{ v }}){% endfor %}", {"data": {"a": 1, "b": 2}}),
    ("{% if a %}A{% elif b %}B{% else %}C{% endif %}", {"a": 0, "b": 1}),
    ("{% macro say(name) %}Hello {{ name }}!{% endmacro %}{{ say('Peter') }}", {}),
    ("{% macro m(a, b='x') %}{{ a }}|{{ b }}|{{ varargs }}{% endmacro %}{{ m(1) }}{{ m(1, 2, 3) }}", {}),
    ("{% macro t() %}<{{ caller() }}>{% endmacro %}{% call t() %}inside{% endcall %}", {}),
    ("{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", {}),
    ("{% set text %}a{{ b }}c{% endset %}{{ text|upper }}", {"b": "x"}),
    ("{% filter upper %}shout {{ x }}{% endfilter %}", {"x": "it"}),
    ("{% with a=1, b=2 %}{{ a + b }}{% endwith %}", {}),
    ("{% raw %}{{ not }} {% this %}{% endraw %}{# nor this #}", {}),
    ("{{ foo|batch(3, '-')|list }}|{{ foo|slice(2)|list }}", {"foo": [1, 2, 3, 4, 5]}),
    ("{{ 'foo bar'|title }}|{{ 'FOO'|lower }}|{{ ' x '|trim }}|{{ 'a b c'|wordcount }}", {}),
    ("{{ users|map(attribute='name')|join('; ') }}", {"users": [{"name": "a"}, {"name": "b"}]}),
    (
        "{{ users|selectattr('on')|map(attribute='id')|list }}",
        {"users": [{"id": 1, "on": True}, {"id": 2, "on": False}]},
    ),
    (
        "{% for key, group in xs|groupby('k') %}{{ key }}:{{ group|length }};{% endfor %}",
        {"xs": [{"k": 1}, {"k": 1}, {"k": 2}]},
    ),
    ("{{ missing|default('none') }}|{{ missing is defined }}|{{ x is string }}", {"x": "s"}),
    ("{{ {'a': [1, 'é']}|tojson }}|{{ 'x' ~ 1 ~ 2.5 }}|{{ 'ab' * 3 }}|{{ 7 // 2 }}|{{ 7 % 4 }}|{{ 2 ** 5 }}", {}),
    (
        "{{ [3, 1, 2]|sort(reverse=true) }}|{{ [1, 1, 2]|unique|list }}|{{ [1, 2]|sum }}|{{ 42.55|round(1, 'floor') }}",
        {},
    ),
    ("{{ 'foo bar baz qux'|truncate(11) }}|{{ 'a\nb'|indent(2) }}|{{ 'aXb'|replace('X', '--') }}", {}),
    (
        "{{ a.b.c }}|{{ a['b']['c'] }}|{{ seq[0] }}|{{ seq[1:] }}|{{ 'x' in seq }}",
        {"a": {"b": {"c": 1}}, "seq": ["x", "y"]},
    ),
    ("{{ 'yes' if a else 'no' }}|{{ not a }}|{{ 1 < 2 < 3 }}|{{ a and b or 'c' }}", {"a": False, "b": 1}),
    ("{{ '<b>'|e }}|{{ d.strftime('%Y-%m-%d') }}|{{ 'a,b'.split(',') }}", {"d": datetime.date(2026, 11, 25)}),
    ("one  \n\n{% if true -%}\n  two\n{%- endif %}\n", {}),
]


@pytest.mark.parametrize(("text", "values"), PUBLISHED)
def test_it_renders_as_jinja2_does(text: str, values: dict[str, Any]) -> None:
    expected = jinja2.Environment(keep_trailing_newline=True).from_string(text).render(values)
    assert JinjaTemplate(text).render(values) == expected


expressions = st.recursive(
    st.sampled_from(["a", "b", "c.d", "1", "'x'", "seq", "seq[0]", "loops|default(2)"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["~", "==", "and", "or", "in"]), inner).map(" ".join),
        st.tuples(inner, st.sampled_from(["string", "upper", "list", "length", "join('-')", "first"])).map("|".join),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    ),
    max_leaves=5,
)
bodies = st.recursive(
    st.one_of(st.text(st.characters(exclude_characters="{}%#\r"), max_size=5), expressions.map("{{{{ {} }}}}".format)),
    lambda inner: st.one_of(
        st.tuples(expressions, inner, inner).map(
            lambda of: f"{{% if {of[0]} %}}{of[1]}{{% else %}}{of[2]}{{% endif %}}"
        ),
        inner.map("{{% for i in seq %}}{}{{{{ loop.index }}}}{{% endfor %}}".format),
        inner.map("{{% set v %}}{}{{% endset %}}{{{{ v }}}}".format),
        st.lists(inner, max_size=3).map("".join),
    ),
    max_leaves=6,
)


@given(bodies)
def test_random_templates_render_as_in_jinja2s_own_sandbox(text: str) -> None:
    values = {"a": "A", "b": 0, "c": {"d": "é"}, "seq": ["s", "t"]}
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    try:
        expected = environment.from_string(text).render(values)
    except Exception:
        with pytest.raises((RenderingError, MissingVariablesError, TemplateError)):
            JinjaTemplate(text).render(values)
    else:
        assert JinjaTemplate(text).render(values) == expected


def test_its_variables_are_those_without_a_value_of_its_own() -> None:
    text = (
        "{{ b }}{{ a.x }}{% for c in d %}{{ c }}{{ loop.index }}{% endfor %}{% set z = 1 %}{{ z }}{{ range(2) }}{{ b }}"
    )
    assert JinjaTemplate(text).variables == ("b", "a", "d")


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("ab\n  {% if %} x", 2, 9, "Expected an expression"),
        ("{{ a", 1, 5, "unexpected end of template"),
        ("a\n{% for x in y %}\nb", 3, 2, "endfor"),
        ("a\n b {{ x | nope }}", 2, 11, "there is no filter 'nope'"),
        ("{{ x is nope }}", 1, 9, "there is no test 'nope'"),
        ("é {{ a b }}", 1, 8, "expected token 'end of print statement', got 'b'"),
        ("a {% include 'x' %}", 1, 6, "{{> prompts:/name@alias }}"),
        ("{% extends 'x' %}", 1, 4, "extends"),
        ("{% nope %}", 1, 4, "unknown tag 'nope'"),
        ("{{ " + "(" * 5_000 + ")" * 5_000 + " }}", 1, 1, "nested too deep"),
        ("{% if a %}" * 500 + "{% endif %}" * 500, 1, 1, "nested too deep"),
        ("{% for a in b %}" * 40 + "{% endfor %}" * 40, 1, 1, "nested"),
        ("x" * (128 * 1024 + 1), 1, 1, "131,072 bytes"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, line: int, column: int, says: str) -> None:
    with pytest.raises(TemplateError) as refused:
        JinjaTemplate(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert says in str(refused.value)


def test_a_missing_value_is_named_and_a_missing_attribute_told() -> None:
    with pytest.raises(MissingVariablesError) as missing:
        JinjaTemplate("{{ who }}").render({})
    assert missing.value.names == ("who",)
    with pytest.raises(RenderingError, match="has no attribute 'name'"):
        JinjaTemplate("{{ who.name }}").render({"who": {}})
    with pytest.raises(MissingVariablesError):
        JinjaTemplate("{% for x in xs %}{% endfor %}").render({})


class User:
    name = "Ana"
    deleted = False

    def delete(self) -> str:
        self.deleted = True
        return "gone"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ user.__init__.__globals__ }}",
        "{{ user.delete() }}",
        "{{ user['delete']() }}",
        "{{ (user|attr('delete'))() }}",
        "{{ '{0.__class__}'.format(user) }}",
        "{{ ['{0.__class__}']|map('format', user)|list }}",
        "{{ xs.append(1) }}",
        "{{ range.__class__ }}",
        "{{ {}.fromkeys([1], 2) }}",
        "{{ self.__init__() }}",
        "{{ user.name.__class__ }}",
    ],
)
def test_nothing_but_harmless_methods_is_called(text: str) -> None:
    user, xs = User(), [1]
    with pytest.raises((RenderingError, TemplateError)):
        JinjaTemplate(text).render({"user": user, "xs": xs})
    assert (user.deleted, xs) == (False, [1])


def test_what_was_given_to_be_called_is_called() -> None:
    assert JinjaTemplate("{{ plus(1) }} {{ user.name }}").render({"plus": lambda x: x + 1, "user": User()}) == "2 Ana"


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
        "{% set x %}{% for a in range(99999) %}" + "x" * 10_000 + "{% endfor %}{% endset %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = dict(a=n.x, b=n.x) %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x|batch(2, n.x)|list %}{% endfor %}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 99999 ** 99999 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'|center(1000000000) }}",
        "{{ 'a\nb'|indent(1000000000) }}",
        "{{ 'a\nb'|indent(width=1000000000) }}",
        "{{ {}|tojson(indent=1000000000) }}",
        "{{ 1.5|round(1000000000, 'ceil') }}",
        "{{ 'aaaa'|replace('a', 'b' * 60000)|replace('b', 'c' * 60000) }}",
        "{{ range(99999)|join('x' * 100000) }}",
        "{{ range(1000000000) }}",
        "{{ [[1] * 1000]|sum(start=[]) }}",
        "{{ ['a' * 60000]|map('replace', 'a', 'b' * 60000)|list }}",
        "{{ [1]|map(' tick', -99999999)|list }}" + "{% for a in range(99999) %}{{ a * 2 }}" * 2 + "{% endfor %}" * 2,
    ],
)
def test_whoever_wrote_it_it_ends_soon(text: str) -> None:
    with pytest.raises(BudgetError):
        JinjaTemplate(text).render({})


def test_a_slow_value_ends_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr(time, "monotonic", clock)
    with pytest.raises(BudgetError, match="longer than 5 s"):
        JinjaTemplate("{% for a in range(99999) %}{{ a }}{% endfor %}").render({})


def test_a_long_prompt_is_well_within_the_bounds() -> None:
    documents = [{"title": f"Document {number}", "text": "words " * 2_000} for number in range(200)]
    text = "{% for one in documents %}## {{ one.title|upper }}\n{{ one.text|trim }}\n{% endfor %}"
    assert len(JinjaTemplate(text).render({"documents": documents})) > 2_000_000
    assert jinja_budget.UNITS_MAX == 1_000_000
