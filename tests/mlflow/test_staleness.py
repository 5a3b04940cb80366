"""What an agent's process has when another one has moved an alias: MLflow alone keeps what it had for a minute."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import mlflow
import pytest
from mlflow import MlflowClient

import promptwire
from tests.mlflow.supports import needs

SOON_SECONDS = 5.0
"""Far below MLflow's minute; a push takes milliseconds."""


class Agent:
    def __init__(self, registry_uri: str, tracking_uri: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mlflow.agent", registry_uri, tracking_uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready"

    def load(self, uri: str) -> str:
        """Version, aliases and the tag `team`; or the error's code."""
        assert self._process.stdin is not None
        print(uri, file=self._process.stdin, flush=True)
        return self._read()

    def gets_soon(self, uri: str, expected: str) -> bool:
        deadline = time.monotonic() + SOON_SECONDS
        while (found := self.load(uri)) != expected:
            if time.monotonic() > deadline:
                print(f"still {found}, not {expected}")
                return False
        return True

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture
def agent(on_promptwire: str, tracking: str) -> Iterator[Agent]:
    mlflow.genai.register_prompt("x", "one", tags={"team": "a"})
    mlflow.genai.register_prompt("x", "two")
    mlflow.genai.set_prompt_alias("x", "production", 1)
    started = Agent(on_promptwire, tracking)
    yield started
    started.end()


def test_an_alias_that_another_process_moves_is_seen_at_once(agent: Agent) -> None:
    assert agent.load("prompts:/x@production") == "1 production a"
    for version, expected in ((2, "2 production -"), (1, "1 production a"), (2, "2 production -")):
        mlflow.genai.set_prompt_alias("x", "production", version)
        assert agent.gets_soon("prompts:/x@production", expected)


def test_so_is_one_that_is_moved_by_other_means_than_mlflow(agent: Agent, native: promptwire.Client) -> None:
    assert agent.load("prompts:/x@production") == "1 production a"
    native.release("Friday", {"x@production": 2})
    assert agent.gets_soon("prompts:/x@production", "2 production -")


def test_so_are_new_versions_and_missing_aliases(agent: Agent) -> None:
    assert agent.load("prompts:/x@latest") == "2  -"
    assert agent.load("prompts:/x@staging") == "INVALID_PARAMETER_VALUE"
    assert agent.load("prompts:/y@latest") == "RESOURCE_DOES_NOT_EXIST"
    mlflow.genai.register_prompt("x", "three")
    mlflow.genai.register_prompt("y", "one")
    mlflow.genai.set_prompt_alias("x", "staging", 3)
    assert agent.gets_soon("prompts:/x@latest", "3 staging -")
    assert agent.gets_soon("prompts:/x@staging", "3 staging -")
    assert agent.gets_soon("prompts:/y@latest", "1  -")
    MlflowClient().delete_prompt_alias("x", "staging")
    assert agent.gets_soon("prompts:/x@staging", "INVALID_PARAMETER_VALUE")


@needs("3.17")
def test_so_are_a_versions_tags_and_its_deletion(agent: Agent) -> None:
    assert agent.load("prompts:/x/1") == "1 production a"
    mlflow.genai.set_prompt_version_tag("x", 1, "team", "b")
    assert agent.gets_soon("prompts:/x/1", "1 production b")
    MlflowClient().delete_prompt_version("x", "1")
    assert agent.gets_soon("prompts:/x/1", "RESOURCE_DOES_NOT_EXIST")
    assert agent.gets_soon("prompts:/x@production", "INVALID_PARAMETER_VALUE")


@needs("3.17")
def test_mlflow_alone_keeps_what_it_had(tracking: str) -> None:
    """What the others are measured by: should MLflow change, docs/mlflow.md has to."""
    mlflow.set_registry_uri(tracking)
    mlflow.genai.register_prompt("x", "one")
    mlflow.genai.register_prompt("x", "two")
    mlflow.genai.set_prompt_alias("x", "production", 1)
    agent = Agent(tracking, tracking)
    assert agent.load("prompts:/x@production") == "1 production -"
    mlflow.genai.set_prompt_alias("x", "production", 2)
    assert agent.load("prompts:/x@production") == "1 production -"
    agent.end()


def test_who_has_set_mlflows_caches_keeps_what_he_has_set(
    registry_uri: str, native: promptwire.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS", "30")
    native.register_prompt("x", "one")
    mlflow.set_registry_uri(registry_uri)
    mlflow.genai.load_prompt("prompts:/x@latest")
    assert os.environ["MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS"] == "30"
    assert os.environ["MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS"] == "0"
