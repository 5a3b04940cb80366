"""What Redis says when it fails, as the registry's errors. A driver's text goes to the log, never to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)

from promptwire_service.domain.errors import RegistryError, store_full, store_unavailable
from promptwire_service.storage.durability import NotReplicatedError

_log = structlog.get_logger(__name__)

_ELSEWHERE = "its slot is being moved to another node"
# In this order: redis-py derives some from ConnectionError.
_PROBLEMS: tuple[tuple[type[RedisError], str], ...] = (
    (BusyLoadingError, "it is still loading its data"),
    (AuthenticationError, "it refuses our credentials"),
    (AuthorizationError, "it refuses our credentials"),
    (NoPermissionError, "it refuses us a command"),
    (ReadOnlyError, "it has become a read-only replica"),
    (ClusterDownError, "the Cluster has nobody for its slot now"),
    (AskError, _ELSEWHERE),
    (TryAgainError, _ELSEWHERE),
    (TimeoutError, "it does not answer in time"),
    (ConnectionError, "the connection is gone or refused"),
)
_PERSISTENCE_CODES = ("MISCONF", "NOREPLICAS", "MASTERDOWN")

_DEMOTED = ("WAIT cannot be used with replica", "UNBLOCKED")
"""What WAIT says when its server is made a replica before, or while, it waits."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns Redis's errors inside the block into RegistryError; an error that shows a bug of ours goes through."""
    try:
        yield
    except OutOfMemoryError as error:
        raise store_full() from error
    except NotReplicatedError as error:
        raise store_unavailable(f"only {error} in time, so it may not last; repeat it") from error
    except RedisError as error:
        problem = next((text for kind, text in _PROBLEMS if isinstance(error, kind)), None)
        if isinstance(error, ResponseError) and "non local key" in str(error):
            problem = _ELSEWHERE  # how a script learns that a key it wants is not here, before it has changed anything
        if isinstance(error, ResponseError) and str(error).startswith(_PERSISTENCE_CODES):
            problem = "it cannot persist or replicate writes now"
        if isinstance(error, ResponseError) and str(error).startswith(_DEMOTED):
            problem = "it became a replica before others had the write, so it may not last; repeat it"
        if problem is None:
            raise
        _log.warning("store call failed", problem=problem, error=str(error))
        raise store_unavailable(problem) from error


def registry_error(error: Exception) -> RegistryError:
    """The registry's error for one that only some of what was asked for has met."""
    try:
        with translated():
            raise error
    except RegistryError as found:
        return found
    except Exception:
        _log.exception("a namespace cannot be read")
        return store_unavailable("it cannot read this namespace")
