"""What can be set on a client."""

import getpass
import os
import socket
import uuid
from dataclasses import dataclass, field
from typing import Literal, get_args

from promptwire._core import checks
from promptwire.domain import limits
from promptwire.domain.names import DEFAULT_NAMESPACE, check_namespace

OnStale = Literal["serve", "fail"]

DEFAULT_TARGET = "localhost:50051"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A client's settings, checked. None takes the environment's value, or else the default."""

    target: str
    """Where the service listens, as gRPC names it, e.g. `host:port`. PROMPTWIRE_TARGET, or else `localhost:50051`."""
    namespace: str
    """Tenant whose prompts are meant. PROMPTWIRE_NAMESPACE, or else `default`."""
    token: str = field(repr=False)
    """Bearer token sent with each call; empty sends none. PROMPTWIRE_TOKEN, or else empty."""
    actor: str
    """Who writes, for the history, until the service authenticates. PROMPTWIRE_ACTOR, or else `user@host`."""
    timeout_seconds: float
    """How long a call may take in all, retries included. Default 10."""
    connect_timeout_seconds: float | None
    """How much of that may pass while nobody answers at the target. Default None: all of it."""
    lease_seconds: float
    """How long a confirmed value may be handed out without another confirmation. Default 15."""
    renew_seconds: float
    """How often confirmation is asked for; below the lease. Default 5."""
    on_stale: OnStale
    """Past the lease: `serve` the last known good, marked stale, or `fail` with StaleError. Default `serve`."""
    client_id: str
    """This client's name in the service's status: 32 random hex digits; another one after a fork."""

    @classmethod
    def read(
        cls,
        target: str | None = None,
        *,
        namespace: str | None = None,
        token: str | None = None,
        actor: str | None = None,
        timeout_seconds: float = 10.0,
        connect_timeout_seconds: float | None = None,
        lease_seconds: float = 15.0,
        renew_seconds: float = 5.0,
        on_stale: OnStale = "serve",
    ) -> "Options":
        """Raises InvalidArgumentError."""
        options = cls(
            target=_text(target, "target", DEFAULT_TARGET) or DEFAULT_TARGET,
            namespace=_text(namespace, "namespace", DEFAULT_NAMESPACE) or DEFAULT_NAMESPACE,
            token=_text(token, "token", ""),
            actor=_text(actor, "actor", "") or default_actor(),
            timeout_seconds=_seconds(timeout_seconds, "timeout_seconds"),
            connect_timeout_seconds=(
                None
                if connect_timeout_seconds is None
                else _seconds(connect_timeout_seconds, "connect_timeout_seconds")
            ),
            lease_seconds=_seconds(lease_seconds, "lease_seconds"),
            renew_seconds=_seconds(renew_seconds, "renew_seconds"),
            on_stale=on_stale,
            client_id=uuid.uuid4().hex,
        )
        options._check()
        return options

    def _check(self) -> None:
        if self.target.startswith(("http://", "https://")):
            raise checks.invalid("target", "must be a gRPC target such as host:port, without http://")
        if violation := check_namespace(self.namespace):
            raise checks.invalid(violation.field, violation.description)
        if not (self.token.isascii() and (self.token.isprintable())):
            raise checks.invalid("token", "must be printable ASCII")
        if len(self.actor) > limits.ACTOR_MAX_CHARS:
            raise checks.invalid("actor", f"must be at most {limits.ACTOR_MAX_CHARS} characters")
        if self.renew_seconds >= self.lease_seconds:
            raise checks.invalid("renew_seconds", f"must be below lease_seconds, {self.lease_seconds:g}")
        if self.on_stale not in get_args(OnStale):
            raise checks.invalid("on_stale", f"must be one of {', '.join(get_args(OnStale))}")


def _text(value: str | None, field_name: str, default: str) -> str:
    if value is None:
        value = os.environ.get(f"PROMPTWIRE_{field_name.upper()}", default)
    return checks.text(value, field_name)


def _seconds(value: object, field_name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise checks.invalid(field_name, f"must be a number of seconds above 0, at most a day; got {value!r}")
    return float(value)


def default_actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's uid often has no name
        user = f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"
    actor = f"{user}@{socket.gethostname()}"[: limits.ACTOR_MAX_CHARS]
    return actor.encode("utf-8", "replace").decode()
