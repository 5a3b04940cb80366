"""Prompt files: written and read back byte for byte, and what is refused with file, line and field."""

import dataclasses
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from promptwire._core import checks
from promptwire.domain.content import Content
from promptwire.domain.templates import check_template
from promptwire.errors import PromptwireError
from promptwire.files.prompt_file import NEWEST, FileVersion, PromptFile, read, write

TEXTS = st.text(
    st.one_of(
        st.sampled_from(" \t\n\r#:-|>'\"\\{}[]&*!%@`é🙂\x85\u2028\ufeff\x00\x1b\u202e"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=80,
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.none() | st.dictionaries(TEXTS, JSON, max_size=3)
TAGS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20), TEXTS, max_size=3
)


# `{{>` begins an include, which has to name a prompt.
TEMPLATES = TEXTS.map(lambda text: text.replace("{{>", "{{ >"))
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "null", "- x"]), "content": TEMPLATES}),
        st.fixed_dictionaries(
            {"content": st.lists(st.fixed_dictionaries({"type": TEXTS, "x": TEMPLATES})), "role": st.just("user")},
            optional={"name": JSON},
        ),
        st.just({"type": "placeholder", "name": "h", "optional": True}),
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    template = draw(TEMPLATES.filter(bool) | MESSAGES)
    syntax = draw(st.sampled_from([None, None, "jinja2"]))
    content = checks.content(template, draw(OBJECTS), draw(OBJECTS), syntax)
    # Most of such texts are no Jinja2.
    return dataclasses.replace(content, syntax="") if check_template(content) else content


@st.composite
def versions(draw: st.DrawFn, number: int | None = None) -> FileVersion:
    return FileVersion(content=draw(contents()), commit_message=draw(TEXTS), tags=draw(TAGS), number=number)


@st.composite
def prompts(draw: st.DrawFn) -> PromptFile:
    numbers = sorted(draw(st.sets(st.integers(1, 9), max_size=3)))
    return PromptFile(
        name=draw(st.sampled_from(["telco", "support/billing", "null", "true", "a.b-c_d"])),
        versions=tuple(draw(versions(number)) for number in numbers) or (draw(versions()),),
        aliases=draw(
            st.dictionaries(st.sampled_from(["production", "on", "null", "x-1"]), st.sampled_from([NEWEST, 1, 2]))
        ),
        prompt_tags=draw(TAGS) if numbers else {},
    )


def same(one: PromptFile, other: PromptFile) -> bool:
    return (one.name, one.versions, dict(one.aliases), dict(one.prompt_tags)) == (
        other.name,
        other.versions,
        dict(other.aliases),
        dict(other.prompt_tags),
    )


@given(prompts())
def test_what_is_written_is_read_back_and_written_the_same(prompt: PromptFile) -> None:
    text = write(prompt)
    again = read(text, "f")
    assert same(again, prompt)
    assert write(again) == text


@given(prompts())
def test_a_file_whose_line_ends_git_has_changed_says_the_same(prompt: PromptFile) -> None:
    assert same(read(write(prompt).replace("\n", "\r\n"), "f"), prompt)


def test_a_file_reads_well() -> None:
    content = Content(
        "You explain bills to {{customer}}.  \n\n\tBe kind: always.\n", "", '{"model":"m-1","temperature":0.2}'
    )
    version = FileVersion(
        content=content, commit_message="First, for bills", tags={"use_case": "billing", "cost": "1.10", "on": "yes"}
    )
    prompt = PromptFile(name="support/billing", versions=(version,), aliases={"production": NEWEST, "staging": 2})
    assert write(prompt) == (
        "name: support/billing\n"
        "commit_message: First, for bills\n"
        "tags:\n"
        '  cost: "1.10"\n'
        '  "on": "yes"\n'
        "  use_case: billing\n"
        "aliases:\n"
        "  production: latest\n"
        "  staging: 2\n"
        "model_config:\n"
        "  model: m-1\n"
        "  temperature: 0.2\n"
        "template: |\n"
        "  You explain bills to {{customer}}.  \n"
        "\n"
        "  \tBe kind: always.\n"
    )


def test_ends_of_lines_that_yaml_would_change_are_written_out() -> None:
    prompt = PromptFile(name="a", versions=(FileVersion(content=Content("one\r\n  two\r\n")),))
    assert write(prompt) == 'name: a\ntemplate: "\\\n  one\\r\\n\\\n  \\  two\\r\\n"\n'


def test_what_is_written_by_hand_stays_text() -> None:
    prompt = read("name: a\ntags: {cost: 1.10, live: no, day: 2026-11-25}\ntemplate: 12\n", "f")
    assert dict(prompt.newest.tags) == {"cost": "1.10", "live": "no", "day": "2026-11-25"}
    assert prompt.newest.content.text == "12"


def test_json_has_the_types_that_json_has() -> None:
    prompt = read(
        "name: a\ntemplate: x\nmodel_config: {a: 1, b: 1.5, c: true, d: null, e: no, f: '1', g: 1e3, h: 0x1}\n", "f"
    )
    assert json.loads(prompt.newest.content.model_config_json) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "no", "f": "1", "g": 1000.0, "h": "0x1"
    }  # fmt: skip


def test_messages_read_well() -> None:
    messages = [
        {"role": "system", "content": "You help.\nBe kind.\n"},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": [{"type": "text", "text": "{{question}}"}]},
    ]
    prompt = PromptFile(name="chat", versions=(FileVersion(content=checks.content(messages, None, None, "jinja2")),))
    assert write(prompt) == (
        "name: chat\n"
        "syntax: jinja2\n"
        "messages:\n"
        "  - role: system\n"
        "    content: |\n"
        "      You help.\n"
        "      Be kind.\n"
        "  - type: placeholder\n"
        "    name: history\n"
        "  - role: user\n"
        "    content:\n"
        "      - type: text\n"
        '        text: "{{question}}"\n'
    )
    assert read(write(prompt), "f").newest == prompt.newest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f: is empty"),
        ("name: a\n", "f:1: has no template, and no messages"),
        ("name: a\ntemplate: x\nmessages: []\n", "f:3: messages: does not go with a template"),
        ("name: a\nmessages: x\n", "f:2: messages: must be a list"),
        ("name: a\nmessages: []\n", "f:2: messages: must be a JSON array of 1-1,000 messages; got 0"),
        ("name: a\nmessages: [{role: user}]\n", "f:2: messages: "),
        ("name: a\ntemplate: x\nsyntax: mustache\n", "f:3: syntax: must be jinja2"),
        ("name: a\ntemplate: '{% if %}'\nsyntax: jinja2\n", "f:2: template: line 1, column 7: Expected"),
        ("name: a\ntemplate: '{{> b c }}'\n", "f:2: template: line 1, column 1: an include is"),
        ("name: a\ntemplate: x\nsplits: {ab: {salt: s}}\n", "f:3: splits.ab: must have salt and weights; has salt"),
        ("name: a\ntemplate: x\nsplits: {ab: {salt: s, weights: {x: 1}}}\n", "splits.ab.weights: must be of version"),
        ("template: x\n", "f:1: has no name"),
        ("name: a//b\ntemplate: x\n", "f:1: name: must not begin"),
        ("name: a\ntemplate: ''\n", "f:2: template: must not be empty"),
        ("name: a\nname: b\ntemplate: x\n", "f:2: name: is given twice"),
        ("name: a\ntemplat: x\n", "f:2: templat: is not known; a prompt has name, "),
        ("name: a\ntemplate: x\ntags: [b]\n", "f:3: tags: must be a mapping, `key: value` lines; got a list"),
        ("name: a\ntemplate: x\ntags:\n  b: {c: d}\n", "f:4: tags.b: must be text; got a mapping"),
        ("name: a\ntemplate: x\naliases: {Latest: 1}\n", "f:3: aliases.Latest: 'latest' is reserved"),
        ("name: a\ntemplate: x\naliases: {production: 0}\n", "f:3: aliases.production: must be a whole number from 1"),
        ("name: a\ntemplate: x\nmodel_config: 5\n", "f:3: model_config: must be a mapping"),
        (
            "name: a\ntemplate: x\nmodel_config: {a: 1e999}\n",
            "f:3: model_config.a: a number is too large for a 64-bit float",
        ),
        ("name: &x a\ntemplate: *x\n", "f:1: has an anchor (&name) that is used again"),
        ("name: a\n\ttemplate: x\n", "is not YAML"),
        ("name: a\ntemplate: 'x\n", "is not YAML"),
        ("- a\n", "f:1: must be a mapping"),
        ("a\n", "f:1: must be a mapping"),
        ("name: a\ntemplate: x\n---\ntemplate: y\n", "f:1: has no version"),
        ("name: a\nversion: 2\ntemplate: x\n---\nversion: 2\ntemplate: y\n", "f:5: version: must be over 2"),
        ("name: a\nversion: 1\naliases: {b: 1}\ntemplate: x\n---\nversion: 2\ntemplate: y\n", "f:3: aliases: stands"),
        ("name: a\ntemplate: x\nmodel_config: " + "[" * 5_000 + "]" * 5_000, "f"),
        ("name: a\ntemplate: x\x00\n", "is not YAML"),
    ],
)
def test_what_breaks_a_rule_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(PromptwireError) as raised:
        read(text, "f")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@given(prompts())
def test_it_is_the_same_without_the_parser_in_c(prompt: PromptFile) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        assert same(read(write(prompt), "f"), prompt)
