"""Chat templates: what is a message, what fills it in, and what is refused."""

import json
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire import PromptVersion, RenderError
from promptwire._core import checks
from promptwire.domain.content import Content, Include
from promptwire.domain.templates import check_template
from promptwire.read_only import read_only

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You help {{customer.name}}."},
    {"type": "placeholder", "name": "history"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "{{question}}"},
            {"type": "image_url", "image_url": {"url": "{{url}}", "detail": "high"}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "{{kept}}", "type": "function"}]},
]
VALUES = {
    "customer": {"name": "Ana"},
    "history": [{"role": "user", "content": "{{x}}"}],
    "question": "Why?",
    "url": "u",
}


def version(messages: Any, syntax: str | None = None) -> PromptVersion:
    content = checks.content(messages, None, None, syntax)
    return PromptVersion(
        name="p",
        version=1,
        template=read_only(messages),
        messages_json=content.messages_json,
        syntax=content.syntax,
        digest=content.digest,
    )


def test_messages_are_filled_in_and_kept_as_given() -> None:
    prompt = version(MESSAGES)
    filled = prompt.format(**VALUES)
    assert filled == [
        {"role": "system", "content": "You help Ana."},
        {"role": "user", "content": "{{x}}"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Why?"},
                {"type": "image_url", "image_url": {"url": "u", "detail": "high"}},
            ],
        },
        MESSAGES[3],
    ]
    assert prompt.to_messages(**VALUES) == filled
    filled[0]["content"] = "mine"
    assert prompt.format(**VALUES)[0]["content"] == "You help Ana."
    assert prompt.is_chat
    assert prompt.template == MESSAGES
    with pytest.raises(TypeError, match="read-only"):
        prompt.template[0]["content"] = "mine"
    with pytest.raises(TypeError, match="read-only"):
        prompt.template.append({})
    assert pickle.loads(pickle.dumps(prompt)) == prompt
    assert json.loads(json.dumps(prompt.template)) == MESSAGES


def test_all_that_is_missing_is_named_in_order() -> None:
    with pytest.raises(RenderError) as refused:
        version(MESSAGES).format(question="Why?")
    assert refused.value.missing == ("customer.name", "history", "url")


def test_an_optional_placeholder_may_stay_empty() -> None:
    prompt = version([{"type": "placeholder", "name": "h", "optional": True}, {"role": "user", "content": "x"}])
    assert prompt.format() == [{"role": "user", "content": "x"}]


@pytest.mark.parametrize("given_history", ["text", {"role": "user"}, [{"content": "x"}], [1], None])
def test_a_placeholder_takes_messages_and_nothing_else(given_history: object) -> None:
    with pytest.raises(RenderError, match="history must be a list of messages"):
        version(MESSAGES).format(**{**VALUES, "history": given_history})


def test_a_chat_prompt_may_be_filled_in_by_parts() -> None:
    half = version(MESSAGES).format(history=VALUES["history"], question="{{url}}", allow_partial=True)
    assert isinstance(half, PromptVersion)
    assert (half.variables, half.digest) == (("customer.name", "url"), "")
    assert half.template[1] == {"role": "user", "content": "{{x}}"}
    assert half.format(customer={"name": "Ana"}, url="u")[2]["content"][0]["text"] == "{{url}}"
    assert version(MESSAGES).format(allow_partial=True, **VALUES) == version(MESSAGES).format(**VALUES)


def test_single_braces_are_in_every_message() -> None:
    with pytest.raises(RenderError, match=r"customer\.name has a dot"):
        version(MESSAGES).to_single_brace_format()
    single = version([{"role": "system", "content": "You help {{customer}}."}, *MESSAGES[1:]]).to_single_brace_format()
    assert single[0] == {"role": "system", "content": "You help {customer}."}
    assert single[1] == MESSAGES[1]
    assert single[2]["content"][1]["image_url"]["url"] == "{url}"


def test_messages_may_be_jinja() -> None:
    prompt = version([{"role": "user", "content": "{% for x in xs %}{{ x }};{% endfor %}"}], "jinja2")
    assert prompt.format(xs=[1, 2]) == [{"role": "user", "content": "1;2;"}]
    with pytest.raises(RenderError, match="partly"):
        prompt.format(allow_partial=True)
    with pytest.raises(RenderError, match="single-brace"):
        prompt.to_single_brace_format()


def test_jinja_says_what_it_needs_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "promptwire.domain.jinja", None)
    prompt = PromptVersion(name="p", version=1, template="{{ x }}", syntax="jinja2", variables=("x",))
    with pytest.raises(RenderError, match=r"pip install 'promptwire\[jinja\]'"):
        prompt.format(x=1)
    assert prompt.template == "{{ x }}"


@pytest.mark.parametrize(
    ("messages", "field", "says"),
    [
        ("{", "messages_json", "must be a JSON array of messages; Expecting"),
        ("{}", "messages_json", "must be a JSON array of 1-1,000 messages; got a JSON dict"),
        ("[]", "messages_json", "must be a JSON array of 1-1,000 messages; got 0"),
        ("[1]", "messages_json[0]", "must be an object with role and content; got a JSON int"),
        ('[{"content": "x"}]', "messages_json[0].role", "got NoneType"),
        ('[{"role": "", "content": "x"}]', "messages_json[0].role", "1-64 characters"),
        ('[{"role": "user"}]', "messages_json[0].content", "got nothing"),
        ('[{"role": "user", "content": 1}]', "messages_json[0].content", "got a JSON int"),
        (
            '[{"role": "user", "content": [{"text": "x"}]}]',
            "messages_json[0].content",
            "a list with a part that has none",
        ),
        ('[{"role": "user", "content": "{{> x y"}]', "messages_json[0].content", "line 1, column 1: an include is"),
        ('[{"type": "placeholder"}]', "messages_json[0].name", "got NoneType"),
        ('[{"type": "placeholder", "name": "a b"}]', "messages_json[0].name", "letters, digits and _"),
        ('[{"type": "placeholder", "name": "a", "optional": 1}]', "messages_json[0].optional", "true or false"),
        ('[{"type": "placeholder", "name": "a", "role": "user"}]', "messages_json[0].role", "is not known"),
        (
            '[{"role": "user", "content": "{{a}}"}, {"type": "placeholder", "name": "a"}]',
            "messages_json[0].content",
            "a is a placeholder for messages",
        ),
        (
            '[{"role": "user", "content": [' + '{"type": "x", "y": [' * 40 + "]}" * 40 + "]}]",
            "messages_json",
            "over 64 deep",
        ),
        ("[NaN]", "messages_json", "NaN is not JSON"),
        ('[{"role": "user", "content": "\\ud800"}]', "messages_json", "half of a surrogate pair"),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(messages: str, field: str, says: str) -> None:
    wrong = check_template(Content(messages_json=messages), "content")
    assert wrong is not None
    assert wrong.field == f"content.{field}"
    assert says in wrong.description


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
entries = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "x"]), "content": st.text(max_size=9)}),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "x": json_values})),
        }
    ),
    st.fixed_dictionaries({"type": st.just("placeholder"), "name": st.sampled_from(["h", "g"])}),
)


@given(st.lists(entries, min_size=1, max_size=4))
def test_whatever_is_accepted_is_filled_in_and_without_variables_as_it_was(messages: list[dict[str, Any]]) -> None:
    content = checks.content(messages, None, None, None)
    if check_template(content):
        return
    filled = version(messages).format(h=[], g=[], a="b")
    assert filled == [message for message in messages if message.get("type") != "placeholder"]


def test_a_digest_covers_all_that_a_content_says() -> None:
    contents = [
        Content("x"),
        Content("x", syntax="jinja2"),
        Content("x", source="{{> y }}"),
        Content("x", includes=(Include("y", 1, "sha256:z"),)),
        Content(messages_json="x"),
        Content("x", response_format_json="{}"),
        Content("x", model_config_json="{}"),
    ]
    assert len({content.digest for content in contents}) == len(contents)
    assert all(Content.of_fields(content.fields()) == content for content in contents)
    # As it always was.
    assert Content("Hi {{name}}").digest == "sha256:31d401c83342f288d4d0b52c7f167ad1a4ac6f7c5c8dd4799b76251bd6b42178"
