"""Text templates: what is a placeholder, what fills it, and what stays."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptwire import PromptVersion, RenderError
from promptwire._core import checks
from promptwire.domain.content import Content
from promptwire.domain.template import MissingVariablesError, RenderingError, TextTemplate
from promptwire.domain.templates import check_template


class Model(BaseModel):
    name: str


class Pair(NamedTuple):
    first: int
    second: str


class Tone(Enum):
    KIND = "kind"


@dataclass
class Person:
    name: str = ""

    @property
    def label(self) -> str:
        return f"<{self.name}>"

    def greet(self) -> str:
        return "Hi"


def a_generator() -> Iterator[int]:
    yield 1


def a_traceback() -> object:
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


@pytest.mark.parametrize(
    ("text", "values", "rendered"),
    [
        # As the mustache spec's interpolation has them, but for HTML escapes, which are not for prompts.
        ("Hello, {{subject}}!", {"subject": "world"}, "Hello, world!"),
        ("|{{ string }}|", {"string": "---"}, "|---|"),
        ('"{{person.name}}" == "Joe"', {"person": {"name": "Joe"}}, '"Joe" == "Joe"'),
        ("{{a.b.c.d.e.name}}", {"a": {"b": {"c": {"d": {"e": {"name": "Phil"}}}}}}, "Phil"),
        ("{{forbidden}}", {"forbidden": '& " < >'}, '& " < >'),
        ("{{mph}} miles an hour!", {"mph": 85}, "85 miles an hour!"),
        # Ours.
        ("{{user.name}}", {"user": SimpleNamespace(name="Ana")}, "Ana"),
        ("{{user.name}} {{user.label}}", {"user": Person("Ana")}, "Ana <Ana>"),
        ("{{user.name}}", {"user": Model(name="Ana")}, "Ana"),
        ("{{pair.first}} {{pair.1}}.", {"pair": Pair(1, "b")}, "1 b."),
        ("{{rows.0.name}} {{rows.1.name}}", {"rows": [{"name": "a"}, Person("b")]}, "a b"),
        ("{{day.year}} {{tone.value}}", {"day": date(2026, 11, 28), "tone": Tone.KIND}, "2026 kind"),
        ("{{user.name}}", {"user.name": "Ana", "user": {"name": "Bo"}}, "Ana"),
        ("{{x}}", {"x": "{{y}}", "y": "z"}, "{{y}}"),
        (
            "{ x } {{}} {{ 1 }} {{a-b}} {{a.}} {{0.a}} {% if %}",
            {},
            "{ x } {{}} {{ 1 }} {{a-b}} {{a.}} {{0.a}} {% if %}",
        ),
        ('{"a": {"b": "{{x}}"}}', {"x": "1"}, '{"a": {"b": "1"}}'),
        ("", {}, ""),
    ],
)
def test_this_renders_so(text: str, values: dict[str, object], rendered: str) -> None:
    assert TextTemplate(text).render(values) == rendered


@pytest.mark.parametrize(
    ("text", "values", "missing"),
    [
        ("{{a}} {{b}} {{a}} {{c}}", {"b": 1}, ("a", "c")),
        ("{{user.name}}", {}, ("user.name",)),
        ("{{user.name.first}}", {"user": {"name": "Ana"}}, ("user.name.first",)),
        ("{{user.__class__}}", {"user": object()}, ("user.__class__",)),
        ("{{user._name}}", {"user": {"_name": "Ana"}}, ("user._name",)),
        ("{{user._name}}", {"user": SimpleNamespace(_name="Ana")}, ("user._name",)),
        ("{{user.get}}", {"user": {}}, ("user.get",)),
        ("{{name.upper}}", {"name": "Ana"}, ("name.upper",)),
        ("{{user.greet}}", {"user": Person("Ana")}, ("user.greet",)),
        ("{{rows.2}} {{rows.x}} {{rows.append}}", {"rows": [1]}, ("rows.2", "rows.x", "rows.append")),
        ("{{g.gi_frame.f_globals.X}}", {"g": a_generator()}, ("g.gi_frame.f_globals.X",)),
        (
            "{{f.gi_frame}} {{a.f.gi_frame}}",
            {"f": a_generator(), "a": {"f": a_generator()}},
            ("f.gi_frame", "a.f.gi_frame"),
        ),
        ("{{f.f_globals}}", {"f": sys._getframe()}, ("f.f_globals",)),
        ("{{a.f_globals.X}}", {"a": SimpleNamespace(f_globals=1)}, ("a.f_globals.X",)),
        ("{{a.frame.f_globals}}", {"a": SimpleNamespace(frame=sys._getframe())}, ("a.frame.f_globals",)),
        ("{{m.path}} {{p.func}}", {"m": sys, "p": partial(print, 1)}, ("m.path", "p.func")),
        ("{{c.name}} {{c.mro}}", {"c": Person}, ("c.name", "c.mro")),
        ("{{o.kind}}", {"o": SimpleNamespace(kind=Person)}, ("o.kind",)),
        ("{{f.keywords}} {{b.real}}", {"f": date.today, "b": len}, ("f.keywords", "b.real")),
        ("{{e.tb.tb_frame}}", {"e": SimpleNamespace(tb=a_traceback())}, ("e.tb.tb_frame",)),
    ],
)
def test_all_that_is_missing_is_named(text: str, values: dict[str, object], missing: tuple[str, ...]) -> None:
    with pytest.raises(MissingVariablesError) as refused:
        TextTemplate(text).render(values)
    assert refused.value.names == missing


def test_a_version_renders_in_several_ways() -> None:
    version = PromptVersion(name="p", version=1, template="Help {{user.name}} with {{what}}.", digest="sha256:x")
    assert version.format(user={"name": "Ana"}, what="5G") == "Help Ana with 5G."
    assert version.to_messages("user", user={"name": "Ana"}, what="5G") == [
        {"role": "user", "content": "Help Ana with 5G."}
    ]
    half: Any = version.format(what="5G", allow_partial=True)
    assert (half.template, half.variables, half.digest) == ("Help {{user.name}} with 5G.", ("user.name",), "")
    assert half.format(user={"name": "Ana"}) == "Help Ana with 5G."
    with pytest.raises(RenderError) as refused:
        version.format(what="5G")
    assert refused.value.missing == ("user.name",)


names = st.sampled_from(["a", "b", "user.name"])
pieces = st.one_of(st.text(st.characters(exclude_characters="{}"), max_size=5), names.map("{{{{{}}}}}".format))
values = st.dictionaries(names, st.text(max_size=5) | names.map("{{{{{}}}}}".format))


@given(st.lists(pieces).map("".join), values, values)
def test_filling_in_by_parts_is_filling_in_at_once(text: str, first: dict[str, str], second: dict[str, str]) -> None:
    whole = {**second, **first}
    template = TextTemplate(text)
    by_parts = template.partly(first).partly(second)
    assert (by_parts.text, by_parts.variables) == (template.partly(whole).text, template.partly(whole).variables)
    if all(name in whole for name in template.variables):
        assert by_parts.render({}) == template.render(whole)


def test_single_braces_are_what_str_format_makes_the_same_of() -> None:
    version = PromptVersion(name="p", version=1, template="Help {{ who }} with {{what}}.")
    single = version.to_single_brace_format()
    assert single == "Help {who} with {what}."
    assert single.format(who="Ana", what="5G") == version.format(who="Ana", what="5G")


@pytest.mark.parametrize(
    "text",
    [
        "{{user.name}}",
        "{{rows.0}}",
        "{{a}} {a.__class__}",
        "{{a}} {a[0]}",
        "{{a}} {a!r}",
        "{{a}} {a:{b}}",
        "{{a}} {a:>1000000000}",
        "{{a}} {0}",
        "{{a}} {",
        "{{a}} }",
        '{"a": "{{a}}"}',
        "{{a}} {{ two words }}",
        "{{{a}}}",
    ],
)
def test_what_str_format_would_evaluate_has_no_single_brace_form(text: str) -> None:
    with pytest.raises(RenderError, match=r"str\.format would"):
        PromptVersion(name="p", version=1, template=text).to_single_brace_format()


def test_a_text_is_bounded_in_places_variables_and_output() -> None:
    assert check_template(Content("{{a}}" * 10_000)) is None
    for text, says in {
        "{{a}}" * 10_001: "{{ at most 10,000 times",
        "".join(f"{{{{a{number}}}}}" for number in range(1_001)): "at most 1,000 variables",
    }.items():
        wrong = check_template(Content(text))
        assert wrong
        assert (wrong.field, says in wrong.description) == ("content.text", True)
    with pytest.raises(RenderingError, match="more than 16,777,216 characters; got 20,000,000"):
        TextTemplate("{{a}}" * 10_000).render({"a": "x" * 2_000})


def test_a_value_is_never_expanded_nor_its_own_error_hidden() -> None:
    version = PromptVersion(name="p", version=1, template="{{a}}-{{b}}")
    assert version.format(a="{{b}}", allow_partial=True).format(b="x") == version.format(a="{{b}}", b="x") == "{{b}}-x"

    class Unprintable:
        def __str__(self) -> str:
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        version.format(a=Unprintable(), b="x")
    assert PromptVersion(name="p", version=1, template="{{role}}").to_messages("user", role="x") == [
        {"role": "user", "content": "x"}
    ]


def test_a_pydantic_model_stands_for_its_schema() -> None:
    class Answer(BaseModel):
        text: str

    assert '"required":["text"]' in checks.json_object(Answer, "response_format")
