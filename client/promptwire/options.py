"""What can be set on a client."""

import getpass
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, get_args

from promptwire._core import checks
from promptwire.domain import limits
from promptwire.domain.names import DEFAULT_NAMESPACE, check_namespace

if TYPE_CHECKING:
    from promptwire.values import Exposure

OnStale = Literal["serve", "fail"]

DEFAULT_TARGET = "localhost:50051"


class Given(TypedDict, total=False):
    """What may be given to a client besides its target; `Options` says what each means."""

    namespace: str | None
    token: str | None
    actor: str | None
    timeout_seconds: float
    connect_timeout_seconds: float | None
    lease_seconds: float
    renew_seconds: float
    on_stale: OnStale
    max_staleness_seconds: float | None
    strict_lease: bool
    snapshot_dir: str | os.PathLike[str] | None
    on_exposure: "Callable[[Exposure], object] | None"


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
    max_staleness_seconds: float | None
    """With `on_stale="serve"`, how old at most the last known good may be, else StaleError. Default None: any age."""
    strict_lease: bool
    """Whether each hit reads the clock, instead of trusting the watch's thread to move what is past its lease in time:
    costs a hit about twice as much, and bounds its age even while that thread gets no processor. Default False."""
    snapshot_dir: Path | None
    """Directory for the last known good on disk, made if need be; the next process starts from it while the registry is
    out of reach. PROMPTWIRE_SNAPSHOT_DIR, or else None: nothing is written."""
    on_exposure: "Callable[[Exposure], object] | None" = field(repr=False)
    """Called with a promptwire.Exposure for each load of a split alias, in the thread that loads; its errors are logged
    once, and not raised. Default None."""
    client_id: str
    """This client's name in the service's status: 32 random hex digits; another one after a fork."""

    def __str__(self) -> str:
        return f"{self.target} namespace={self.namespace!r}"

    @classmethod
    def read(cls, target: str | None = None, **given: Unpack[Given]) -> "Options":
        """Raises InvalidArgumentError."""
        unknown = given.keys() - Given.__annotations__.keys()
        if unknown:
            raise TypeError(f"a client has no option {', '.join(sorted(unknown))}")
        connect_timeout_seconds = given.get("connect_timeout_seconds")
        max_staleness_seconds = given.get("max_staleness_seconds")
        options = cls(
            target=_text(target, "target", DEFAULT_TARGET) or DEFAULT_TARGET,
            namespace=_text(given.get("namespace"), "namespace", DEFAULT_NAMESPACE) or DEFAULT_NAMESPACE,
            token=_text(given.get("token"), "token", ""),
            actor=_text(given.get("actor"), "actor", "") or default_actor(),
            timeout_seconds=checks.seconds(given.get("timeout_seconds", 10.0), "timeout_seconds"),
            connect_timeout_seconds=(
                None
                if connect_timeout_seconds is None
                else checks.seconds(connect_timeout_seconds, "connect_timeout_seconds")
            ),
            lease_seconds=checks.seconds(given.get("lease_seconds", 15.0), "lease_seconds"),
            renew_seconds=checks.seconds(given.get("renew_seconds", 5.0), "renew_seconds"),
            on_stale=given.get("on_stale", "serve"),
            max_staleness_seconds=(
                None
                if max_staleness_seconds is None
                else checks.seconds(max_staleness_seconds, "max_staleness_seconds")
            ),
            strict_lease=bool(given.get("strict_lease", False)),
            snapshot_dir=_path(given.get("snapshot_dir")),
            on_exposure=given.get("on_exposure"),
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
        if self.max_staleness_seconds is not None and self.max_staleness_seconds < self.lease_seconds:
            raise checks.invalid("max_staleness_seconds", f"must be at least lease_seconds, {self.lease_seconds:g}")
        if self.on_exposure is not None and not callable(self.on_exposure):
            raise checks.invalid("on_exposure", f"must be callable; got {type(self.on_exposure).__name__}")
        if self.on_stale not in get_args(OnStale):
            raise checks.invalid("on_stale", f"must be one of {', '.join(get_args(OnStale))}")


def _text(value: str | None, field_name: str, default: str) -> str:
    if value is None:
        value = os.environ.get(f"PROMPTWIRE_{field_name.upper()}", default)
    return checks.text(value, field_name)


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    if value is None:
        value = os.environ.get("PROMPTWIRE_SNAPSHOT_DIR", "")
    if not isinstance(value, str | os.PathLike):
        raise checks.invalid("snapshot_dir", f"must be a path (str or os.PathLike); got {type(value).__name__}")
    path = checks.text(os.fspath(value), "snapshot_dir")
    return Path(path).expanduser().absolute() if path else None


def default_actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's uid often has no name
        user = f"uid{os.getuid()}" if hasattr(os, "getuid") else "unknown"
    actor = f"{user}@{socket.gethostname()}"[: limits.ACTOR_MAX_CHARS]
    return actor.encode("utf-8", "replace").decode()
