"""Promptwire's errors as MLflow's, whose codes its callers decide by."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    ABORTED,
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    RESOURCE_CONFLICT,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
)

from promptwire import errors

P = ParamSpec("P")
R = TypeVar("R")

# A missing alias is an invalid parameter in MLflow's own stores; its `allow_missing` counts on that.
_CODES: list[tuple[type[errors.PromptwireError], int]] = [
    (errors.AliasNotFoundError, INVALID_PARAMETER_VALUE),
    (errors.NotFoundError, RESOURCE_DOES_NOT_EXIST),
    (errors.InvalidArgumentError, INVALID_PARAMETER_VALUE),
    (errors.PermissionDeniedError, PERMISSION_DENIED),
    (errors.ConflictError, RESOURCE_CONFLICT),
    (errors.StaleError, TEMPORARILY_UNAVAILABLE),
    (errors.UnavailableError, TEMPORARILY_UNAVAILABLE),
]


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Raises MlflowException for whatever the client raises.

    MLflow takes any other exception for "not found" in places, and so would lose data or answer None.
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except errors.PromptwireError as error:
            raise translation(error) from error

    return call


def translation(error: errors.PromptwireError) -> MlflowException:
    if error.code == "UNAUTHENTICATED":
        return MlflowException(str(error), UNAUTHENTICATED)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL_ERROR)
    return MlflowException(str(error), code)


def outcome_unknown(name: str, error: errors.PromptwireError) -> MlflowException:
    """For a registration without an answer. MLflow's HTTP client repeats what fails as unavailable, with a new request
    each time, and each could add a version; what was aborted it does not repeat.
    """
    return MlflowException(
        f"whether the version of {name!r} was registered is not known, look before registering it again: {error}",
        ABORTED,
    )


def does_not_exist(message: str) -> MlflowException:
    return MlflowException(message, RESOURCE_DOES_NOT_EXIST)


def invalid(message: str) -> MlflowException:
    return MlflowException(message, INVALID_PARAMETER_VALUE)


def prompts_only(name: str) -> MlflowException:
    """For whoever wants to keep a registered model here."""
    return invalid(
        f"Promptwire keeps prompts only, and {name!r} is a registered model: keep models in another registry, e.g. "
        "MlflowClient(registry_uri='sqlite:///models.db')"
    )
