"""The service's settings: flags, then PROMPTWIRE_ variables of the environment, then defaults."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ByteSize, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from promptwire.domain.violations import shape
from promptwire_service.storage.durability import Durability

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})\Z")
_PREFIX = "PROMPTWIRE_"


class SettingsError(Exception):
    """A setting is wrong. The message is one line that names it; it never shows a store's URL."""

    exit_code: ClassVar[int] = 2


def split_address(address: str) -> tuple[str, int]:
    """Host, without the brackets of an IPv6 one, and port. Raises ValueError."""
    match = _ADDRESS.match(address)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError(f"must be host:port, e.g. 127.0.0.1:50051, 0.0.0.0:50051 or [::1]:50051; got {shape(address)}")
    return match["host"].strip("[]"), int(match["port"])


def _check_address(address: str) -> str:
    split_address(address)
    return address


def _check_age(seconds: float) -> float:
    if seconds and not 1 <= seconds <= 86_400:
        raise ValueError(f"must be 0, which is never, or from 1 to 86400 seconds; got {seconds:g}")
    return seconds


def _default_data_dir() -> Path:
    """As the XDG Base Directory Specification has it: a relative XDG_DATA_HOME is to be ignored."""
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "promptwire"


class Settings(BaseSettings):
    """What `promptwire serve` runs with. Each field is also the variable PROMPTWIRE_<FIELD>."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    listen: Annotated[str, AfterValidator(_check_address)] = Field(
        "127.0.0.1:50051",
        description="Where gRPC listens, as host:port; port 0 takes a free one. Default 127.0.0.1:50051.",
    )
    insecure: bool = Field(
        False,
        description="Serve without authentication and TLS on an address that other machines reach. Default no.",
    )
    store: str = Field(
        "embedded",
        repr=False,
        description="Where the data is: embedded, or the URL of a Redis or Valkey server. Default embedded.",
    )
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Directory of the embedded store. Default $XDG_DATA_HOME/promptwire, or ~/.local/share/promptwire.",
    )
    durability: Durability | None = Field(
        None,
        description="What an acknowledged write survives: fsync, replicated or none. Default fsync.",
    )
    replicas: int = Field(
        1, ge=1, le=100, description="With --durability replicated: how many replicas have to have a write. Default 1."
    )
    replica_timeout_seconds: float = Field(
        1.0,
        gt=0,
        le=4,
        allow_inf_nan=False,
        description="How long a write waits for them, in seconds, at most 4. Default 1.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve on the port, each with caches of its own, 1-64. Default 1.",
    )
    connection_age_seconds: Annotated[float, AfterValidator(_check_age)] = Field(
        600.0,
        allow_inf_nan=False,
        description="When a client is asked to connect anew, so that clients spread over workers, in seconds, 1-86400; "
        "0 is never. Default 600.",
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Most clients that a worker keeps connected; more are refused. 0 is 20000, or as many as the limit "
        "of open files allows. Default 0.",
    )
    retention_seconds: float = Field(
        30 * 86_400.0,
        ge=0,
        allow_inf_nan=False,
        description="How long what is deleted can be undeleted before it is purged, in seconds. Default 2592000.",
    )
    drain_seconds: float = Field(
        5.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="How long calls under way may take to end at a shutdown, in seconds, 0-3600. Default 5.",
    )
    cache_max_bytes: ByteSize = Field(
        ByteSize(256 << 20),
        ge=1 << 20,
        description="Most that the caches of a worker hold, in bytes, or with a unit as in 1GiB; at least 1 MiB. "
        "Default 256 MiB.",
    )
    log_format: Literal["console", "json"] = Field(
        "console",
        description="console (for people; key=value where stderr is no terminal) or json. Default console.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged. Default info."
    )


def load(**given: Any) -> Settings:
    """Settings with what was given on the command line, where None is "not given". Raises SettingsError."""
    given = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(_line(found, given) for found in error.errors())) from None
    except RuntimeError as error:
        raise SettingsError(f"{_PREFIX}DATA_DIR: must be set, since there is no home directory: {error}") from None
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser()})


def _line(error: Any, given: dict[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    problem = error["msg"].removeprefix("Value error, ")
    where = f"--{name.replace('_', '-')}" if name in given else f"{_PREFIX}{name.upper()}"
    return f"{where}: {problem[0].lower()}{problem[1:]}"
