"""What every face of the client stands on: the live table, the watch, the connection, and how they work together."""

import functools
import itertools
import math
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TypeVar

from promptwire._core import checks, feed
from promptwire._core.backoff import Backoff
from promptwire._core.connection import Connection, closed_error
from promptwire._core.flight import Flight
from promptwire._core.lease import Clock, Lease
from promptwire._core.live import LiveTable
from promptwire._core.operations import Operation, Operations, Page
from promptwire._core.stream import Stream
from promptwire._core.watch import Signal, Watch
from promptwire.domain import limits
from promptwire.errors import PromptwireError, StaleError, UnavailableError
from promptwire.handle import Handle
from promptwire.options import Options
from promptwire.status import ClientStatus
from promptwire.v1 import common_pb2
from promptwire.values import Changes, Prompt, PromptVersion, Revision

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
Item = TypeVar("Item")

_JOIN_SECONDS = 5.0


class Core:
    """One client's machinery. Threads and channel begin when they are first needed, in each process anew."""

    def __init__(self, options: Options, clock: Clock = time.monotonic) -> None:
        self.options = options
        self.operations = Operations(options)
        self.live = LiveTable(options.lease_seconds, clock)
        self.connection = Connection(options, clock)
        self._clock = clock
        self._watch = Watch(self.live, lambda deliver: Stream(self.connection, deliver), options, clock)
        _cores.add(self)

    def call(self, operation: Operation[Request, Response, Result], longer_seconds: float = 0.0) -> Result:
        """`longer_seconds` is how much longer than others it may take."""
        return self._ask(operation, self.options.timeout_seconds + longer_seconds)[0]

    def pages(self, page: Callable[[str], Operation[Request, Response, Page[Item]]]) -> Iterator[Item]:
        """All items of all pages; a page is asked for when it is needed."""
        token = ""
        while True:
            items, token = self.call(page(token))
            yield from items
            if not token:
                return

    def _ask(self, operation: Operation[Request, Response, Result], timeout_seconds: float) -> tuple[Result, Revision]:
        """The result, and the revision that it is of."""
        token = self.live.token
        if operation.read is not None and token is not None:
            operation.read.min_revision.epoch = token.epoch
            operation.read.min_revision.number = token.number
        response, sent_at = self.connection.unary(operation.method, operation.request, timeout_seconds)
        self._watch.nudge()
        info = operation.info(response) or common_pb2.ReadInfo()
        revision = Revision(info.revision.epoch, info.revision.number)
        if operation.writes is not None:
            self.live.wrote(operation.writes, revision)
        elif info.HasField("revision"):
            self.live.observe(revision)
        # It was checked at most max_age before the service answered, and so at most that long before it was asked.
        confirmed_at = sent_at - info.max_age.ToTimedelta().total_seconds()
        result = operation.decode(response, Lease(self._clock, self.options.lease_seconds, confirmed_at))
        if isinstance(result, PromptVersion | Prompt):
            self.live.saw(result, revision, confirmed_at)
        return result, revision

    def load(self, written: object) -> PromptVersion:
        """The slow way, for a reference that `entries` does not have."""
        return self.load_all([written])[0]

    def load_all(self, written: Iterable[object]) -> list[PromptVersion]:
        """What the references mean, in their order; those that have to be asked for take one round trip."""
        if self.connection.closed:
            raise closed_error()
        keys = [checks.key(one) for one in written]
        found = {key: value for key in keys if (value := self.live.find(key)) is not None}
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            found |= self._fetch(missing)
        return [self._vouched(found[key]) for key in keys]

    def keep_up(self, handle: Handle) -> None:
        """Has pushes keep a handle up to date from now on."""
        while not self.live.attach(handle.reference, handle):
            self.load(handle.reference)
        _resume_in_children()

    def _vouched(self, value: PromptVersion) -> PromptVersion:
        if self.options.on_stale == "fail" and value.stale:
            raise StaleError(
                f"{value.uri} was last confirmed {value.age:.1f} s ago; the lease is {self.options.lease_seconds:g} s",
                "STALE",
                {"name": value.name, "version": str(value.version)},
            )
        return value

    def _fetch(self, keys: Sequence[str]) -> dict[str, PromptVersion]:
        """Asks for each reference once, however many threads want it at the same time."""
        references = {key: checks.reference(key) for key in keys}
        deadline = self._clock() + self.options.timeout_seconds
        found: dict[str, PromptVersion] = {}
        backoff = Backoff(0.01, 0.5)
        while missing := [key for key in keys if key not in found]:
            boarded = {key: self.live.board(key, references[key]) for key in missing}
            self._fly({key: flight for key, (flight, mine) in boarded.items() if mine}, deadline)
            for key, (flight, _) in boarded.items():
                value = self._arrival(key, flight, deadline)
                if value is not None:
                    found[key] = value
            if len(found) < len(references):
                self.connection.pause(backoff.next())
        return found

    def _fly(self, flights: Mapping[str, Flight], deadline: float) -> None:
        """Asks, takes the answers in, and lets everybody know who waits for one."""
        waiting = dict(flights)
        try:
            while waiting:
                batch = dict(itertools.islice(waiting.items(), limits.BATCH_MAX))
                for (key, flight), outcome in zip(batch.items(), self._resolve(list(batch), deadline), strict=True):
                    if isinstance(outcome, PromptwireError):
                        self._fail(flight, outcome)
                    else:
                        flight.future.set_result(self.live.land(key, flight, *outcome))
                    del waiting[key]
                self._watch.start()
                self._watch.post(Signal.NEWS)
        except PromptwireError as error:
            for flight in waiting.values():
                self._fail(flight, error)
        finally:
            for flight in waiting.values():
                self.live.abandon(flight)
                flight.future.cancel()  # without effect on what has its outcome; else this thread was interrupted

    def _resolve(
        self, keys: Sequence[str], deadline: float
    ) -> Sequence[tuple[PromptVersion, Revision] | PromptwireError]:
        timeout_seconds = max(0.001, deadline - self._clock())
        if len(keys) == 1:
            return [self._ask(self.operations.resolve(keys[0]), timeout_seconds)]
        outcomes, revision = self._ask(self.operations.batch_resolve(keys), timeout_seconds)
        return [one if isinstance(one, PromptwireError) else (one, revision) for one in outcomes]

    def _fail(self, flight: Flight, error: PromptwireError) -> None:
        self.live.abandon(flight)
        flight.future.set_exception(error)

    def _arrival(self, key: str, flight: Flight, deadline: float) -> PromptVersion | None:
        """What a flight brought; None to ask again."""
        try:
            value = flight.future.result(max(0.0, deadline - self._clock()))
            if value is None and self._clock() >= deadline:
                raise UnavailableError(f"{self.options.target} kept answering with what is known to be older")
            return value
        except CancelledError:  # who asked was interrupted
            return None
        except (TimeoutError, UnavailableError) as error:
            known = self.live.fall_back(key)
            if known is not None:
                self._watch.start()
                return known
            if isinstance(error, UnavailableError):
                raise
            waited = self.options.timeout_seconds
            raise UnavailableError(f"{self.options.target} did not answer within {waited:g} s") from error

    def changes(self, after: Revision | None, names: Iterable[str], follow: bool) -> Iterator[Changes]:
        checked = checks.texts(names, "names")
        return feed.changes(self.connection, self.options, self._clock, after, checked, follow)

    def status(self) -> ClientStatus:
        live, watch, lease = self.live, self._watch, self.live.lease
        confirmed = math.isfinite(lease.confirmed_at)
        entries, prompts = live.count()
        return ClientStatus(
            target=self.options.target,
            namespace=self.options.namespace,
            client_id=watch.client_id,
            connected=watch.connected,
            fresh=not lease.stale,
            age_seconds=lease.age if confirmed else None,
            fresh_until=time.time() + lease.until - self._clock() if confirmed else None,
            revision=live.position,
            entries=entries,
            prompts=prompts,
            reconnects=max(0, watch.opened - 1),
            last_error=watch.last_error,
        )

    def close(self) -> None:
        """Idempotent; from any thread."""
        self.connection.refuse()
        self.live.close()
        self._watch.stop(_JOIN_SECONDS)
        self.connection.close()

    def forked(self) -> None:
        """In a child process: the parent's threads are not here, and its channel and locks are not to be touched."""
        self.connection.forked()
        self._watch.forked(uuid.uuid4().hex)
        self.live.forked()

    def resume(self) -> None:
        """In a child process, later: handles never call, so nothing else would begin to keep them up to date."""
        if self.live.has_handles() and not self.connection.closed:
            self._watch.start()


_cores: "weakref.WeakSet[Core]" = weakref.WeakSet()


def _in_children(run: Callable[[Core], None]) -> None:
    def run_all() -> None:
        for core in list(_cores):
            run(core)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=run_all)


@functools.cache
def _resume_in_children() -> None:
    # Hooks run in the order of their registration. grpc registers its own with the first channel, and cancels
    # whatever was begun in the child before that one ran.
    _in_children(Core.resume)


_in_children(Core.forked)
