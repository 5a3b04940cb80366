"""Whatever happens, MLflow gets an MlflowException: it takes others for "not found" and may act on that."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.abstract_store import AbstractStore

from promptwire import errors
from promptwire.mlflow.address import Address
from promptwire.mlflow.errors import translation
from promptwire.mlflow.store import PromptwireStore
from tests.mlflow.conftest import join_linking_threads
from tests.support.service import ServiceProcess, running_service


@pytest.mark.parametrize(
    ("uri", "target", "namespace"),
    [
        ("promptwire://localhost:50051", "localhost:50051", None),
        ("promptwire://localhost:50051/", "localhost:50051", None),
        ("promptwire://10.0.0.1:1/team", "10.0.0.1:1", "team"),
        ("promptwire://[::1]:1/team.a-b", "[::1]:1", "team.a-b"),
        ("promptwire:///team", None, "team"),
        ("promptwire://", None, None),
        ("promptwire:", None, None),
    ],
)
def test_the_uri_names_target_and_namespace(uri: str, target: str | None, namespace: str | None) -> None:
    assert Address.read(uri) == Address(target, namespace)


@pytest.mark.parametrize(
    "uri", ["promptwire://secret@host:1", "promptwire://host:1/a/b", "promptwire://host:1/a?tls=1", "http://host:1"]
)
def test_uris_that_say_more_are_refused_without_repeating_a_token(uri: str) -> None:
    with pytest.raises(MlflowException, match="promptwire://host:port/namespace") as caught:
        PromptwireStore(uri)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert "secret" not in str(caught.value)


def test_a_namespace_that_is_none_is_refused() -> None:
    with pytest.raises(MlflowException, match="namespace"):
        PromptwireStore("promptwire://host:1/a b")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.PromptNotFoundError("x"), "RESOURCE_DOES_NOT_EXIST"),
        (errors.VersionNotFoundError("x"), "RESOURCE_DOES_NOT_EXIST"),
        (errors.AliasNotFoundError("x"), "INVALID_PARAMETER_VALUE"),
        (errors.InvalidArgumentError("x"), "INVALID_PARAMETER_VALUE"),
        (errors.PermissionDeniedError("x", code="PERMISSION_DENIED"), "PERMISSION_DENIED"),
        (errors.PermissionDeniedError("x", code="UNAUTHENTICATED"), "UNAUTHENTICATED"),
        (errors.ConflictError("x"), "RESOURCE_CONFLICT"),
        (errors.StaleError("x"), "TEMPORARILY_UNAVAILABLE"),
        (errors.UnavailableError("x"), "TEMPORARILY_UNAVAILABLE"),
        (errors.PromptwireError("x"), "INTERNAL_ERROR"),
    ],
)
def test_every_error_has_its_code(error: errors.PromptwireError, code: str) -> None:
    assert translation(error).error_code == code


def test_nothing_that_mlflow_leaves_abstract_is_left_out() -> None:
    """MLflow does not enforce it, and an omission would answer None."""
    abstract = {
        name
        for name, method in inspect.getmembers(AbstractStore, inspect.isfunction)
        if getattr(method, "__isabstractmethod__", False) or "webhook" in name
    }
    inherited = {name for name in abstract if getattr(PromptwireStore, name) is getattr(AbstractStore, name)}
    assert inherited == set()


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceProcess]:
    """A service that MLflow has loaded a prompt from, and that is gone."""
    with running_service(tmp_path / "own" / "data") as service:
        mlflow.set_registry_uri(f"promptwire://{service.target}")
        mlflow.genai.register_prompt("x", "one")
        mlflow.genai.load_prompt("prompts:/x@latest")
        join_linking_threads()
        store = MlflowClient()._get_registry_client().store
        store._client._core.options = _impatient(store._client._core.options)
        service.kill()
        yield service
        join_linking_threads()


def _impatient(options: object) -> object:
    from dataclasses import replace

    return replace(options, timeout_seconds=0.5)  # type: ignore[type-var]


def test_a_registry_that_is_gone_is_not_one_without_prompts(stopped: ServiceProcess) -> None:
    client = MlflowClient()
    registry = client._get_registry_client()
    for call in (
        lambda: client.get_prompt("x"),
        lambda: client.get_prompt("y"),
        lambda: client.search_prompts("name = 'x'"),
        lambda: client.get_prompt_version("y", 1),
        lambda: client.get_prompt_version_by_alias("y", "production"),
        lambda: client.load_prompt("prompts:/y@latest", allow_missing=True),
        lambda: client.delete_prompt_alias("x", "production"),
        lambda: client.set_prompt_tag("x", "a", "b"),
        lambda: client.delete_prompt("x"),
        lambda: client.register_prompt("y", "text"),
        lambda: registry.create_registered_model("y", {"mlflow.prompt.is_prompt": "true"}),
        lambda: registry.get_registered_model("x"),
        lambda: registry.delete_registered_model("x"),
        lambda: registry.search_model_versions("tags.`mlflow.prompt.is_prompt` = 'true'"),
    ):
        with pytest.raises(MlflowException) as caught:
            call()
        assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE", inspect.getsource(call)
    with pytest.raises(MlflowException) as caught:
        client.register_prompt("x", "two")
    assert caught.value.error_code == "TEMPORARILY_UNAVAILABLE"


def test_agents_go_on_with_what_they_know(stopped: ServiceProcess) -> None:
    assert mlflow.genai.load_prompt("prompts:/x@latest").template == "one"
