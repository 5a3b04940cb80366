"""The channel, and how calls are made on it: metadata, deadlines, retries. The only place that knows grpc's options."""

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc

from promptwire import __version__
from promptwire._core.backoff import Backoff
from promptwire._core.lease import Clock
from promptwire._core.rpc_errors import from_rpc_error, retry_seconds
from promptwire._core.steps import Attempt, Pause, Steps
from promptwire.domain import limits
from promptwire.errors import PromptwireError, UnavailableError
from promptwire.options import Options
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.admin_service_pb2_grpc import AdminServiceStub
from promptwire.v1.metrics_service_pb2_grpc import MetricsServiceStub
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceStub

_CHANNEL_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A service that comes back is found within 2 s; by gRPC's own default it may take 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_send_message_length", limits.LARGE_REQUEST_MAX_BYTES),
    ("grpc.max_receive_message_length", limits.ANSWER_MAX_BYTES),
    # Otherwise a forked child would find its parent's connection in the process-wide pool.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", f"promptwire-python/{__version__}"),
]

_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    # Of a call that reached a service whose stop had begun: gRPC says so, and nothing here cancels a call but `close`.
    grpc.StatusCode.CANCELLED,
)

Request = TypeVar("Request")
Response = TypeVar("Response")
Message_co = TypeVar("Message_co", covariant=True)


class StreamCall(Protocol[Message_co]):
    """What is used of grpc's streaming calls."""

    def __iter__(self) -> Iterator[Message_co]: ...

    def cancel(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Stubs:
    """The services on one channel."""

    prompts: PromptServiceStub
    admin: AdminServiceStub
    metrics: MetricsServiceStub


class Connection:
    """One client's channel, opened when it is first needed."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._metadata = (("authorization", f"Bearer {options.token}"),) if options.token else ()
        self._inherited: list[object] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # reentrant, as all locks here: see LiveTable
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        self._closing = threading.Event()

    def unary(
        self,
        method: Callable[[Stubs], "grpc.UnaryUnaryMultiCallable[Request, Response]"],
        request: Request,
        timeout_seconds: float,
        hurried: bool = False,
    ) -> Steps[tuple[Response, float]]:
        """The response, and when the attempt that brought it was sent, by the clock.

        While the service says UNAVAILABLE, or stops, the same request is sent again, with the same request_id if it
        writes, until the timeout is over, or the shorter one for a service that nobody answers for; `hurried`, not even
        that long. Where it has too much to do, it says how long to wait at least. Raises PromptwireError, never grpc's.
        """
        backoff = Backoff(0.05, 2.0)
        patience = 0.0 if hurried else self._options.connect_timeout_seconds
        began = self._clock()
        deadline = began + timeout_seconds
        connect_deadline = deadline if patience is None else min(deadline, began + patience)
        refused: PromptwireError | None = None
        while True:
            sent_at = self._clock()
            left = max(0.001, deadline - sent_at)
            try:
                response = yield Attempt(method(self.stubs()), request, left, self._metadata, patience is None)
                return response, sent_at
            except grpc.RpcError as error:
                refused = self._refusal(error, timeout_seconds, refused)
                wait = backoff.next()
                asked = retry_seconds(error)
                if asked is not None:
                    # All whom it refuses are asked to wait as long: they must not come back together.
                    wait += asked * random.uniform(1.0, 2.0)
                # A reason is the service's own word: it was reached.
                until = deadline if refused.reason else connect_deadline
                if (error.code() not in _PASSING and asked is None) or self._clock() + wait >= until:
                    raise refused from error
            except (ValueError, grpc.FutureCancelledError) as error:  # how grpc says that the channel has been closed
                if self.closed:
                    raise closed_error() from error
                raise
            yield self.pause(wait)

    def watch(self, requests: Iterator[pb.WatchRequest]) -> StreamCall[pb.WatchResponse]:
        # Not wait_for_ready: the watch has its own backoff, and wants to know when there is nobody.
        return self.stubs().prompts.Watch(requests, metadata=self._metadata)

    def changes(self, request: pb.StreamChangesRequest) -> StreamCall[pb.StreamChangesResponse]:
        return self.stubs().prompts.StreamChanges(request, metadata=self._metadata)

    def stubs(self) -> Stubs:
        """Raises PromptwireError on a closed client."""
        stubs = self._stubs
        if stubs is None:
            with self._lock:
                if self.closed:
                    raise closed_error()
                if self._stubs is None:
                    channel = self._channel = grpc.insecure_channel(self._options.target, _CHANNEL_OPTIONS)
                    self._stubs = Stubs(
                        PromptServiceStub(channel), AdminServiceStub(channel), MetricsServiceStub(channel)
                    )
                stubs = self._stubs
        return stubs

    def error(self, error: grpc.RpcError, waited_seconds: float) -> PromptwireError:
        """What to raise `from` it."""
        return closed_error() if self.closed else from_rpc_error(error, self._options.target, waited_seconds)

    def _refusal(self, error: grpc.RpcError, timeout_seconds: float, before: PromptwireError | None) -> PromptwireError:
        refused = self.error(error, timeout_seconds)
        if before is not None and before.reason and refused.code == "DEADLINE_EXCEEDED":
            # The service's own reason says more than that time ran out on the last attempt.
            message = f"{before}; given up after {timeout_seconds:.3g} s"
            return UnavailableError(message, before.reason, before.metadata, before.code)
        return refused

    def pause(self, seconds: float) -> Pause:
        return Pause(seconds, self._closing)

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def refuse(self) -> None:
        """Refuses new calls from now on."""
        self._closing.set()

    def close(self) -> None:
        """Ends all calls under way. Idempotent."""
        self.refuse()
        with self._lock:
            channel, self._channel, self._stubs = self._channel, None, None
        if channel is not None:
            channel.close()

    def forked(self) -> None:
        """In a child process: the parent's channel is left as it is; closing or dropping it could touch its sockets."""
        self._inherited += [self._channel, self._stubs]
        closed = self.closed
        self._begin()
        if closed:
            self.refuse()


def closed_error() -> PromptwireError:
    return PromptwireError("this client is closed", "CLOSED")
