"""The guide that MLflow's users know, as they work by it: with MLflow itself and only the registry URI set; and with
promptwire.genai and promptwire.Client in MLflow's place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlflow
import pytest

import promptwire
import promptwire.genai
from tests.mlflow.supports import needs
from tests.support.service import ServiceProcess

NAME = "telco_support_technical"
TEXTS = ("You are a technical support engineer.", "You are a senior technical support engineer. Help with 5G and IoT.")


@dataclass
class Tools:
    """What the guide calls: its `mlflow.genai` and its `client`, and how one lists all versions."""

    genai: Any
    client: Any
    versions: Callable[[str], Any]


def _with_mlflow(request: pytest.FixtureRequest) -> Tools:
    request.getfixturevalue("on_promptwire")
    client = mlflow.MlflowClient()
    return Tools(mlflow.genai, client, client.search_prompt_versions)


def _with_promptwire(request: pytest.FixtureRequest) -> Tools:
    service: ServiceProcess = request.getfixturevalue("service")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("PROMPTWIRE_TARGET", service.target)
    monkeypatch.setenv("PROMPTWIRE_NAMESPACE", request.getfixturevalue("namespace"))
    promptwire.genai.configure()
    client = promptwire.genai.get_client()
    return Tools(promptwire.genai, client, lambda name: promptwire.genai.search_prompts(f"name = '{name}'"))


@pytest.fixture(params=[_with_mlflow, _with_promptwire], ids=["mlflow", "promptwire"])
def tools(request: pytest.FixtureRequest) -> Iterator[Tools]:
    made: Tools = request.param(request)
    yield made
    if isinstance(made.client, promptwire.Client):
        made.client.close()


@pytest.fixture
def registered(tools: Tools) -> Tools:
    """Two versions, of which the first is in production."""
    tools.genai.register_prompt(
        name=NAME,
        template=TEXTS[0],
        commit_message="Initial version",
        tags={"use_case": "technical_support", "author": "team-ai", "token_count": "250"},
    )
    tools.client.set_registered_prompt_alias(NAME, "production", version=1)
    tools.genai.register_prompt(
        name=NAME,
        template=TEXTS[1],
        commit_message="v2: 5G and IoT",
        tags={"use_case": "technical_support", "improvement": "5g_iot"},
    )
    return tools


def support_prompts(tools: Tools, *names: str) -> None:
    for name in names:
        tools.genai.register_prompt(name=name, template=f"You are {name}.")
        tools.client.set_registered_prompt_alias(name, "production", 1)


def test_registering_and_loading(tools: Tools) -> None:
    prompt = tools.genai.register_prompt(NAME, TEXTS[0], commit_message="Initial version", tags={"author": "team-ai"})
    assert (prompt.name, prompt.version) == (NAME, 1)
    by_number = tools.genai.load_prompt(f"prompts:/{NAME}/1")
    assert (by_number.template, by_number.commit_message) == (TEXTS[0], "Initial version")
    assert by_number.tags == {"author": "team-ai"}
    assert tools.genai.load_prompt(NAME, version=1).template == TEXTS[0]


def test_an_agent_uses_the_text_of_production_and_of_the_newest(registered: Tools) -> None:
    agent_config = {}
    agent_config["system_prompt"] = registered.genai.load_prompt(f"prompts:/{NAME}@production").template
    assert agent_config == {"system_prompt": TEXTS[0]}
    assert registered.genai.load_prompt(f"prompts:/{NAME}@latest").version == 2


def test_search_by_tag_and_name(registered: Tools) -> None:
    support_prompts(registered, "shop_support")
    registered.client.set_prompt_tag("shop_support", "use_case", "shop")
    found = list(registered.genai.search_prompts(filter_string="tags.use_case = 'technical_support'"))
    assert {one.name for one in found} == {NAME}
    lines = [f"{one.name} v{one.version} - {one.tags.get('use_case')}" for one in found]
    assert lines[0] == f"{NAME} v2 - technical_support"
    assert {one.name for one in registered.genai.search_prompts(filter_string="name LIKE 'telco%'")} == {NAME}
    newest = max(registered.genai.search_prompts(filter_string=f"name = '{NAME}'"), key=lambda one: one.version)
    assert (newest.version, newest.commit_message, list(newest.aliases)) == (2, "v2: 5G and IoT", [])


def test_production_is_updated_while_agents_go_on(registered: Tools) -> None:
    def in_use() -> int:
        version: int = registered.genai.load_prompt(f"prompts:/{NAME}@production").version
        return version

    improved = registered.genai.register_prompt(NAME, "Better.", commit_message="v3")
    registered.client.set_registered_prompt_alias(NAME, "staging", improved.version)
    assert registered.genai.load_prompt(f"prompts:/{NAME}@staging").template == "Better."
    assert in_use() == 1
    registered.client.set_registered_prompt_alias(NAME, "production", improved.version)
    assert in_use() == 3


def test_two_variants_and_the_better_one_is_promoted(registered: Tools) -> None:
    registered.client.set_registered_prompt_alias(NAME, "variant_a", version=1)
    registered.client.set_registered_prompt_alias(NAME, "variant_b", version=2)
    quality = {
        variant: len(registered.genai.load_prompt(f"prompts:/{NAME}@{variant}").template)
        for variant in ("variant_a", "variant_b")
    }
    assert quality["variant_b"] > quality["variant_a"]
    registered.client.set_registered_prompt_alias(NAME, "champion", version=2)
    assert registered.genai.load_prompt(f"prompts:/{NAME}@champion").version == 2


def test_rollback_is_setting_the_alias_back(registered: Tools) -> None:
    previous_version = registered.genai.load_prompt(f"prompts:/{NAME}@production").version
    registered.client.set_registered_prompt_alias(NAME, "production", 2)
    assert registered.genai.load_prompt(f"prompts:/{NAME}@production").version == 2
    registered.client.set_registered_prompt_alias(NAME, "production", previous_version)
    assert registered.genai.load_prompt(f"prompts:/{NAME}@production").version == 1


def test_versions_are_compared(registered: Tools) -> None:
    one = registered.genai.load_prompt(f"prompts:/{NAME}/1")
    two = registered.genai.load_prompt(f"prompts:/{NAME}/2")
    assert (one.tags.get("token_count"), two.tags.get("token_count")) == ("250", None)
    assert (one.commit_message, two.commit_message) == ("Initial version", "v2: 5G and IoT")
    assert one.template != two.template


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a question of billing", "support_billing"),
        ("no connection", "support_technical"),
        ("hello", "support_general"),
    ],
)
def test_queries_are_routed_by_what_they_say(tools: Tools, query: str, expected: str) -> None:
    support_prompts(tools, "support_billing", "support_technical", "support_general")
    config = {
        "billing": "prompts:/support_billing@production",
        "connection": "prompts:/support_technical@production",
        "": "prompts:/support_general@production",
    }
    uri = next(uri for word, uri in config.items() if word in query)
    assert tools.genai.load_prompt(uri).template == f"You are {expected}."


def test_who_has_which_alias(registered: Tools) -> None:
    registered.client.set_registered_prompt_alias(NAME, "staging", 2)
    registered.client.set_registered_prompt_alias(NAME, "candidate", 2)
    newest = registered.genai.load_prompt(f"prompts:/{NAME}@latest")
    assert (newest.version, sorted(newest.aliases)) == (2, ["candidate", "staging"])
    production = registered.genai.load_prompt(f"prompts:/{NAME}@production")
    assert (production.version, list(production.aliases)) == (1, ["production"])
    assert len(production.template) == len(TEXTS[0])
    registered.client.delete_registered_prompt_alias(NAME, "candidate")
    assert list(registered.genai.load_prompt(f"prompts:/{NAME}@latest").aliases) == ["staging"]


def test_all_versions_are_listed(registered: Tools) -> None:
    listed = [
        (one.version, one.commit_message, ", ".join(one.aliases) or "None", one.tags.get("use_case"))
        for one in sorted(registered.versions(NAME), key=lambda one: one.version)
    ]
    assert listed == [
        (1, "Initial version", "production", "technical_support"),
        (2, "v2: 5G and IoT", "None", "technical_support"),
    ]


class Agent(mlflow.pyfunc.PythonModel):
    def predict(self, context: object, model_input: list[str]) -> list[str]:
        return model_input


def test_runs_are_added_up_by_version(registered: Tools) -> None:
    scores = {1: (0.5, 0.7), 2: (0.8, 1.0, 0.9)}
    for version, values in scores.items():
        registered.client.set_registered_prompt_alias(NAME, "production", version)
        for score in values:
            with mlflow.start_run():
                prompt = registered.genai.load_prompt(f"prompts:/{NAME}@production")
                mlflow.log_param("prompt_name", prompt.name)
                mlflow.log_param("prompt_version", prompt.version)
                mlflow.log_param("prompt_alias", "production")
                mlflow.log_metric("quality_score", score)
                mlflow.log_metric("latency", score / 10)
    runs = mlflow.search_runs(filter_string=f"params.prompt_name = '{NAME}'")
    table = runs.groupby("params.prompt_version").agg(
        avg_quality=("metrics.quality_score", "mean"),
        avg_latency=("metrics.latency", "mean"),
        num_runs=("run_id", "count"),
    )
    assert table.sort_index(ascending=False).round(6).reset_index().values.tolist() == [
        ["2", 0.9, 0.09, 3],
        ["1", 0.6, 0.06, 2],
    ]


@needs("3.5")
def test_a_model_is_logged_in_a_run_that_has_its_prompt(on_promptwire: str) -> None:
    mlflow.genai.register_prompt(NAME, TEXTS[0])
    mlflow.genai.set_prompt_alias(NAME, "production", 1)
    with mlflow.start_run() as run:
        mlflow.genai.load_prompt(f"prompts:/{NAME}@production")
        mlflow.pyfunc.log_model(name="agent", python_model=Agent(), pip_requirements=[])
    assert (
        mlflow.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"] == f'[{{"name": "{NAME}", "version": "1"}}]'
    )
