"""The part of MLflow's model registry that Promptwire does not keep: models, their files and stages, and webhooks."""

from collections.abc import Iterable
from typing import Any, NoReturn

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import NOT_IMPLEMENTED
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.abstract_store import AbstractStore

from promptwire.mlflow.errors import invalid, prompts_only


class PromptsOnly(AbstractStore):
    """Refuses what is not for prompts, since MLflow takes a method that is left out for one that returned None."""

    def transition_model_version_stage(
        self, name: str, version: int | str, stage: str, archive_existing_versions: bool
    ) -> NoReturn:
        raise prompts_only(name)

    def get_model_version_download_uri(self, name: str, version: int | str) -> NoReturn:
        raise prompts_only(name)

    def copy_model_version(self, src_mv: ModelVersion, dst_name: str) -> NoReturn:
        raise prompts_only(dst_name)

    def rename_registered_model(self, name: str, new_name: str) -> NoReturn:
        raise invalid(f"new_name: a prompt keeps its name, by which agents know it: register {new_name!r} anew")

    def update_model_version(self, name: str, version: int | str, description: str | None = None) -> NoReturn:
        raise invalid(f"description: a version never changes, nor does its commit message: register {name!r} anew")

    def _await_model_version_creation(self, mv: ModelVersion, await_creation_for: float) -> None:
        """It is there once it was answered."""

    def list_webhooks_by_event(
        self, event: object, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[Any]:
        """MLflow's server asks at each write."""
        return PagedList([], None)

    def list_webhooks(self, max_results: int | None = None, page_token: str | None = None) -> PagedList[Any]:
        return PagedList([], None)

    def create_webhook(self, name: str, url: str, events: Iterable[object], *_: object, **__: object) -> NoReturn:
        raise _no_webhooks()

    def get_webhook(self, webhook_id: str) -> NoReturn:
        raise _no_webhooks()

    def update_webhook(self, webhook_id: str, *_: object, **__: object) -> NoReturn:
        raise _no_webhooks()

    def delete_webhook(self, webhook_id: str) -> NoReturn:
        raise _no_webhooks()

    def test_webhook(self, webhook_id: str, event: object = None) -> NoReturn:
        raise _no_webhooks()


def _no_webhooks() -> MlflowException:
    return MlflowException(
        "Promptwire has no webhooks: Client.changes() and `promptwire watch` tell of every change", NOT_IMPLEMENTED
    )
