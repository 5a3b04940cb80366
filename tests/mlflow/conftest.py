"""Real MLflow, with a tracking store of its own for each test, and a real service for its registry."""

import itertools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before MLflow is imported: it would send what is called to its makers.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import mlflow
import pytest
from mlflow.tracking import fluent
from mlflow.tracking._model_registry import fluent as registry_fluent
from mlflow.tracking._model_registry import utils as registry_utils
from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
from mlflow.tracking._tracking_service import utils as tracking_utils

import promptwire
from promptwire.mlflow.store import PromptwireStore
from tests.support.service import ServiceProcess, running_service

_numbers = itertools.count(1)

_SETTINGS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_ALIAS_PROMPT_CACHE_TTL_SECONDS",
    "MLFLOW_VERSION_PROMPT_CACHE_TTL_SECONDS",
    "PROMPTWIRE_TARGET",
    "PROMPTWIRE_NAMESPACE",
    "PROMPTWIRE_TOKEN",
)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("service") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def tracking(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of the test's own tracking store, which is MLflow's in this process; afterwards nothing of it is left."""
    for name in _SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is taken back whoever sets it
        monkeypatch.delenv(name)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    registry_utils._registry_uri = None
    fluent._active_experiment_id = None
    if cached := getattr(registry_fluent, "_load_prompt_cached", None):  # of older releases: whatever the registry
        cached.cache_clear()
    experiment_id = mlflow.MlflowClient().create_experiment("tests", artifact_location=(tmp_path / "files").as_uri())
    mlflow.set_experiment(experiment_id=experiment_id)
    with stores_closed_afterwards(monkeypatch):
        yield uri
        join_linking_threads()
    registry_utils._registry_uri = None
    tracking_utils._tracking_uri = None
    fluent._active_experiment_id = None


@contextmanager
def stores_closed_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow keeps every store that it has made, and so their clients' threads: a later test that forks would come upon
    grpc in the middle of something.
    """
    made: list[PromptwireStore] = []
    begin = PromptwireStore.__init__

    def noted(self: PromptwireStore, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        made.append(self)

    monkeypatch.setattr(PromptwireStore, "__init__", noted)
    yield
    for store in made:
        store._client.close()
    ModelRegistryStoreRegistry._get_store_with_resolved_uri.cache_clear()


def join_linking_threads() -> None:
    """MLflow tags a loaded prompt with the experiment in the background."""
    for thread in threading.enumerate():
        if thread.name.startswith("link_prompt"):
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture
def namespace() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def registry_uri(service: ServiceProcess, namespace: str) -> str:
    return f"promptwire://{service.target}/{namespace}"


@pytest.fixture
def on_promptwire(tracking: str, registry_uri: str) -> str:
    """The one line that a team changes."""
    mlflow.set_registry_uri(registry_uri)
    return registry_uri


@pytest.fixture
def native(service: ServiceProcess, namespace: str) -> Iterator[promptwire.Client]:
    """Promptwire's own client on the same namespace."""
    with promptwire.Client(service.target, namespace=namespace, actor="ana@laptop") as made:
        yield made
