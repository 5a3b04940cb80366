"""Two methods that many guides call and MlflowClient does not have: set_ and delete_registered_prompt_alias.

MLflow imports this with itself, by the entry point of a default experiment provider, which is the one kind of plug-in
that is loaded once MlflowClient is there and before anybody has one. As a provider it never applies.
"""

from typing import Any

from mlflow.tracking.client import MlflowClient
from mlflow.tracking.default_experiment.abstract_context import DefaultExperimentProvider

_NAMES = {
    "set_registered_prompt_alias": "set_prompt_alias",
    "delete_registered_prompt_alias": "delete_prompt_alias",
}


class ClientMethods(DefaultExperimentProvider):
    def __init__(self) -> None:
        for name, method in _NAMES.items():
            if not hasattr(MlflowClient, name):  # some day MLflow may have its own
                setattr(MlflowClient, name, _OnPromptwire(name, method))

    def in_context(self) -> bool:
        return False

    def get_experiment_id(self) -> None:
        return None


class _OnPromptwire:
    """Another name of a method, for clients of a Promptwire registry; others lack it as before."""

    def __init__(self, name: str, method: str) -> None:
        self._name = name
        self._method = method

    def __get__(self, client: Any, owner: type) -> Any:
        if client is None or not str(client._registry_uri).startswith("promptwire:"):
            raise AttributeError(f"type object {owner.__name__!r} has no attribute {self._name!r}")
        return getattr(client, self._method)
