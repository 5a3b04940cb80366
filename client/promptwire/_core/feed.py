"""The change feed: every change, in order, over as many streams as it takes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc

from promptwire._core import decoding
from promptwire._core.backoff import Backoff
from promptwire._core.connection import Connection, StreamCall
from promptwire._core.lease import Clock
from promptwire._core.steps import InThread, Steps
from promptwire.errors import UnavailableError
from promptwire.options import Options
from promptwire.v1 import common_pb2
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.values import Changes, Revision


class Feed:
    """One reader's place in the feed. A stream that breaks is resumed where it was."""

    def __init__(
        self,
        connection: Connection,
        options: Options,
        clock: Clock,
        after: Revision | None,
        names: Sequence[str],
        follow: bool,
    ) -> None:
        self._connection = connection
        self._options = options
        self._clock = clock
        self._after = after
        self._request = pb.StreamChangesRequest(namespace=options.namespace, names=names, stop_at_end=not follow)
        self._call: StreamCall[pb.StreamChangesResponse] | None = None
        self._messages: Iterator[pb.StreamChangesResponse] = iter(())
        self._resumes = False
        self._backoff = Backoff(0.1, 5.0)
        self._failing_since: float | None = None
        # Made with its thread when an event loop first asks for one.
        self._executor = ThreadPoolExecutor(1, "promptwire-feed")

    def next(self) -> Steps[Changes | None]:
        """The next one; None when all was told and there is no following.

        Raises UnavailableError once no stream has told anything for the timeout, and what the service refuses.
        """
        while True:
            cause: grpc.RpcError | None = None
            refused = UnavailableError(f"{self._options.target} ended the feed")
            try:
                message = yield InThread(self._next_message(), self._executor)
                if message is None and self._request.stop_at_end:
                    return None
                if message is not None and (change := self._take(message)):
                    return change
                if message is not None:
                    continue
            except grpc.RpcError as error:
                cause = error
                failure = self._connection.error(error, self._options.timeout_seconds)
                if not isinstance(failure, UnavailableError):
                    raise failure from error
                refused = failure
            self._end_call()
            wait = self._backoff.next()
            now = self._clock()
            self._failing_since = now if self._failing_since is None else self._failing_since
            if now + wait - self._failing_since >= self._options.timeout_seconds:
                raise refused from cause
            yield self._connection.pause(wait)

    def close(self) -> None:
        """Ends the stream, and lets go of who waits for its next message. Idempotent."""
        self._end_call()
        self._executor.shutdown(wait=False)

    def _next_message(self) -> Callable[[], pb.StreamChangesResponse | None]:
        if self._call is None:
            if self._after is not None:
                after = common_pb2.Revision(epoch=self._after.epoch, number=self._after.number)
                self._request.after.CopyFrom(after)
            self._call = self._connection.changes(self._request)
            self._messages = iter(self._call)
        return partial(next, self._messages, None)

    def _take(self, message: pb.StreamChangesResponse) -> Changes | None:
        self._backoff.reset()
        self._failing_since = None
        change = decoding.changes(message)
        self._after = change.revision
        # Where it goes on after a break is no news; where it begins is.
        news = bool(message.changes) or not self._resumes
        self._resumes = True
        return change if news else None

    def _end_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
