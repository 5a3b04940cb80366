"""The watch: one thread that keeps a stream open, keeps the time, and owns everything about both.

All that happens comes to it as an event; `step` does what one event and the passing of time ask for, and says how long
to wait for the next. Only `step` changes the state below, so there is nothing to lock, and tests need no thread.
"""

import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from promptwire._core.backoff import Backoff
from promptwire._core.lease import Clock
from promptwire._core.live import LiveTable
from promptwire._core.session import Fault, Session
from promptwire._core.stream import Ended
from promptwire.errors import PromptwireError
from promptwire.options import Options
from promptwire.v1 import prompt_service_pb2

_log = logging.getLogger("promptwire")

_FIRST_BACKOFF_SECONDS = 0.1
_JOIN_SECONDS = 2.0
_MOST_BACKOFF_SECONDS = 30.0
_MOST_BACKOFF_UNCONFIRMED_SECONDS = 2.0
"""While loads are answered with what an earlier process knew, no call tells that the service is back."""
_SETTLE_SECONDS = 0.1
"""How soon after the stream was told to follow more that is to be confirmed; loads in a row share the question."""
_NUDGE_SECONDS = 1.0
"""A nudge does not bring a stream closer than this to the one before."""


class AnyStream(Protocol):
    """What the watch needs of a stream."""

    def send(self, request: prompt_service_pb2.WatchRequest) -> None: ...

    def cancel(self) -> None: ...

    def join(self, timeout_seconds: float) -> None: ...


class Signal(Enum):
    """Events without content."""

    NEWS = auto()
    """There is something new to follow."""
    NUDGE = auto()
    """A call has succeeded: the service can be reached."""
    STOP = auto()


Event = Signal | tuple[AnyStream, prompt_service_pb2.WatchResponse | Ended]

OpenStream = Callable[[Callable[[AnyStream, prompt_service_pb2.WatchResponse | Ended], None]], AnyStream]
"""Opens a stream that hands what arrives to the function given."""


class Watch:
    """Keeps a live table right."""

    def __init__(
        self,
        live: LiveTable,
        open_stream: OpenStream,
        options: Options,
        clock: Clock,
        backoff: Backoff | None = None,
    ) -> None:
        self._live = live
        self._open_stream = open_stream
        self._options = options
        self._clock = clock
        self._backoff = backoff or Backoff(_FIRST_BACKOFF_SECONDS, _MOST_BACKOFF_SECONDS)
        self._inherited: list[object] = []
        self._begin(options.client_id)

    def _begin(self, client_id: str) -> None:
        self.client_id = client_id
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._starting = threading.RLock()  # reentrant, as all locks here: see LiveTable
        self._thread: threading.Thread | None = None
        self._stream: AnyStream | None = None
        self._session = Session(self._live, self._clock)
        """Of the open stream; of the last one, while there is none."""
        self._opened_at = -math.inf
        self._open_at = -math.inf
        """When to open the next stream, while there is none."""
        self._renew_at = math.inf
        self._backing_off = False
        self.connected = False
        """Whether the open stream has said anything."""
        self.opened = 0
        """Streams so far."""
        self.last_error = ""

    def start(self) -> None:
        """Idempotent."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="promptwire-watch", daemon=True)
                    self._thread.start()

    def post(self, signal: Signal) -> None:
        """From any thread."""
        self._events.put(signal)

    def nudge(self) -> None:
        """From any thread: a call has succeeded. Costs nothing unless the watch waits to connect."""
        if self._backing_off:
            self._events.put(Signal.NUDGE)

    def stop(self, timeout_seconds: float) -> None:
        """Ends the thread, and waits for that. Idempotent."""
        with self._starting:
            thread = self._thread
            self._events.put(Signal.STOP)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_seconds)

    def forked(self, client_id: str) -> None:
        """In a child process: thread and stream are the parent's. Letting go of the call would touch its channel."""
        self._inherited += [self._stream, self._events]
        self._backoff.reset()
        self._begin(client_id)

    def _run(self) -> None:
        wait = 0.0
        while True:
            event: Event | None = None
            with contextlib.suppress(queue.Empty):
                event = self._events.get(timeout=wait)
            if event is Signal.STOP:
                break
            wait = self.step(event)
        if (stream := self._stream) is not None:
            self._close("the client is closed")
            stream.join(_JOIN_SECONDS)

    def step(self, event: Event | None) -> float:
        """Deals with an event, if there is one, and with what is due. Seconds until something is due again.

        Survives whatever happens: a watch that is gone would leave the agent with what it has, for ever.
        """
        try:
            self._handle(event)
            due = min(self._live.expire(), self._keep_stream())
            return min(max(0.0, due - self._clock()), threading.TIMEOUT_MAX)
        except (Fault, PromptwireError) as error:
            self._start_over(str(error))
        except Exception as error:
            _log.exception("the watch goes on with a new stream, after an error that should not happen")
            self._start_over(repr(error))
        return _FIRST_BACKOFF_SECONDS

    def _handle(self, event: Event | None) -> None:
        match event:
            case Signal.NUDGE if self._backing_off:
                self._open_at = min(self._open_at, self._opened_at + _NUDGE_SECONDS)
            case (stream, Ended() as ended) if stream is self._stream:
                self._close(ended.why)
                self._back_off()
            case (stream, prompt_service_pb2.WatchResponse() as message) if stream is self._stream:
                self.connected = True
                self._receive(message)
            case _:
                pass  # of a stream that was given up; or NEWS, which _keep_stream looks for

    def _receive(self, message: prompt_service_pb2.WatchResponse) -> None:
        match message.WhichOneof("message"):
            case "update":
                self._session.update(message.update)
            case "bookmark":
                self._session.bookmark(message.bookmark)
                self._backoff.reset()
            case "resync":
                _log.info("the watch starts over: %s", message.resync.reason)
                self._session.resync()
                self._renew_at = self._clock()
            case "goodbye":
                self._close("the service said goodbye")
                self._open_at = self._clock() + message.goodbye.retry_after_ms / 1000
            case None:
                pass  # what a newer service may say besides

    def _keep_stream(self) -> float:
        """Opens, renews or gives up the stream; when to look again, by the clock."""
        now = self._clock()
        if self._stream is None:
            if now < self._open_at:
                return self._open_at
            self._open(now)
        for request in self._session.subscribes():
            self._send(request)
            self._renew_at = min(self._renew_at, now + _SETTLE_SECONDS)
        for request in self._session.reports():
            self._send(request)
        patience = 2 * self._options.lease_seconds
        since = self._session.unanswered_since
        if since is not None and now >= since + patience:
            self._close(f"the service did not answer for {patience:g} s")
            self._back_off()
            return self._open_at
        if now >= self._renew_at:
            self._send(self._session.renew())
            self._renew_at = now + self._options.renew_seconds
        due = min(self._renew_at, self._session.report_at)
        return due if since is None else min(due, since + patience)

    def _open(self, now: float) -> None:
        self._opened_at, self._renew_at, self._backing_off = now, now, False
        self.opened += 1
        self._session = Session(self._live, self._clock)
        self._stream = self._open_stream(lambda stream, message: self._events.put((stream, message)))
        self._send(self._session.hello(self._options.namespace, self.client_id, self._options.actor))

    def _send(self, request: prompt_service_pb2.WatchRequest) -> None:
        if self._stream is not None:
            self._stream.send(request)

    def _start_over(self, why: str) -> None:
        self._live.replacing = True
        self._close(why)
        self._back_off()

    def _close(self, why: str) -> None:
        stream, self._stream = self._stream, None
        self.connected = False
        self.last_error = why
        _log.info("the watch's stream has ended: %s", why)
        if stream is not None:
            stream.cancel()

    def _back_off(self) -> None:
        wait = self._backoff.next()
        if self._live.unanswered:
            wait = min(wait, _MOST_BACKOFF_UNCONFIRMED_SECONDS)
        self._open_at = self._clock() + wait
        self._backing_off = True
