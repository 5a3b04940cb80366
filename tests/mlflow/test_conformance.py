"""MLflow's public behaviour with prompts, asserted of MLflow's own sqlite store and of ours: the same outcomes.

What differs on purpose is in test_differences.py and docs/mlflow.md.
"""

import copy
import pickle
import threading
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.genai import load_prompt, register_prompt, search_prompts, set_prompt_alias

from tests.mlflow.conftest import join_linking_threads
from tests.mlflow.supports import needs


@pytest.fixture(params=[pytest.param("sqlite", marks=needs("3.5")), "promptwire"])
def client(request: pytest.FixtureRequest, tracking: str) -> MlflowClient:
    uri = tracking if request.param == "sqlite" else request.getfixturevalue("registry_uri")
    mlflow.set_registry_uri(uri)
    return MlflowClient()


def refusal(call: Any, *arguments: Any, **keywords: Any) -> str:
    """The code of MLflow that it is refused with."""
    with pytest.raises(MlflowException) as caught:
        call(*arguments, **keywords)
    code: str = caught.value.error_code
    return code


def names(found: Any) -> list[str]:
    return [one.name for one in found]


def own_tags(tags: dict[str, str]) -> dict[str, str]:
    """Without what the background adds some time."""
    return {key: value for key, value in tags.items() if key != "_mlflow_experiment_ids"}


def test_versions_count_up_and_keep_what_they_were_given(client: MlflowClient) -> None:
    first = register_prompt("greeting", "Hi {{who}}", commit_message="one", tags={"team": "a", "cost": "1"})
    second = register_prompt("greeting", "Hello {{who}}", commit_message="two", tags={"team": "b"})
    assert (first.version, second.version) == (1, 2)
    for given, text, message, tags in (
        (first, "Hi {{who}}", "one", {"team": "a", "cost": "1"}),
        (second, "Hello {{who}}", "two", {"team": "b"}),
    ):
        for one in (given, load_prompt("greeting", version=given.version)):
            assert (one.name, one.template, one.commit_message, one.tags) == ("greeting", text, message, tags)
            assert one.uri == f"prompts:/greeting/{given.version}"
            assert one.variables == {"who"}
            assert one.creation_timestamp > 1_600_000_000_000
            assert one.last_updated_timestamp == one.creation_timestamp
            assert one.format(who="Ana") == text.replace("{{who}}", "Ana")


def test_the_same_template_makes_a_new_version(client: MlflowClient) -> None:
    assert [register_prompt("same", "text").version for _ in range(3)] == [1, 2, 3]


def test_without_message_and_tags_there_is_none(client: MlflowClient) -> None:
    prompt = register_prompt("bare", "text")
    assert (prompt.commit_message, prompt.tags, prompt.aliases) == (None, {}, [])
    assert load_prompt("bare", version=1).commit_message is None


def test_a_prompt_gathers_the_tags_of_its_versions(client: MlflowClient) -> None:
    register_prompt("x", "one", commit_message="first", tags={"a": "1", "b": "1"})
    register_prompt("x", "two", commit_message="second", tags={"b": "2"})
    prompt = client.get_prompt("x")
    assert (prompt.name, prompt.description) == ("x", "first")
    assert own_tags(prompt.tags) == {"a": "1", "b": "2"}
    assert prompt.creation_timestamp <= load_prompt("x", version=2).creation_timestamp


def test_loading_by_name_alias_and_uri(client: MlflowClient) -> None:
    register_prompt("x", "one")
    register_prompt("x", "two")
    set_prompt_alias("x", "production", 1)
    assert load_prompt("prompts:/x/1").version == 1
    assert load_prompt("x", version=2).version == 2
    assert load_prompt("x", version="2").version == 2
    assert load_prompt("prompts:/x@production").version == 1
    assert load_prompt("prompts:/x@latest").version == 2
    assert client.get_prompt_version("x", "production").version == 1
    assert client.get_prompt_version_by_alias("x", "production").version == 1
    assert client.get_prompt_version("x", 2).template == "two"


@needs("3.17")
def test_loading_by_name_alone_means_the_newest(client: MlflowClient) -> None:
    register_prompt("x", "one")
    register_prompt("x", "two")
    assert load_prompt("x").version == 2


def test_aliases_move_and_versions_tell_theirs(client: MlflowClient) -> None:
    register_prompt("x", "one")
    register_prompt("x", "two")
    for alias, version in (("production", 1), ("staging", 1), ("production", 2)):
        client.set_prompt_alias("x", alias, version)
    assert client.get_prompt_version("x", 1).aliases == ["staging"]
    assert client.get_prompt_version("x", 2).aliases == ["production"]
    assert load_prompt("prompts:/x@production").aliases == ["production"]
    client.delete_prompt_alias("x", "production")
    assert client.get_prompt_version("x", 2).aliases == []
    assert refusal(client.get_prompt_version_by_alias, "x", "production") == "INVALID_PARAMETER_VALUE"


def test_an_alias_that_is_not_there_is_deleted_without_complaint(client: MlflowClient) -> None:
    register_prompt("x", "one")
    client.delete_prompt_alias("x", "never")
    assert refusal(client.delete_prompt_alias, "nothing", "never") == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V12", "with space", "a/b", "é!", ""])
def test_aliases_that_are_reserved_or_not_names_are_refused(client: MlflowClient, alias: str) -> None:
    register_prompt("x", "one")
    assert refusal(client.set_prompt_alias, "x", alias, 1) == "INVALID_PARAMETER_VALUE"


def test_what_is_missing_is_told_by_the_same_codes(client: MlflowClient) -> None:
    register_prompt("x", "one")
    assert refusal(load_prompt, "nothing", version=1) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(load_prompt, "prompts:/nothing@production") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(load_prompt, "prompts:/x/7") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(load_prompt, "prompts:/x@never") == "INVALID_PARAMETER_VALUE"
    assert refusal(client.set_prompt_alias, "x", "production", 7) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_prompt_version, "nothing", 1) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_prompt_version, "x", 7) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_registered_model, "nothing") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.set_prompt_tag, "nothing", "a", "b") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.set_prompt_version_tag, "x", 7, "a", "b") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.delete_prompt_version, "x", "7") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.delete_prompt, "nothing") == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_prompt("nothing") is None


@needs("3.5")
def test_missing_prompts_may_be_allowed(client: MlflowClient) -> None:
    register_prompt("x", "one")
    assert load_prompt("nothing", version=1, allow_missing=True) is None
    assert load_prompt("prompts:/x/7", allow_missing=True) is None


@needs("3.17")
def test_missing_aliases_may_be_allowed(client: MlflowClient) -> None:
    register_prompt("x", "one")
    assert load_prompt("prompts:/x@never", allow_missing=True) is None
    assert load_prompt("prompts:/nothing@never", allow_missing=True) is None


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "ä"])
def test_names_that_are_none_are_refused(client: MlflowClient, name: str) -> None:
    assert refusal(register_prompt, name, "text") == "INVALID_PARAMETER_VALUE"
    assert names(search_prompts()) == []


def test_tags_of_prompts_and_versions_are_set_and_removed(client: MlflowClient) -> None:
    register_prompt("x", "one", tags={"a": "1"})
    client.set_prompt_tag("x", "owner", "ana")
    client.set_prompt_version_tag("x", 1, "a", "2")
    client.set_prompt_version_tag("x", "1", "odd key", 'it\'s "so"')
    assert own_tags(client.get_prompt("x").tags) == {"a": "1", "owner": "ana"}
    assert client.get_prompt_version("x", 1).tags == {"a": "2", "odd key": 'it\'s "so"'}
    client.delete_prompt_tag("x", "owner")
    client.delete_prompt_tag("x", "never")
    client.delete_prompt_version_tag("x", 1, "a")
    client.delete_prompt_version_tag("x", 1, "never")
    assert own_tags(client.get_prompt("x").tags) == {"a": "1"}
    assert client.get_prompt_version("x", 1).tags == {"odd key": 'it\'s "so"'}


def test_deleted_versions_are_gone_with_their_aliases_and_numbers_are_not_used_again(client: MlflowClient) -> None:
    for text in ("one", "two", "three"):
        register_prompt("x", text)
    client.set_prompt_alias("x", "production", 3)
    client.set_prompt_alias("x", "staging", 2)
    client.delete_prompt_version("x", "3")
    assert refusal(client.get_prompt_version, "x", 3) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.get_prompt_version_by_alias, "x", "production") == "INVALID_PARAMETER_VALUE"
    assert client.get_prompt_version_by_alias("x", "staging").version == 2
    assert load_prompt("prompts:/x@latest").version == 2
    assert register_prompt("x", "four").version == 4


def test_a_deleted_prompt_is_gone(client: MlflowClient) -> None:
    register_prompt("x", "one")
    register_prompt("y", "one")
    join_linking_threads()
    client.delete_prompt("x")
    assert client.get_prompt("x") is None
    assert refusal(client.get_prompt_version, "x", 1) == "RESOURCE_DOES_NOT_EXIST"
    assert names(search_prompts()) == ["y"]


def test_search_finds_prompts_by_name_and_tags(client: MlflowClient) -> None:
    for name, tags in (
        ("telco_billing", {"use_case": "billing", "team": "a"}),
        ("telco_technical", {"use_case": "technical_support", "team": "b"}),
        ("Telco_upper", {"team": "a"}),
        ("shop", {"use_case": "billing", "odd.key-1": "it's"}),
    ):
        register_prompt(name, "text", tags=tags)
    for filter_string, expected in (
        (None, ["Telco_upper", "shop", "telco_billing", "telco_technical"]),
        ("tags.use_case = 'technical_support'", ["telco_technical"]),
        ('tags.use_case = "billing"', ["shop", "telco_billing"]),
        ("tag.use_case = 'billing' AND tags.team = 'a'", ["telco_billing"]),
        ("tags.use_case != 'billing'", ["telco_technical"]),
        ("tags.use_case LIKE '%_support'", ["telco_technical"]),
        ("tags.use_case ILIKE 'BILL%'", ["shop", "telco_billing"]),
        ('tags.`odd.key-1` = "it\'s"', ["shop"]),
        ("tags.never = 'x'", []),
        ("name = 'shop'", ["shop"]),
        ("name != 'shop'", ["Telco_upper", "telco_billing", "telco_technical"]),
        ("name LIKE 'telco%'", ["telco_billing", "telco_technical"]),
        ("name ILIKE 'telco%'", ["Telco_upper", "telco_billing", "telco_technical"]),
        ("name LIKE 'telco%' AND tags.team = 'b'", ["telco_technical"]),
        ("name LIKE '%\\%'", []),
        ("name = 'never'", []),
    ):
        assert names(search_prompts(filter_string=filter_string)) == expected, filter_string


@needs("3.17")
def test_search_takes_lists_of_names(client: MlflowClient) -> None:
    for name in ("a", "b", "c"):
        register_prompt(name, "text")
    assert names(search_prompts(filter_string="name IN ('a', 'c')")) == ["a", "c"]
    assert names(search_prompts(filter_string="name NOT IN ('a', 'c')")) == ["b"]


@pytest.mark.parametrize(
    "filter_string",
    [
        "nonsense",
        "name",
        "name = unquoted",
        "color = 'red'",
        "tags.a > 'x'",
        "name = 'a' OR name = 'b'",
        "params.a = 'b'",
    ],
)
def test_filters_that_cannot_be_read_are_refused(client: MlflowClient, filter_string: str) -> None:
    register_prompt("x", "one")
    assert refusal(client.search_prompts, filter_string) == "INVALID_PARAMETER_VALUE"


def test_search_comes_in_pages(client: MlflowClient) -> None:
    for number in range(7):
        register_prompt(f"p{number}", "text", tags={"even": str(number % 2 == 0)})
    found, token, pages = [], None, 0
    while True:
        page = client.search_prompts(max_results=3, page_token=token)
        found += names(page)
        pages, token = pages + 1, page.token
        if not token:
            break
    assert (found, pages) == ([f"p{number}" for number in range(7)], 3)
    assert names(search_prompts(max_results=2)) == ["p0", "p1"]
    assert names(search_prompts(filter_string="tags.even = 'True'", max_results=3)) == ["p0", "p2", "p4"]
    assert refusal(client.search_prompts, max_results=100_000) == "INVALID_PARAMETER_VALUE"


@needs("3.17")
def test_search_comes_in_the_order_that_is_asked_for(client: MlflowClient) -> None:
    for name in ("b", "c", "a"):
        register_prompt(name, "text")
    join_linking_threads()
    client.set_prompt_version_tag("b", 1, "x", "y")
    register_prompt("c", "again")
    assert names(search_prompts(order_by=["name DESC"])) == ["c", "b", "a"]
    assert names(search_prompts(order_by=["name"])) == ["a", "b", "c"]
    assert names(search_prompts(order_by=["last_updated_timestamp DESC"]))[0] == "c"
    assert refusal(client.search_prompts, order_by=["color"]) == "INVALID_PARAMETER_VALUE"


@needs("3.17")
def test_prompts_are_found_by_the_experiment_that_uses_them(client: MlflowClient) -> None:
    register_prompt("x", "text")
    join_linking_threads()
    experiment_id = mlflow.search_experiments(filter_string="name = 'tests'")[0].experiment_id
    assert names(search_prompts(filter_string=f"experiment_id = '{experiment_id}'")) == ["x"]
    assert names(search_prompts(filter_string="experiment_id = '12345'")) == []
    assert refusal(client.search_prompts, "experiment_id = 'x'") == "INVALID_PARAMETER_VALUE"


@needs("3.17")
def test_the_versions_of_a_prompt_are_listed_newest_first(client: MlflowClient) -> None:
    for text in ("one", "two", "three", "four"):
        register_prompt("x", text, commit_message=text)
    register_prompt("xy", "other")
    client.delete_prompt_version("x", "2")
    page = client.search_prompt_versions("x", max_results=2)
    assert [(one.version, one.template, one.commit_message) for one in page] == [
        (4, "four", "four"),
        (3, "three", "three"),
    ]
    rest = client.search_prompt_versions("x", max_results=2, page_token=page.token)
    assert ([one.version for one in rest], rest.token) == ([1], None)
    assert refusal(client.search_prompt_versions, "nothing") == "RESOURCE_DOES_NOT_EXIST"


@needs("3.5")
def test_chat_prompts_stay_lists_of_messages(client: MlflowClient) -> None:
    messages = [{"role": "system", "content": "You are {{style}}."}, {"role": "user", "content": "{{question}} ü"}]
    register_prompt("chat", messages, commit_message="chat")
    prompt = load_prompt("chat", version=1)
    assert prompt.template == messages
    assert not prompt.is_text_prompt
    assert prompt.variables == {"style", "question"}
    assert prompt.format(style="kind", question="Why?")[1] == {"role": "user", "content": "Why? ü"}
    assert register_prompt("chat", "now text").is_text_prompt
    assert load_prompt("prompts:/chat@latest").template == "now text"


@needs("3.5")
def test_response_formats_are_kept(client: MlflowClient) -> None:
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str
        score: float = 0.5

    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}}
    assert register_prompt("x", "text", response_format=schema).response_format == schema
    assert load_prompt("x", version=1).response_format == schema
    register_prompt("x", "text", response_format=Answer)
    assert load_prompt("x", version=2).response_format == Answer.model_json_schema()
    register_prompt("x", "text")
    assert load_prompt("x", version=3).response_format is None


@needs("3.17")
def test_model_configs_are_kept(client: MlflowClient) -> None:
    from mlflow.entities.model_registry import PromptModelConfig

    register_prompt("x", "text", model_config={"model_name": "m", "temperature": 0.7, "own": {"deep": [1, None]}})
    assert load_prompt("x", version=1).model_config == {
        "model_name": "m",
        "temperature": 0.7,
        "own": {"deep": [1, None]},
    }
    register_prompt("x", "text", model_config=PromptModelConfig(provider="p", max_tokens=10))
    assert load_prompt("x", version=2).model_config == {"provider": "p", "max_tokens": 10}
    with pytest.raises(ValueError, match="temperature"):
        register_prompt("x", "text", model_config={"temperature": -1})
    assert load_prompt("prompts:/x@latest").version == 2


@needs("3.17")
def test_jinja2_is_rendered(client: MlflowClient) -> None:
    text = "Hi {% if name %}{{ name }}{% else %}you{% endif %}!"
    register_prompt("x", text)
    prompt = load_prompt("x", version=1)
    assert (prompt.template, prompt.format(name="Ana"), prompt.format()) == (text, "Hi Ana!", "Hi you!")


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "{",
        "{{}}",
        "{{ 1x }}",
        "{{a b}} {{ ok }}",
        "{single}",
        "line\nline\r\n\ttab",
        "日本語 🎉 {{名}}",
        "{{a.b}}",
    ],
)
def test_texts_are_kept_to_the_byte(client: MlflowClient, text: str) -> None:
    register_prompt("x", text)
    assert load_prompt("x", version=1).template == text


def test_a_prompt_may_be_made_before_its_first_version(client: MlflowClient) -> None:
    made = client.create_prompt("x", description="what it is for", tags={"a": "1"})
    assert (made.name, made.description, made.tags) == ("x", "what it is for", {"a": "1"})
    assert refusal(client.create_prompt, "x") == "RESOURCE_ALREADY_EXISTS"
    client.set_prompt_tag("x", "b", "2")
    client.delete_prompt_tag("x", "a")
    version = client.create_prompt_version("x", "text", description="first", tags={"c": "3"})
    assert (version.version, version.commit_message, version.tags) == (1, "first", {"c": "3"})
    prompt = client.get_prompt("x")
    assert (prompt.description, prompt.tags) == ("what it is for", {"b": "2"})
    assert refusal(client.create_prompt, "x") == "RESOURCE_ALREADY_EXISTS"
    assert refusal(client.create_prompt_version, "nothing", "text") == "RESOURCE_DOES_NOT_EXIST"
    client.create_prompt("gone")
    client.delete_prompt("gone")
    assert client.get_prompt("gone") is None


def test_a_failed_first_version_leaves_nothing_behind(client: MlflowClient) -> None:
    assert refusal(register_prompt, "x", "text", tags={"k" * 251: "v"}) == "INVALID_PARAMETER_VALUE"
    assert refusal(register_prompt, "x", "a" * 1_200_000) == "INVALID_PARAMETER_VALUE"
    assert client.get_prompt("x") is None
    assert names(search_prompts()) == []
    assert register_prompt("x", "text").version == 1


def test_a_failed_later_version_leaves_the_others(client: MlflowClient) -> None:
    register_prompt("x", "text")
    assert refusal(register_prompt, "x", "a" * 1_200_000) == "INVALID_PARAMETER_VALUE"
    assert load_prompt("prompts:/x@latest").version == 1
    assert register_prompt("x", "text").version == 2


def test_prompts_are_not_among_the_models(client: MlflowClient) -> None:
    register_prompt("x", "text")
    assert names(client.search_registered_models()) == []
    assert list(client.search_model_versions("name = 'x'")) == []
    assert refusal(client.get_model_version, "x", 1) == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.delete_registered_model, "x") == "RESOURCE_DOES_NOT_EXIST"
    assert refusal(client.set_registered_model_tag, "x", "a", "b") == "RESOURCE_DOES_NOT_EXIST"
    assert load_prompt("x", version=1).template == "text"


def test_runs_know_the_prompts_that_were_loaded_in_them(client: MlflowClient) -> None:
    register_prompt("x", "text", tags={"a": "b"})
    set_prompt_alias("x", "production", 1)
    with mlflow.start_run() as run:
        prompt = load_prompt("prompts:/x@production")
        mlflow.log_param("prompt_version", prompt.version)
    data = client.get_run(run.info.run_id).data
    assert data.tags["mlflow.linkedPrompts"] == '[{"name": "x", "version": "1"}]'
    assert client.list_logged_prompts(run.info.run_id) == []  # MLflow looks for another tag than it writes


@needs("3.5")
def test_traces_know_the_prompts_that_were_loaded_in_them(client: MlflowClient) -> None:
    register_prompt("x", "text")

    @mlflow.trace
    def answer() -> str:
        return str(load_prompt("prompts:/x/1").template)

    answer()
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    assert client.get_trace(trace_id).info.tags["mlflow.linkedPrompts"] == '[{"name": "x", "version": "1"}]'


def test_logged_models_know_their_prompts(client: MlflowClient) -> None:
    register_prompt("x", "text")
    with mlflow.set_active_model(name="agent") as model:
        load_prompt("prompts:/x/1")
        join_linking_threads()
    assert client.get_logged_model(model.model_id).tags["mlflow.linkedPrompts"] == '[{"name": "x", "version": "1"}]'


def test_threads_register_versions_without_losing_any(client: MlflowClient) -> None:
    register_prompt("x", "first")
    versions: list[int] = []

    def register() -> None:
        versions.extend(register_prompt("x", f"text {number}").version for number in range(5))

    threads = [threading.Thread(target=register) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == list(range(2, 17))


def test_clients_and_versions_can_be_copied_and_pickled(client: MlflowClient) -> None:
    version = register_prompt("x", "text", tags={"a": "b"})
    again = pickle.loads(pickle.dumps(client))
    assert again.get_prompt_version("x", 1).tags == {"a": "b"}
    assert copy.deepcopy(client).get_prompt("x").name == "x"
    assert pickle.loads(pickle.dumps(version)).template == "text"
