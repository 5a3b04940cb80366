"""An open Watch call, and the thread that reads it."""

import queue
import threading
from collections.abc import Callable

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
        self._call = connection.watch(iter(self._outbox.get, None))
        threading.Thread(target=self._read, name="promptwire-read", daemon=True).start()

    def send(self, request: prompt_service_pb2.WatchRequest) -> None:
        self._outbox.put(request)

    def cancel(self) -> None:
        """Idempotent."""
        self._outbox.put(None)  # lets grpc's thread go
        self._call.cancel()

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
