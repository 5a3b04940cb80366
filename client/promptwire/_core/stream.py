"""An open Watch call, and the thread that reads it."""

import queue
import threading
import time
from collections.abc import Callable, Iterator

import grpc

from promptwire._core.connection import Connection
from promptwire.v1 import prompt_service_pb2


class Ended:
    """The last thing that a stream delivers."""

    def __init__(self, why: str) -> None:
        self.why = why


class Stream:
    """Sends without blocking; hands all that arrives to `deliver`, in order, `Ended` last.

    grpc takes requests from an iterator on a thread of its own, and leaves that thread blocked while a message cannot
    go out. So nothing but messages happens there: the watch keeps the time itself.
    """

    def __init__(
        self,
        connection: Connection,
        deliver: Callable[["Stream", prompt_service_pb2.WatchResponse | Ended], None],
    ) -> None:
        self._connection = connection
        self._deliver = deliver
        self._outbox: queue.SimpleQueue[prompt_service_pb2.WatchRequest | None] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None
        self._call = connection.watch(self._requests())
        self._reader = threading.Thread(target=self._read, name="promptwire-read", daemon=True)
        self._reader.start()

    def send(self, request: prompt_service_pb2.WatchRequest) -> None:
        self._outbox.put(request)

    def cancel(self) -> None:
        """Idempotent."""
        self._outbox.put(None)  # lets grpc's thread go
        self._call.cancel()

    def join(self, timeout_seconds: float) -> None:
        """Waits until its threads have ended, once it is cancelled.

        Who ends the process needs that: a daemon thread that the interpreter stops while it holds the call's lock
        holds it for ever, and the call's finalizer takes it once more.
        """
        deadline = time.monotonic() + timeout_seconds
        for thread in (self._reader, self._sender):
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _requests(self) -> Iterator[prompt_service_pb2.WatchRequest]:
        self._sender = threading.current_thread()
        yield from iter(self._outbox.get, None)

    def _read(self) -> None:
        why = "the service ended the stream"
        try:
            for response in self._call:
                self._deliver(self, response)
        except grpc.RpcError as error:
            why = str(self._connection.error(error, 0.0))
        except Exception as error:
            why = repr(error)
        self._deliver(self, Ended(why))
