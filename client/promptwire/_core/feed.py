"""The change feed: every change, in order, over as many streams as it takes."""

from collections.abc import Iterator, Sequence

import grpc

from promptwire._core import decoding
from promptwire._core.backoff import Backoff
from promptwire._core.connection import Connection
from promptwire._core.lease import Clock
from promptwire.errors import UnavailableError
from promptwire.options import Options
from promptwire.v1 import common_pb2, prompt_service_pb2
from promptwire.values import Changes, Revision


def changes(
    connection: Connection,
    options: Options,
    clock: Clock,
    after: Revision | None,
    names: Sequence[str],
    follow: bool,
) -> Iterator[Changes]:
    """A stream that breaks is resumed where it was; UnavailableError once that has failed for the timeout."""
    backoff = Backoff(0.1, 5.0)
    failing_since: float | None = None
    request = prompt_service_pb2.StreamChangesRequest(namespace=options.namespace, names=names, stop_at_end=not follow)
    resumes = False
    while True:
        if after is not None:
            request.after.CopyFrom(common_pb2.Revision(epoch=after.epoch, number=after.number))
        call = connection.changes(request)
        cause: grpc.RpcError | None = None
        refused = UnavailableError(f"{options.target} ended the feed")
        try:
            for message in call:
                backoff.reset()
                failing_since = None
                change = decoding.changes(message)
                after = change.revision
                if change.changes or not resumes:  # where it goes on is no news
                    yield change
                resumes = True
            if not follow:
                return
        except grpc.RpcError as error:
            cause = error
            failure = connection.error(error, options.timeout_seconds)
            if not isinstance(failure, UnavailableError):
                raise failure from error
            refused = failure
        finally:
            call.cancel()
        now = clock()
        failing_since = now if failing_since is None else failing_since
        wait = backoff.next()
        if now + wait - failing_since >= options.timeout_seconds:
            raise refused from cause
        connection.pause(wait)
