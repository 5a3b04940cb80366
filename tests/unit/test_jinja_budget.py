"""Whoever wrote a Jinja2 template: reading it and rendering it end soon, and what is counted is what it costs."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire import PromptVersion, RenderError
from promptwire.domain import chat, jinja_parsing
from promptwire.domain.content import Content
from promptwire.domain.jinja import Budget, JinjaPrompt, JinjaTemplate
from promptwire.domain.jinja_budget import UNITS_MAX, BudgetError
from promptwire.domain.template import OUTPUT_MAX_CHARS, MissingVariablesError, RenderingError, TemplateError
from promptwire.domain.templates import check_template, template_of
from tests.unit.jinja_templates import VALUES, bodies

DOUBLED = "{% set n = namespace(x=X) %}{% for i in range(60) %}{% set n.x = Y %}{% endfor %}"
LONG = {"s": "a" * 3_000_000, "xs": list(range(50_000)), "words": ["word " * 2_000] * 1_000, "n": 10**5_000}

TOO_MUCH = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
    "{% set x %}{% for a in range(99999) %}" + "x" * 10_000 + "{% endfor %}{% endset %}",
    DOUBLED.replace("X", "'ab'").replace("Y", "n.x ~ n.x"),
    DOUBLED.replace("X", "'ab'").replace("Y", "n.x + n.x"),
    DOUBLED.replace("X", "[1]").replace("Y", "n.x + n.x"),
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x|tojson }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x|string|length }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x ~ '' }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x in [1, n.x] }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ n.x == [n.x[0], n.x[1]] }}",
    DOUBLED.replace("X", "[1]").replace("Y", "[n.x, n.x]") + "{{ [n.x, n.x]|sort }}",
    DOUBLED.replace("X", "(1,)").replace("Y", "(n.x, n.x)") + "{{ {n.x: 1} }}",
    DOUBLED.replace("X", "(1,)").replace("Y", "(n.x, n.x)") + "{{ {}.get(n.x) }}{{ {}[n.x] }}",
    DOUBLED.replace("X", "(1,)").replace("Y", "(n.x, n.x)") + "{{ n.x in {} }}",
    DOUBLED.replace("X", "(1,)").replace("Y", "(n.x, n.x)") + "{{ [n.x]|unique|list }}",
    DOUBLED.replace("X", "[1]").replace("Y", "{'a': n.x, 'b': n.x}") + "{{ n.x }}",
    DOUBLED.replace("X", "{}").replace("Y", "{'a': n.x, 'b': n.x}") + "{{ n.x.values() }}",
    DOUBLED.replace("X", "'a'").replace("Y", "n.x|replace('a', n.x ~ n.x)"),
    DOUBLED.replace("X", "'a'").replace("Y", "n.x|replace(old='a', new=n.x ~ n.x)"),
    DOUBLED.replace("X", "'a'").replace("Y", "n.x.replace('a', n.x ~ n.x)"),
    DOUBLED.replace("X", "'a'").replace("Y", "[n.x, n.x]|join(n.x)"),
    DOUBLED.replace("X", "'a'").replace("Y", "[n.x, n.x]|join(d=n.x)"),
    DOUBLED.replace("X", "2").replace("Y", "n.x * n.x"),
    DOUBLED.replace("X", "'a'").replace("Y", "n.x|tojson|tojson"),
    "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
    "{% set n = namespace() %}{% set n.x = [n] %}{{ n.x }}",
    "{{ 'a\nb'|indent(1000000000) }}",
    "{{ 'a\nb'|indent(width=1000000000) }}",
    "{{ 'a'|indent(1000000000) }}",
    "{{ s|replace('a', s) }}",
    "{{ s|replace('', s) }}",
    "{{ s|trim(s) }}",
    "{{ s.strip(s) }}",
    "{{ s.split() }}",
    "{{ s.split('a') }}",
    "{{ s|list }}",
    "{% for c in s %}{% endfor %}",
    "{{ range(99999)|join(s) }}",
    "{{ range(99999)|map('string')|map('replace', '9', s)|list }}",
    "{{ range(1000000000) }}",
    "{{ 9223372036854775807 + 1 }}",
    "{{ 9223372036854775807 * 9223372036854775807 }}",
    "{{ n // 3 }}",
    "{{ n % 3 }}",
    "{{ n is odd }}",
    "{{ n|round }}",
    "{{ -n }}",
    "{{ n + 0 }}",
    "{{ [n]|sum }}",
    "{{ 1e308|int }}",
    # Linear operations many times over.
    "{% for x in xs %}{% if 'b' in s %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% if -1 in xs %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% if s == s ~ '' %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% if s < s %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% if xs == xs[:] %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% set y = s[1:] %}{% endfor %}",
    "{% for x in xs %}{% set y = xs[1:] %}{% endfor %}",
    "{% for x in xs %}{% set y = xs|sort %}{% endfor %}",
    "{% for x in xs %}{% set y = s|upper %}{% endfor %}",
    "{% for x in xs %}{% set y = s|length ~ s %}{% endfor %}",
    "{% for x in xs %}{{ s.startswith(s) }}{% endfor %}",
    "{% for x in xs %}{{ words }}{% endfor %}",
    "{{ xs|select('in', xs)|list }}",
    "{{ xs|map('tojson')|map('replace', '1', s)|list }}",
    "{% for x in xs %}{% set y = words|sort %}{% endfor %}",
    "{% for x in xs %}{% set y = words|unique|list|length + words|map('wordcount')|sum %}{% endfor %}",
    "{% for x in words %}{% for x in words %}{{ x|title|truncate(5) }}{% endfor %}{% endfor %}",
    "{% for x in words %}{% for x in words %}{{ x|trim|wordcount }}{% endfor %}{% endfor %}",
]  # fmt: skip

REFUSED = [
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "{{ 99999 ** 99999 }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ x|wordwrap(20) }}",
    "{{ xs|batch(1000000000, fill_with='x')|list }}",
    "{{ xs|slice(1000000000)|list }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.zfill(1000000000) }}",
    "{{ 'a'.rfind('b') }}",
    "{{ dict(a=1) }}",
    "{{ lipsum(100000) }}",
    "{{ xs|groupby('a') }}",
    "{{ 'a'|filesizeformat }}",
    "{{ 'a'|striptags }}",
    "{{ 'a'|urlize }}",
    "{{ xs|random }}",
    "{{ [1]|map(' tick', -99999999)|list }}",
    "{{ cycler('a', 'b').next() }}",
    "{{ 'a' * 1000000000 }}",
    "{{ [1] * 1000000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ [1] - [2] }}",
]

WRONG = [
    "{{ '%1000000000d' is odd }}",
    "{{ '%1000000000d' is divisibleby(1) }}",
    "{{ ['%1000000000d']|select('odd')|list }}",
    "{{ {}|tojson(indent=1000000000) }}",
    "{{ {}|tojson(1000000000) }}",
    "{{ 1.5|round(1000000000, 'ceil') }}",
    "{{ 1.5|round(method='ceil', precision=1000000000) }}",
    "{{ [[1], [2]]|sum([]) }}",
    "{{ 1.0 // 0 }}",
    "{{ [1] < ['a'] }}",
    "{{ xs|map('string') }}",
    "{{ 1 in xs|map('string') }}",
    "{{ 'abc'|truncate(1) }}",
    "{{ xs.items() }}",
    "{{ 'a'.get('b') }}",
    "{{ {[]: 1} }}",
]


@pytest.mark.parametrize("text", TOO_MUCH)
def test_it_ends_before_it_costs_too_much(text: str) -> None:
    with pytest.raises(BudgetError):
        JinjaTemplate(text).render(LONG)


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_multiply_is_not_in_the_subset(text: str) -> None:
    with pytest.raises(TemplateError):
        JinjaTemplate(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_operation_of_the_subset_is_told(text: str) -> None:
    with pytest.raises(RenderingError):
        JinjaTemplate(text).render(LONG)


@given(bodies, st.integers(0, 30))
def test_what_is_counted_is_what_it_costs(text: str, more: int) -> None:
    """Python's own steps while it renders, and the characters it makes, are bounded by what is counted; that is bounded
    by the template times its inputs for each level of loops."""
    template = JinjaTemplate(text)
    values = {**VALUES, "text": "A b\n" * more, "numbers": [*range(more)], "texts": ["s"] * more}
    budget, steps = Budget(20_000), 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        made = template.render(values, budget)
    except (RenderingError, MissingVariablesError):
        made = ""
    finally:
        sys.settrace(before)
    assert steps <= 150 * (budget.spent + 10)
    assert len(made) <= 64 * budget.spent + 64
    loops = min(text.count("{% for"), 6)
    assert budget.spent <= 50 * (template.tokens + 1) * (more + 10) ** (loops + 1)


@given(st.integers(1, 20), st.integers(0, 2_000))
def test_the_cost_of_one_loop_is_linear(tags: int, items: int) -> None:
    budget = Budget()
    JinjaTemplate("{% for x in xs %}" + "{{ x|upper }}" * tags + "{% endfor %}").render({"xs": ["a"] * items}, budget)
    assert items * tags <= budget.spent <= 10 * (items + 1) * (tags + 1)


def test_the_texts_of_a_prompt_share_a_budget() -> None:
    text = "{% for a in range(9999) %}{{ a }}{% endfor %}"
    messages = [{"role": "user", "content": text}] * 2
    assert len(chat.ChatTemplate(messages, JinjaTemplate, Budget).render({})) == 2
    with pytest.raises(BudgetError):
        chat.ChatTemplate(messages * 20, JinjaTemplate, Budget).render({})


def test_output_is_bounded() -> None:
    large = {"x": "a" * (OUTPUT_MAX_CHARS // 10)}
    assert JinjaTemplate("{{ x }}" * 10).render(large)
    with pytest.raises(BudgetError, match="more than 16,777,216 characters"):
        JinjaTemplate("{{ x }}" * 11).render(large)


def test_a_long_prompt_is_well_within_the_bounds() -> None:
    documents = [{"title": f"Document {number}", "text": "words " * 2_000} for number in range(200)]
    text = "{% for one in documents %}## {{ one.title|upper }}\n{{ one.text|trim }}\n{% endfor %}"
    budget = Budget()
    assert len(JinjaTemplate(text).render({"documents": documents}, budget)) > 2_000_000
    assert budget.spent < UNITS_MAX / 5


MIB = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        "word " * (MIB // 5),
        "\n" * MIB + "{{a}}",
        "{ " * (MIB // 2) + "{{a}}",
        "{{" + " " * MIB + "a}}",
        " " * MIB + "{%- if a %}{% endif %}",
        "{{a}}" * (MIB // 5),
        "{##}" * (MIB // 4),
        "{#" * (MIB // 2),
        "{% raw %}" + "{%" * (MIB // 2),
        "{{ '" + "a" * MIB + "' }}",
        "{{ '" + "\\x41" * (MIB // 4) + "' }}",
        "{{ " + "1" * MIB + " }}",
        "{{ 0x" + "f" * MIB + " }}",
        "{{ 1." + "1_" * (MIB // 2) + "1 }}",
        "{{ " + "a" * MIB + " }}",
        "{{ " + "a+" * (MIB // 2) + "a }}",
        "{{ " + "(" * MIB,
        "{{ " + "not " * (MIB // 4) + "a }}",
        "{{ a" + "|upper" * (MIB // 6) + " }}",
        "{% if a %}" * (MIB // 10),
    ],
)
def test_reading_takes_few_steps_whatever_the_text(text: str) -> None:
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        jinja_parsing.parse(text)
    except TemplateError:
        pass
    finally:
        sys.setprofile(before)
    assert calls < 60 * jinja_parsing.TOKENS_MAX


def test_mostly_text_is_taken_up_to_the_content_limit() -> None:
    text = "words {and} more\n" * 60_000 + "{% if a %}{{ a }}{% endif %}"
    assert check_template(Content(text, syntax="jinja2")) is None
    assert JinjaTemplate(text).render({"a": "."}).endswith("more\n.")


def test_the_texts_of_a_prompt_are_bounded_together() -> None:
    text = "{{ a }}" * 400
    prompt = JinjaPrompt()
    for _ in range(3):
        prompt.template(text)
    with pytest.raises(TemplateError, match="a prompt's texts have more than 5,000"):
        prompt.template(text)


def test_an_agent_refuses_what_the_registry_should_have_refused() -> None:
    version = PromptVersion(name="p", version=1, template="{% macro a() %}{% endmacro %}", syntax="jinja2")
    with pytest.raises(RenderError, match=r"no template that this client takes: line 1, column 4: \{% macro %\}"):
        version.format()
    with pytest.raises(RenderingError):
        template_of(Content(messages_json='[{"role": "user", "content": "{{ a ** b }}"}]', syntax="jinja2"))
