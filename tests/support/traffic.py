"""Clients of every kind at work while something is done to the service, and what went wrong for any of them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

import promptwire
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc
from tests.support.workers import fresh_channel

SEEN_SECONDS = 20.0
REFERENCE = "p@production"


@dataclass
class Traffic:
    """`calls` counts those that succeeded, `errors` has all others."""

    target: str
    calls: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    flips: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    written: threading.Event = field(default_factory=threading.Event)
    """Set once nobody writes any more, so that `flips` is final."""

    def report(self) -> str:
        errors = Counter(" ".join(error.split())[:160] for error in self.errors)
        return f"{self.flips} flips, {dict(self.calls)}, {len(self.errors)} errors: {errors.most_common(8)}"

    def repeat(self, kind: str, call: Callable[[], object]) -> None:
        while not self.stopped.is_set():
            try:
                call()
                self.calls[kind] += 1
            except (grpc.RpcError, promptwire.PromptwireError, AssertionError) as error:
                self.errors.append(f"{kind}: {error!r}")

    def plain_fresh(self) -> None:
        """A connection for each call, of a gRPC client that knows nothing of us and tries once."""

        def call() -> None:
            with fresh_channel(self.target) as channel:
                _resolve(channel)

        self.repeat("plain, fresh", call)

    def plain_lasting(self) -> None:
        with fresh_channel(self.target) as channel:
            self.repeat("plain, lasting", lambda: _resolve(channel))

    def client_fresh(self) -> None:
        def call() -> None:
            with promptwire.Client(self.target, timeout_seconds=SEEN_SECONDS) as client:
                client.load_prompt(REFERENCE)

        self.repeat("client, fresh", call)

    def client_lasting(self) -> None:
        with promptwire.Client(self.target, timeout_seconds=SEEN_SECONDS) as client:
            self.repeat("client, lasting", lambda: client.get_prompt("p"))

    def writer(self, agents: int) -> None:
        """Flips an alias; each flip is awaited at every agent before the next, so none may be skipped by any."""
        with promptwire.Client(self.target, timeout_seconds=SEEN_SECONDS) as client:
            fleet = [promptwire.Client(self.target, timeout_seconds=SEEN_SECONDS) for _ in range(agents)]
            try:
                handles = [agent.handle(REFERENCE) for agent in fleet]
                version = handles[0].current.version

                def flip() -> None:
                    nonlocal version
                    version = 3 - version
                    client.set_prompt_alias("p", "production", version)
                    self.flips += 1
                    deadline = time.monotonic() + SEEN_SECONDS
                    while any(handle.current.version != version for handle in handles):
                        assert time.monotonic() < deadline, f"a flip was not seen by all: {version}"
                        time.sleep(0.001)

                self.repeat("flip seen by all", flip)
            finally:
                for agent in fleet:
                    agent.close()

    def feed(self, after: promptwire.Revision) -> None:
        """Reads every change from `after` on: none is missing, none comes twice."""
        with promptwire.Client(self.target, timeout_seconds=SEEN_SECONDS) as client:
            try:
                number = after.number
                for change in client.changes(after=after):
                    if change.changes:
                        number += 1
                        assert change.revision.number == number, f"{change.revision} instead of {number}"
                        self.calls["change of the feed"] += 1
                    if self.written.is_set() and self.calls["change of the feed"] >= self.flips:
                        return
            except (promptwire.PromptwireError, AssertionError) as error:
                self.errors.append(f"feed: {error!r}")


def _resolve(channel: grpc.Channel) -> None:
    pb_grpc.PromptServiceStub(channel).Resolve(pb.ResolveRequest(reference=REFERENCE), timeout=SEEN_SECONDS)


def seed(target: str) -> promptwire.Revision:
    """A prompt of two versions; where history is after that."""
    with promptwire.Client(target, timeout_seconds=30) as client:
        client.register_prompt("p", "one")
        client.register_prompt("p", "two")
        client.set_prompt_alias("p", "production", 1)
        revision = client.server_status().revision
        assert revision is not None
        return revision


@contextmanager
def traffic(target: str, *kinds: str, agents: int = 4) -> Iterator[Traffic]:
    """Runs the kinds, names of Traffic's methods, with a writer and a feed. Fails when anything went wrong for anyone,
    or a kind got nothing done.
    """
    made = Traffic(target)
    after = seed(target)
    threads = [threading.Thread(target=getattr(made, kind), name=kind) for kind in kinds]
    threads.append(threading.Thread(target=made.writer, args=(agents,), name="writer"))
    threads.append(threading.Thread(target=made.feed, args=(after,), name="feed", daemon=True))
    for thread in threads:
        thread.start()
    try:
        progress(made)
        yield made
        progress(made)
    finally:
        made.stopped.set()
        for thread in threads[:-1]:
            thread.join(60)
        made.written.set()
        # One more change, so that the feed has something to end with.
        with promptwire.Client(target, timeout_seconds=30) as client:
            client.set_prompt_tag("p", "note", "the end")
        threads[-1].join(30)
    stuck = [thread.name for thread in threads if thread.is_alive()]
    assert not made.errors, made.report()
    assert not stuck, stuck
    assert made.calls["change of the feed"] >= made.flips > 0, made.report()


def progress(made: Traffic) -> None:
    """Returns once some flips more have been seen by all."""
    before = made.calls["flip seen by all"]
    deadline = time.monotonic() + 60
    while made.calls["flip seen by all"] < before + 5 and not made.errors:
        assert time.monotonic() < deadline, f"nothing goes on: {made}"
        time.sleep(0.01)
