"""What a supervisor and a worker say to each other, each a JSON object on a line."""

import json
from dataclasses import asdict, dataclass
from typing import Any

MAX_BYTES = 1 << 20
"""Of a line."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The supervisor's first word. `settings` are the fields of `Settings`, which may hold a store's password: they go
    neither into a command line nor into an environment. `location` is what to call the store, empty for its own name.
    """

    number: int
    settings: dict[str, Any]
    location: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """The supervisor's last word: another has taken your place."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The worker's first word, if it could start; `location` and `durability` are its store's."""

    address: str
    location: str
    durability: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The worker's word while it serves, every two seconds or so: its event loop goes round."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's only word, if it could not: one line for a person, and the exit code it stands for."""

    problem: str
    exit_code: int


Message = Begin | HandOver | Serving | Alive | Failed

_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Begin, HandOver, Serving, Alive, Failed)}


def encode(message: Message) -> bytes:
    return json.dumps({"kind": type(message).__name__, **asdict(message)}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ValueError or TypeError for what another version says."""
    fields = json.loads(line)
    kind = fields.pop("kind", "")
    if kind not in _KINDS:
        raise ValueError(f"unknown message {kind!r}")
    return _KINDS[kind](**fields)
