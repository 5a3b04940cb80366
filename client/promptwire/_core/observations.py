"""What the application observed of its prompts, on its way to the service: never in the application's way."""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from promptwire._core.connection import Connection
from promptwire._core.lease import Clock
from promptwire._core.steps import run
from promptwire.domain import limits
from promptwire.errors import PromptwireError, UnavailableError
from promptwire.options import Options
from promptwire.v1 import metrics_service_pb2 as pb

_log = logging.getLogger("promptwire")

BUFFERED_MAX: Final = 20_000
"""Observations that wait; past that, or past BUFFERED_PARTS_MAX, the oldest are dropped."""
BUFFERED_PARTS_MAX: Final = 200_000
"""Values and tags of all that wait: 160 MB if all are as long as they may be, usually a tenth of that."""
BATCH_PARTS_MAX: Final = 3_000
"""Values and tags of what is sent at once: 2.4 MB if all are as long as they may be."""
_REASONS_MAX: Final = 20
"""Why observations are dropped is logged once for each reason, of so many at most."""
_FLUSH_SECONDS: Final = 1.0
"""How long one waits for others to go along."""
_CALL_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Observed:
    """Values observed together, and when by the clock."""

    name: str
    version: int
    alias: str
    values: Mapping[str, float]
    tags: Mapping[str, str]
    at: float

    @property
    def parts(self) -> int:
        return len(self.values) + len(self.tags)


class Observations:
    """A bounded buffer and the thread that empties it, begun with the first observation, in each process anew.

    A batch keeps its request id until the service has answered, so that it counts once, however often it is sent.
    """

    def __init__(self, options: Options, connection: Connection, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._connection = connection
        self._begin()

    def _begin(self) -> None:
        # Guards all of this. Reentrant: a finalizer may close the client in the middle of anything.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Observed] = deque()
        self._parts = 0
        self._reasons: set[str] = set()
        self._sending: tuple[str, Sequence[Observed]] | None = None
        self._thread: threading.Thread | None = None
        self._hurried = self._stopped = False
        self.dropped = 0
        """How many were dropped since there was no room, or the service refused them."""

    def add(self, observed: Observed) -> None:
        with self._lock:
            self._waiting.append(observed)
            self._parts += observed.parts
            while len(self._waiting) > BUFFERED_MAX or self._parts > BUFFERED_PARTS_MAX:
                self._pop()
                self._drop(
                    1,
                    f"more than {BUFFERED_MAX:,}, or {BUFFERED_PARTS_MAX:,} values and tags, wait for a service that "
                    "does not take them, or not as fast",
                )
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="promptwire-metrics", daemon=True)
                self._thread.start()
            if len(self._waiting) in (1, limits.BATCH_MAX):
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """How many the service has not taken yet."""
        with self._lock:
            return len(self._waiting) + (len(self._sending[1]) if self._sending else 0)

    def flush(self, timeout_seconds: float) -> None:
        """Returns once the service has taken all that waits. Raises UnavailableError when it has not in time."""
        with self._lock:
            self._hurried = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: not self._waiting and not self._sending, timeout_seconds):
                raise UnavailableError(f"{self.waiting} observations were not taken within {timeout_seconds:g} s")

    def stop(self, timeout_seconds: float) -> None:
        """Sends what waits, as far as it can in this time, and ends the thread. Idempotent."""
        with self._lock:
            self._stopped = self._hurried = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)
            with self._lock:
                # The thread may still be in a call; what becomes of it is counted here, and not once more there.
                left, self._sending = self.waiting, None
                self._waiting.clear()
                self._parts = 0
            if left:
                self._drop(left, "the client was closed before the service took them")

    def forked(self) -> None:
        """In a child process: what waited is the parent's to send."""
        self._begin()

    def _run(self) -> None:
        while self._take():
            self._send()

    def _take(self) -> bool:
        """Waits for a batch to send; False when there is none and there will be none."""
        with self._lock:
            if self._sending is None:
                if not self._waiting:
                    self._hurried = self._stopped
                    self._changed.wait_for(lambda: self._waiting or self._stopped)
                if not self._waiting:
                    return False
                self._changed.wait_for(self._is_due, _FLUSH_SECONDS)
                if not self._waiting:
                    return not self._stopped
                self._sending = uuid.uuid4().hex, list(self._batch())
            return True

    def _batch(self) -> Iterator[Observed]:
        """Takes as many of those that wait as one request may hold."""
        parts = 0
        for _ in range(min(len(self._waiting), limits.BATCH_MAX)):
            parts += self._waiting[0].parts
            if parts > BATCH_PARTS_MAX:
                return
            yield self._pop()

    def _pop(self) -> Observed:
        observed = self._waiting.popleft()
        self._parts -= observed.parts
        return observed

    def _is_due(self) -> bool:
        return self._hurried or len(self._waiting) >= limits.BATCH_MAX

    def _send(self) -> None:
        if self._sending is None:
            return
        request_id, batch = self._sending
        request = pb.LogMetricsRequest(
            namespace=self._options.namespace, request_id=request_id, observations=_messages(batch, self._clock())
        )
        refused, why = 0, ""
        try:
            response, _ = run(self._connection.unary(lambda stubs: stubs.metrics.LogMetrics, request, _CALL_SECONDS))
        except UnavailableError:
            if not self._connection.closed and not self._stopped:
                with self._lock:
                    # Whoever flushes from now on has it tried again at once.
                    self._hurried = False
                    self._changed.wait_for(lambda: self._stopped or self._hurried, _AGAIN_SECONDS)
                    self._hurried = True
                return
            refused, why = len(batch), "the service is out of reach"
        except PromptwireError as error:
            refused, why = len(batch), str(error)
        else:
            if response.refused:
                refused, why = len(response.refused), response.refused[min(response.refused)].message
        with self._lock:
            if refused and self._sending is not None:
                self._drop(refused, why)
            self._sending = None
            self._changed.notify_all()

    def _drop(self, count: int, why: str) -> None:
        """Says so the first time for each reason."""
        if why not in self._reasons and len(self._reasons) < _REASONS_MAX:
            self._reasons.add(why)
            _log.warning("observations of prompts are dropped: %s", why)
        self.dropped += count


def _messages(batch: Sequence[Observed], now: float) -> Iterator[pb.Observation]:
    for one in batch:
        message = pb.Observation(name=one.name, version=one.version, alias=one.alias, values=one.values, tags=one.tags)
        message.age.FromMilliseconds(max(0, int((now - one.at) * 1_000)))
        yield message
