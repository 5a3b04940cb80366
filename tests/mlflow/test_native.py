"""A prompt registered through MLflow is Promptwire's own, and the other way round."""

import pickle
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.genai import load_prompt, register_prompt

import promptwire
from tests.mlflow.supports import needs
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.usefixtures("on_promptwire")

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}


@needs("3.17")
def test_what_mlflow_registers_is_an_ordinary_version(
    native: promptwire.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTWIRE_ACTOR", "bo@laptop")
    register_prompt(
        "x",
        "Hi {{who}}",
        commit_message="first",
        tags={"team": "a"},
        response_format=SCHEMA,
        model_config={"model_name": "m", "temperature": 0.5},
    )
    mlflow.genai.set_prompt_alias("x", "production", 1)
    version = native.load_prompt("x@production")
    assert (version.version, version.template, version.commit_message) == (1, "Hi {{who}}", "first")
    assert (version.tags, version.aliases, version.author) == ({"team": "a"}, ("production",), "bo@laptop")
    assert (version.response_format, version.model_config) == (SCHEMA, {"model_name": "m", "temperature": 0.5})
    assert (version.format(who="Ana"), version.syntax, version.is_chat) == ("Hi Ana", "", False)
    assert (
        version.digest
        == native.register_prompt(
            "same", "Hi {{who}}", response_format=SCHEMA, model_config={"model_name": "m", "temperature": 0.5}
        ).digest
    )
    assert native.get_prompt("x").tags["team"] == "a"


@needs("3.17")
def test_what_promptwire_registers_is_an_ordinary_prompt_of_mlflow(native: promptwire.Client) -> None:
    made = native.register_prompt(
        "x",
        "Hi {{who}}",
        commit_message="first",
        tags={"team": "a"},
        response_format=SCHEMA,
        model_config={"top_p": 0.5},
    )
    native.set_prompt_alias("x", "production", 1)
    prompt = load_prompt("prompts:/x@production")
    assert (prompt.name, prompt.version, prompt.template) == ("x", 1, "Hi {{who}}")
    assert (prompt.commit_message, prompt.tags, prompt.aliases) == ("first", {"team": "a"}, ["production"])
    assert (prompt.response_format, prompt.model_config) == (SCHEMA, {"top_p": 0.5})
    assert (prompt.user_id, prompt.creation_timestamp) == ("ana@laptop", made.creation_timestamp)
    assert [one.name for one in mlflow.genai.search_prompts()] == ["x"]
    assert register_prompt("x", "Hello").version == 2


@needs("3.5")
def test_chat_and_jinja2_are_the_same_kinds_of_prompt(native: promptwire.Client) -> None:
    messages = [{"role": "system", "content": "{% if kind %}Be kind.{% endif %}"}, {"role": "user", "content": "{{q}}"}]
    register_prompt("chat", messages)
    register_prompt("text", "{% for one in all %}{{ one }} {% endfor %}")
    chat, text = native.load_prompt("chat"), native.load_prompt("text")
    assert (chat.is_chat, chat.syntax, list(chat.template)) == (True, "jinja2", messages)
    assert chat.format(kind=True, q="Why?")[0]["content"] == "Be kind."
    assert (text.syntax, text.format(all=["a", "b"])) == ("jinja2", "a b ")
    native.register_prompt("chat", [{"role": "user", "content": [{"type": "text", "text": "{{q}}"}]}])
    assert load_prompt("prompts:/chat@latest").template == [
        {"role": "user", "content": [{"type": "text", "text": "{{q}}"}]}
    ]


@needs("3.17")
def test_what_mlflow_would_show_wrongly_is_refused_and_the_rest_is_listed(native: promptwire.Client) -> None:
    native.register_prompt("x", "plain")
    native.register_prompt("x", [{"type": "placeholder", "name": "history"}])
    native.register_prompt("x", "{{ who | upper }}", syntax="jinja2")
    for version in (2, 3):
        with pytest.raises(MlflowException, match="load it with promptwire") as caught:
            load_prompt("x", version=version)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert [one.version for one in MlflowClient().search_prompt_versions("x")] == [1]


def test_an_included_prompt_is_in_the_text(native: promptwire.Client) -> None:
    native.register_prompt("tone", "Be kind.")
    register_prompt("x", "{{> prompts:/tone/1 }} Help {{who}}.")
    assert load_prompt("prompts:/x/1").template == "Be kind. Help {{who}}."
    with pytest.raises(MlflowException, match="x") as caught:
        MlflowClient().delete_prompt_version("tone", "1")
    assert caught.value.error_code == "RESOURCE_CONFLICT"


def test_a_split_alias_answers_with_its_versions(native: promptwire.Client) -> None:
    for text in ("one", "two", "three"):
        native.register_prompt("x", text)
    native.set_prompt_alias_split("x", "production", {1: 50, 2: 50})
    assert {load_prompt("prompts:/x@production").version for _ in range(100)} == {1, 2}


def test_the_path_is_the_namespace(service: ServiceProcess, namespace: str, native: promptwire.Client) -> None:
    native.register_prompt("x", "one")
    elsewhere = MlflowClient(registry_uri=f"promptwire://{service.target}/{namespace}-other")
    assert elsewhere.get_prompt("x") is None
    elsewhere.register_prompt("x", "other")
    assert native.load_prompt("x").template == "one"


def test_target_and_namespace_come_from_the_environment_otherwise(
    service: ServiceProcess, namespace: str, native: promptwire.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.register_prompt("x", "one")
    monkeypatch.setenv("PROMPTWIRE_TARGET", service.target)
    monkeypatch.setenv("PROMPTWIRE_NAMESPACE", namespace)
    mlflow.set_registry_uri("promptwire://")
    assert load_prompt("prompts:/x@latest").template == "one"


def test_the_pair_of_reads_for_an_alias_is_of_one_revision(native: promptwire.Client) -> None:
    native.register_prompt("x", "one")
    native.register_prompt("x", "two")
    native.set_prompt_alias("x", "production", 1)
    store = MlflowClient()._get_registry_client().store
    by_alias = store.get_prompt_version_by_alias("x", "production")
    native.delete_prompt_version("x", 1, drop_aliases=True)
    store._client.get_prompt("x")  # it has heard of it
    by_number = store.get_prompt_version("x", str(by_alias.version))
    assert (by_number.template, by_number.aliases) == ("one", ["production"])
    with pytest.raises(MlflowException, match="version 1"):
        store.get_prompt_version("x", "1")


def test_the_second_read_holds_what_was_written_since_the_first(native: promptwire.Client) -> None:
    native.register_prompt("x", "one")
    client = MlflowClient()
    client.set_prompt_alias("x", "production", 1)
    client.get_prompt_version_by_alias("x", "production")
    client.set_prompt_version_tag("x", 1, "a", "b")
    assert client.get_prompt_version("x", 1).tags == {"a": "b"}


def test_a_store_is_pickled_without_its_connection(native: promptwire.Client, on_promptwire: str) -> None:
    native.register_prompt("x", "one")
    store = MlflowClient()._get_registry_client().store
    assert store.get_prompt_version("x", 1).template == "one"
    packed = pickle.dumps(store)
    assert len(packed) < 500
    again = pickle.loads(packed)
    assert again.get_prompt_version("x", 1).template == "one"
    again._client.close()


class TestDifferences:
    """From MLflow's own stores, on purpose: docs/mlflow.md has them."""

    def test_a_versions_content_never_changes(self, native: promptwire.Client) -> None:
        native.register_prompt("x", "one", model_config={"temperature": 0.5})
        client = MlflowClient()
        for key in (
            "mlflow.prompt.text",
            "_mlflow_prompt_type",
            "_mlflow_prompt_response_format",
            "_mlflow_prompt_model_config",
        ):
            for call in (
                lambda key=key: client.set_prompt_version_tag("x", 1, key, "{}"),
                lambda key=key: client.delete_prompt_version_tag("x", 1, key),
            ):
                assert code_of(call) == "INVALID_PARAMETER_VALUE"
        assert native.load_prompt("x").template == "one"
        assert native.load_prompt("x").tags == {}

    def test_a_prompt_stays_a_prompt(self, native: promptwire.Client) -> None:
        native.register_prompt("x", "one")
        client = MlflowClient()
        client.set_prompt_tag("x", "mlflow.prompt.is_prompt", "true")
        assert code_of(lambda: client.set_prompt_tag("x", "mlflow.prompt.is_prompt", "no")) == "INVALID_PARAMETER_VALUE"
        assert code_of(lambda: client.delete_prompt_tag("x", "mlflow.prompt.is_prompt")) == "INVALID_PARAMETER_VALUE"
        assert native.get_prompt("x").tags == {}

    @pytest.mark.parametrize("template", ["", "{% if %}", "{{> prompts:/nothing }}"])
    def test_templates_that_cannot_be_filled_in_are_refused(self, native: promptwire.Client, template: str) -> None:
        assert code_of(lambda: register_prompt("x", template)) == "INVALID_PARAMETER_VALUE"
        assert list(native.list_prompts()) == []
        assert MlflowClient().get_prompt("x") is None

    def test_templates_may_be_longer(self) -> None:
        register_prompt("x", "a" * 500_000)
        assert len(load_prompt("prompts:/x/1").template) == 500_000

    @pytest.mark.parametrize("alias", ["2026", "a" * 65])
    def test_aliases_are_short_and_not_numbers(self, native: promptwire.Client, alias: str) -> None:
        native.register_prompt("x", "one")
        assert code_of(lambda: MlflowClient().set_prompt_alias("x", alias, 1)) == "INVALID_PARAMETER_VALUE"

    def test_the_name_of_a_deleted_prompt_is_kept_for_it(self, native: promptwire.Client) -> None:
        register_prompt("x", "one")
        MlflowClient().delete_prompt("x")
        with pytest.raises(MlflowException, match="'x' is deleted, and its name is taken until it is purged") as caught:
            register_prompt("x", "again")
        assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
        native.undelete_prompt("x")
        assert register_prompt("x", "again").version == 2

    def test_registered_models_are_for_another_registry(self) -> None:
        client = MlflowClient()
        assert list(client.search_registered_models()) == []
        for call in (
            lambda: client.create_registered_model("model"),
            lambda: client._get_registry_client().create_model_version("model", "runs:/1/model"),
            lambda: client._get_registry_client().get_model_version_download_uri("model", "1"),
            lambda: client._get_registry_client().transition_model_version_stage("model", "1", "Production"),
        ):
            with pytest.raises(MlflowException, match="keep models in another registry") as caught:
                call()
            assert caught.value.error_code == "INVALID_PARAMETER_VALUE"

    def test_names_and_messages_do_not_change(self, native: promptwire.Client) -> None:
        native.register_prompt("x", "one", commit_message="first")
        registry = MlflowClient()._get_registry_client()
        assert code_of(lambda: registry.rename_registered_model("x", "y")) == "INVALID_PARAMETER_VALUE"
        assert code_of(lambda: registry.update_model_version("x", 1, "other")) == "INVALID_PARAMETER_VALUE"
        registry.update_registered_model("x", "what it is for")
        assert MlflowClient().get_prompt("x").description == "what it is for"
        assert native.load_prompt("x").commit_message == "first"


class TestMethodsOfGuides:
    """MlflowClient.set_ and delete_registered_prompt_alias."""

    def test_a_release_script_has_them_before_anything_was_loaded(self, native: promptwire.Client) -> None:
        native.register_prompt("x", "one")
        client = MlflowClient()
        client.set_registered_prompt_alias("x", "production", version=1)
        assert native.get_prompt("x").aliases == {"production": 1}
        client.delete_registered_prompt_alias("x", "production")
        assert native.get_prompt("x").aliases == {}

    def test_clients_of_other_registries_lack_them_as_before(self, tracking: str) -> None:
        client = MlflowClient(registry_uri=tracking)
        assert not hasattr(client, "set_registered_prompt_alias")
        assert not hasattr(MlflowClient, "delete_registered_prompt_alias")


def code_of(call: Any) -> str:
    with pytest.raises(MlflowException) as caught:
        call()
    code: str = caught.value.error_code
    return code
