"""Text templates: what is a placeholder, what fills it, and what stays."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptwire import PromptVersion, RenderError
from promptwire._core import checks
from promptwire.domain.template import MissingVariablesError, TextTemplate


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
        ("{{user.name}}", {"user.name": "Ana", "user": {"name": "Bo"}}, "Ana"),
        ("{{x}}", {"x": "{{y}}", "y": "z"}, "{{y}}"),
        ("{ x } {{}} {{ 1 }} {{a-b}} {{a.}} {% if %}", {}, "{ x } {{}} {{ 1 }} {{a-b}} {{a.}} {% if %}"),
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
    ],
)
def test_all_that_is_missing_is_named(text: str, values: dict[str, object], missing: tuple[str, ...]) -> None:
    with pytest.raises(MissingVariablesError) as refused:
        TextTemplate(text).render(values)
    assert refused.value.names == missing


def test_a_version_renders_in_several_ways() -> None:
    version = PromptVersion(name="p", version=1, template="Help {{user.name}} with {{what}}.", digest="sha256:x")
    assert version.format(user={"name": "Ana"}, what="5G") == "Help Ana with 5G."
    assert version.to_single_brace_format() == "Help {user.name} with {what}."
    assert version.to_messages("user", user={"name": "Ana"}, what="5G") == [
        {"role": "user", "content": "Help Ana with 5G."}
    ]
    half = version.format(what="5G", allow_partial=True)
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
