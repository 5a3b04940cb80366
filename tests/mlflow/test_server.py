"""MLflow's own HTTP server in front of the registry, which is how its UI and teams that keep a server reach it."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import promptwire
from tests.mlflow.supports import needs
from tests.support.servers import free_port
from tests.support.service import ServiceProcess

pytestmark = [needs("3.17"), pytest.mark.timeout(200)]


NAMESPACE = "served"
START_SECONDS = 100.0
"""Two processes that import all of MLflow."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path, service: ServiceProcess) -> Iterator[str]:
    """Its address; with two processes, each of which has a store of its own."""
    directory, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy(empty_database, directory / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "2"]
    command += ["--backend-store-uri", f"sqlite:///{directory / 'mlflow.db'}"]
    command += ["--registry-store-uri", f"promptwire://{service.target}/{NAMESPACE}"]
    command += ["--artifacts-destination", str(directory / "files")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log_path = directory / "log"
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log_path.read_text()[-3000:]
            assert time.monotonic() < deadline, log_path.read_text()[-3000:]
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # a group of its own: its workers outlive their parent otherwise
        process.wait(30)


@pytest.fixture
def native(service: ServiceProcess) -> Iterator[promptwire.Client]:
    with promptwire.Client(service.target, namespace=NAMESPACE) as made:
        yield made


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_prompts_through_mlflows_server(server: str, native: promptwire.Client) -> None:
    mlflow.set_registry_uri(server)
    client = MlflowClient()
    for text in ("one", "two"):
        mlflow.genai.register_prompt("x", text, commit_message=text, tags={"team": "a"})
    mlflow.genai.set_prompt_alias("x", "production", 1)
    prompt = mlflow.genai.load_prompt("prompts:/x@production")
    assert (prompt.version, prompt.template, prompt.commit_message, prompt.aliases) == (1, "one", "one", ["production"])
    assert native.load_prompt("x@production").template == "one"
    found = mlflow.genai.search_prompts("tags.team = 'a'")
    assert [(one.name, one.description) for one in found] == [("x", "one")]
    assert [one.version for one in client.search_prompt_versions("x")] == [2, 1]
    assert list(client.search_registered_models()) == []
    with pytest.raises(MlflowException) as caught:
        client.get_prompt_version("x", 7)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    # What its page of prompts asks for.
    (model,) = client._get_registry_client().store.search_registered_models("tags.`mlflow.prompt.is_prompt` = 'true'")
    assert [int(one.version) for one in model.latest_versions] == [2]
    assert {alias: int(version) for alias, version in model.aliases.items()} == {"production": 1}
    client.delete_prompt_version("x", "2")
    client.delete_prompt_alias("x", "production")
    assert [one.version for one in native.list_prompt_versions("x")] == [1]


def test_a_new_prompt_is_not_deleted_through_it_and_an_older_one_is(server: str, native: promptwire.Client) -> None:
    mlflow.set_registry_uri(server)
    mlflow.genai.register_prompt("y", "one")
    with pytest.raises(MlflowException, match="may be MLflow cleaning up"):
        MlflowClient().delete_prompt("y")
    mlflow.genai.register_prompt("y", "two")
    MlflowClient().delete_prompt("y")
    assert "y" not in [one.name for one in native.list_prompts()]
