"""When connections are old, so that clients spread over processes that came later."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_JITTER: Final = 1.1
"""gRPC asks a client to leave a connection (GOAWAY) at 0.9 to 1.1 times the age: gRFC A9."""
_SPREAD: Final = 0.4
"""Streams that began together end within this part of the age of each other: a fleet does not return in step."""
_MARGIN_SECONDS: Final = 10.0


class ConnectionAge:
    """gRPC lets streams go on when a connection is old, and cuts them after a grace: each ends itself before.

    A stream as old as the oldest connection knows that its connection has had its GOAWAY, so that the next stream goes
    out on another. The grace lasts until also a stream that began on a connection's last moment has ended.
    """

    def __init__(self, seconds: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        """`seconds` 0 is never."""
        self._seconds = seconds
        self._uniform = uniform

    def options(self) -> tuple[tuple[str, int], ...]:
        """For the server."""
        if not self._seconds:
            return ()
        grace_seconds = (_JITTER + _SPREAD) * self._seconds + _MARGIN_SECONDS
        return (
            ("grpc.max_connection_age_ms", round(self._seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", round(grace_seconds * 1000)),
        )

    def stream_seconds(self) -> float:
        """How long a stream that begins now goes on."""
        if not self._seconds:
            return float("inf")
        return self._seconds * self._uniform(_JITTER, _JITTER + _SPREAD)

    def stream_ends_at(self) -> float:
        """When a stream that begins now is to end, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self.stream_seconds()

    @contextmanager
    def at_end_of_stream(self, call: Callable[[int], None], argument: int) -> Iterator[None]:
        """Calls when a stream that begins now is to end, unless it has ended before."""
        if not self._seconds:
            yield
            return
        timer = asyncio.get_running_loop().call_at(self.stream_ends_at(), call, argument)
        try:
            yield
        finally:
            timer.cancel()
