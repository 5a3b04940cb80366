"""How many calls are in progress, and what is refused past that.

gRPC queues calls that nobody has accepted yet, each method's by itself (`transport.py` bounds these queues). What is
accepted is counted here, by class, so that a flood of one class leaves the others alive: a refusal costs less than the
least that a call could do, and says when to come again. See docs/adr/0022-overload.md.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor

from promptwire_service.domain.errors import overloaded
from promptwire_service.rpc.errors import to_status

STREAMS_MAX: Final = 20_000
"""Streams of a process, if nobody says otherwise: an agent has one."""
_LOG_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """What one class of calls may take."""

    most: int
    """Calls in progress, those that wait for their turn included."""
    retry_seconds: float
    """How long who is refused is asked to wait."""
    at_once: int | None = None
    """How many of them are worked on; the others wait, in order. None: all."""


class CallClass(Enum):
    """What a call costs, and whom it could keep waiting."""

    READS = "reads"
    WRITES = "writes"
    QUERIES = "queries"
    WAITS = "waits"
    PROBES = "probes"
    STREAMS = "streams"


BOUNDS: Final = {
    # Answered from memory, or by one read of the store that many share.
    CallClass.READS: Bound(512, 0.1),
    # The store has 64 connections for writes, and those that are in progress together share an fsync.
    CallClass.WRITES: Bound(128, 0.2),
    # Pages, searches, diffs: milliseconds of processor time each.
    CallClass.QUERIES: Bound(64, 0.5, at_once=8),
    # Asks for nothing but to be told when something has happened.
    CallClass.WAITS: Bound(256, 1.0),
    # Health checks: whoever restarts what does not answer must get an answer at any load.
    CallClass.PROBES: Bound(64, 1.0),
    CallClass.STREAMS: Bound(STREAMS_MAX, 1.0),
}

_READS: Final = frozenset({"Resolve", "BatchResolve", "GetPrompt", "GetPromptVersion", "GetStatus"})
_WAITS: Final = frozenset({"GetConvergence"})
_PROBES: Final = frozenset({"Check", "List"})


def class_of(method: MethodDescriptor) -> CallClass:
    """Of a method; what is not known to be cheap counts as a query."""
    if method.server_streaming:
        return CallClass.STREAMS
    if "request_id" in method.input_type.fields_by_name or "write" in method.input_type.fields_by_name:
        return CallClass.WRITES
    if method.name in _WAITS:
        return CallClass.WAITS
    if method.name in _PROBES:
        return CallClass.PROBES
    return CallClass.READS if method.name in _READS else CallClass.QUERIES


class Gate:
    """The calls of one class."""

    def __init__(self, kind: CallClass, bound: Bound, clock: Callable[[], float] = monotonic) -> None:
        self.in_progress = 0
        self._kind = kind
        self._most = bound.most
        self._clock = clock
        self._refusal = to_status(overloaded(kind.value, bound.most, bound.retry_seconds))
        self._refused = 0
        self._log_at = 0.0
        self.turns = asyncio.Semaphore(bound.at_once) if bound.at_once else None
        """Held by those that are worked on, where not all are."""

    @property
    def is_full(self) -> bool:
        return self.in_progress >= self._most

    async def refuse(self, context: Context) -> NoReturn:
        """Ends a call before anything was done for it."""
        self._refused += 1
        if self._clock() >= self._log_at:
            self._log_at = self._clock() + _LOG_SECONDS
            _log.warning(
                "too many calls, some are refused", calls=self._kind.value, most=self._most, refused=self._refused
            )
            self._refused = 0
        await context.abort_with_status(self._refusal)


class Admission:
    """The gates of one process."""

    def __init__(self, most_streams: int = STREAMS_MAX, bounds: dict[CallClass, Bound] | None = None) -> None:
        bounds = {**BOUNDS, CallClass.STREAMS: Bound(most_streams, 1.0), **(bounds or {})}
        self._gates = {kind: Gate(kind, bound) for kind, bound in bounds.items()}

    def gate(self, method: MethodDescriptor) -> Gate:
        return self._gates[class_of(method)]
