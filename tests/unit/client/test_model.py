"""The table and the watch against a service that does anything, in any order: writes, delays, breaks, other histories.

What must hold for every entry, at any time: it is what its reference meant at some moment within the lease, not before
what this client saw of it earlier or wrote itself. And once all is delivered, it is what the reference means.
"""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from promptwire._core import checks, decoding
from promptwire._core.backoff import Backoff
from promptwire._core.flight import Flight
from promptwire._core.lease import Lease
from promptwire._core.live import LiveTable
from promptwire._core.stream import Ended
from promptwire._core.watch import Signal, Watch
from promptwire.options import Options
from promptwire.prompt_version import PromptVersion
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.values import Revision
from tests.unit.client.fakes import FakeClock, Registry, ServedStream

LEASE = 15.0
NAMES = ["a", "b"]
LATE = "late"
"""Does not exist at first."""
KEYS = [f"{name}{selector}" for name in [*NAMES, LATE] for selector in ("@production", "@beta", "", "/1", "/2")]
KEYS.append("prompts:/a@production")
SEEN = {key: str(checks.reference(key)) for key in KEYS}

Meaning = tuple[int, tuple[str, ...], tuple[tuple[str, str], ...]] | None
"""Version, aliases and tags; None where the reference means nothing."""


def meaning_of(value: PromptVersion) -> Meaning:
    return value.version, value.aliases, tuple(sorted(value.tags.items()))


@dataclass
class Answer:
    """Of Resolve, on its way."""

    key: str
    flight: Flight
    value: PromptVersion | None
    """None where there is nothing."""
    revision: Revision


class Wire:
    """One stream; nothing travels by itself."""

    def __init__(self) -> None:
        self.requests: deque[pb.WatchRequest] = deque()
        self.served: ServedStream | None = None
        self.broken = False

    def send(self, request: pb.WatchRequest) -> None:
        self.requests.append(request)

    def join(self, timeout_seconds: float) -> None:
        """It has no threads."""

    def cancel(self) -> None:
        self.broken = True


class Model(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.clock = FakeClock()
        self.registry = Registry()
        self.live = LiveTable(LEASE, self.clock)
        self.wires: list[Wire] = []
        options = Options.read("nowhere:1", actor="ana")
        self.watch = Watch(self.live, self._open, options, self.clock, Backoff(0.1, 30, lambda _, most: most))
        self.answers: list[Answer] = []
        self.history: dict[str, list[tuple[Meaning, float]]] = {key: [] for key in KEYS}
        self.floor = dict.fromkeys(SEEN.values(), 0)
        for name in NAMES:
            self.write(lambda name=name: self.registry.register(name))  # type: ignore[misc]

    def _open(self, _: object) -> Wire:
        self.wires.append(Wire())
        return self.wires[-1]

    @property
    def wire(self) -> Wire | None:
        return self.wires[-1] if self.wires and not self.wires[-1].broken else None

    def step(self, event: object) -> None:
        self.watch.step(event)  # type: ignore[arg-type]

    def write(self, change: Callable[[], object]) -> None:
        change()
        for key in KEYS:
            self.history[key].append((self._meaning(key), self.clock()))

    def _meaning(self, key: str) -> Meaning:
        found = self.registry.resolve(key)
        if isinstance(found, tuple):
            return None
        return found.version, tuple(found.aliases), tuple(sorted(found.tags.items()))

    # What others write

    @rule(name=st.sampled_from([*NAMES, LATE]))
    def register(self, name: str) -> None:
        self.write(lambda: self.registry.register(name))

    @rule(name=st.sampled_from(NAMES), alias=st.sampled_from(["production", "beta"]), data=st.data())
    def set_alias(self, name: str, alias: str, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name, *([LATE] if LATE in self.registry.prompts else [])]))
        version = data.draw(st.integers(1, self.registry.prompts[name].latest_version))
        self.write(lambda: self.registry.alias(name, alias, version))

    @rule(name=st.sampled_from(NAMES), alias=st.sampled_from(["production", "beta"]))
    def drop_alias(self, name: str, alias: str) -> None:
        if alias in self.registry.prompts[name].aliases:
            self.write(lambda: self.registry.drop_alias(name, alias))

    @rule(name=st.sampled_from(NAMES), value=st.sampled_from("xyz"), data=st.data())
    def tag(self, name: str, value: str, data: st.DataObject) -> None:
        version = data.draw(st.integers(1, self.registry.prompts[name].latest_version))
        self.write(lambda: self.registry.tag(name, version, "key", value))

    @rule(name=st.sampled_from(NAMES))
    def write_myself(self, name: str) -> None:
        """The write's answer comes at once; what was asked before it may still be on its way."""
        version = self.registry.prompts[name].latest_version
        self.write(lambda: self.registry.alias(name, "production", version))
        self.live.wrote([name], Revision(self.registry.epoch, self.registry.number))
        for key in KEYS:
            if checks.reference(key).name == name:
                self.floor[SEEN[key]] = len(self.history[key]) - 1

    @rule(times=st.integers(0, 3))
    def another_history(self, times: int) -> None:
        """A fail-over to a copy that lacks the last writes, or only a new identity."""
        self.registry.epoch += "'"
        if times and self.registry.number > len(NAMES) + times:
            for prompt in self.registry.prompts.values():
                prompt.aliases.clear()
            self.registry.number -= times
            self.registry.prompts.pop(LATE, None)
            for prompt in self.registry.prompts.values():
                prompt.etag = min(prompt.etag, self.registry.number)
        self.write(lambda: None)
        if (wire := self.wire) and wire.served:
            wire.served.restart("EPOCH_CHANGED")

    # What this client does

    @rule(key=st.sampled_from(KEYS))
    def ask(self, key: str) -> None:
        if key in self.live.entries:
            return
        flight, mine = self.live.board(key, checks.reference(key))
        found = self.registry.resolve(key)
        if not mine:
            return
        lease = Lease(self.clock, LEASE, self.clock())
        revision = Revision(self.registry.epoch, self.registry.number)
        value = None if isinstance(found, tuple) else decoding.prompt_version(found, lease)
        self.answers.append(Answer(key, flight, value, revision))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        answer = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        if answer.value is not None:
            self.live.land(answer.key, answer.flight, answer.value, answer.revision)
        else:
            self.live.land_missing(answer.key, answer.flight, answer.revision)
            self.live.abandon(answer.flight)
        self.step(Signal.NEWS)

    @rule(key=st.sampled_from(KEYS))
    def look(self, key: str) -> None:
        """A read that goes by the table, e.g. get_prompt_version_by_alias; its answer comes at once."""
        found = self.registry.resolve(key)
        if not isinstance(found, tuple):
            revision = Revision(self.registry.epoch, self.registry.number)
            self.live.observe(revision)
            self.clock.pass_(0.001)
            self.live.saw(decoding.prompt_version(found), revision, self.clock())
            self.floor[SEEN[key]] = len(self.history[key]) - 1

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 16.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_(seconds)
        self.step(None)

    # What the network does

    @precondition(lambda self: self.wire and self.wire.requests)
    @rule()
    def request_arrives(self) -> None:
        wire = self.wire
        assert wire is not None
        request = wire.requests.popleft()
        if request.HasField("hello"):
            wire.served = ServedStream(self.registry, copy.deepcopy(request.hello))
        else:
            assert wire.served is not None
            wire.served.handle(request)

    @precondition(lambda self: self.wire and self.wire.served)
    @rule()
    def service_pushes(self) -> None:
        assert self.wire is not None
        assert self.wire.served is not None
        self.wire.served.tell()

    @precondition(lambda self: self.wire and self.wire.served and not self.wire.served.outbox.empty())
    @rule()
    def message_arrives(self) -> None:
        wire = self.wire
        assert wire is not None
        assert wire.served is not None
        message = wire.served.outbox.get_nowait()
        assert message is not None
        self.step((wire, message))

    @precondition(lambda self: self.wire)
    @rule()
    def stream_breaks(self) -> None:
        wire = self.wire
        assert wire is not None
        wire.broken = True
        self.step((wire, Ended("reset")))

    # What must hold

    @invariant()
    def entries_are_right(self) -> None:
        for key, value in self.live.entries.items():
            self.check(key, meaning_of(value))
        for key in KEYS:
            if key not in self.live.entries and self.live.known_missing(key):
                self.check(key, None)

    def check(self, key: str, meaning: Meaning) -> None:
        history, seen = self.history[key], SEEN[key]
        ends = [began for _, began in history[1:]] + [self.clock()]
        for index in range(self.floor[seen], len(history)):
            if history[index][0] == meaning and ends[index] >= self.clock() - LEASE:
                self.floor[seen] = index
                return
        pytest.fail(f"{key} is {meaning}; from {self.floor[seen]} on it was {history}")

    def teardown(self) -> None:
        """Everything arrives in the end."""
        if not hasattr(self, "clock"):
            return
        for seconds in [31.0] * 8 + [1.0] * 4:  # longer than any backoff, then shorter than the lease
            self.clock.pass_(seconds)
            self.step(None)
            while (wire := self.wire) and (wire.requests or (wire.served and not wire.served.outbox.empty())):
                if wire.requests:
                    self.request_arrives()
                else:
                    self.message_arrives()
            if wire and wire.served:
                wire.served.tell()
        for key, item in self.live._items.items():
            meaning = self.history[key][-1][0]
            shown = self.live.entries.get(key)
            assert (meaning_of(shown) if shown else None) == meaning, (key, item.value)
            if meaning is None and (wire := self.wire) and wire.served:
                assert self.live.known_missing(key), key
        self.entries_are_right()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


@pytest.mark.soak
def test_for_long() -> None:
    run_state_machine_as_test(Model, settings=settings(max_examples=10_000, stateful_step_count=50, deadline=None))
