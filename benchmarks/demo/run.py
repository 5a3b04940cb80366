"""The demo's course: a service, prompts, agents, flips, and what became of them. It prints nothing; it tells
`Listener`."""

import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import promptwire
from benchmarks.demo.agent import HITS_IN_BURST
from benchmarks.demo.prompts import ALIAS, PROMPTS, Move, moves, references
from benchmarks.support.processes import READY_SECONDS, Peer, ProcessError, Service, SilenceError, ending_undisturbed

ARRIVAL_SECONDS: Final = 10.0
"""How long an agent may take to return what was acknowledged, before it counts as missed."""
PAUSE_SECONDS: Final = 0.001
"""Of an agent, between two bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    agents: int = 4
    flips: int = 20
    pace_seconds: float = 0.5
    """Between two flips, so that one can watch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A move of the alias, carried out."""

    move: Move
    previous: int
    took_ms: float
    """From asking to the acknowledgement, fsync included."""
    acknowledged_ns: int
    arrivals_ms: list[float | None]
    """From the acknowledgement until each agent returned the new version; None for one that did not. Below 0 for one
    that had it before we had the acknowledgement."""

    @property
    def arrived(self) -> list[float]:
        return [delay for delay in self.arrivals_ms if delay is not None]


@dataclass(slots=True)
class Seen:
    """All that one agent said."""

    versions: dict[str, list[int]] = field(default_factory=lambda: {reference: [] for reference in references()})
    hits: int = 0
    ns_per_hit: float = 0.0


@dataclass(slots=True)
class Outcome:
    plan: Plan
    greeting: str = ""
    flips: list[Flip] = field(default_factory=list)
    agents: list[Seen] = field(default_factory=list)

    @property
    def expected(self) -> dict[str, list[int]]:
        """The versions that each reference has meant, in order."""
        meant = {reference: [1] for reference in references()}
        for flip in self.flips:
            meant[reference_to(flip.move)].append(flip.move.version)
        return meant

    @property
    def faults(self) -> list[str]:
        """What went wrong, a sentence each; empty when every agent saw every flip in order and in time."""
        found = [
            f"agent {number} did not return version {flip.move.version} of {reference_to(flip.move)} "
            f"within {ARRIVAL_SECONDS:g} s"
            for flip in self.flips
            for number, delay in enumerate(flip.arrivals_ms, 1)
            if delay is None
        ]
        for number, seen in enumerate(self.agents, 1):
            for reference, versions in self.expected.items():
                if seen.versions[reference] != versions:
                    found.append(
                        f"agent {number} saw {reference} at versions {_row(seen.versions[reference])}; "
                        f"it was at {_row(versions)}"
                    )
        return found


class Listener(Protocol):
    """Who is told how it goes."""

    def serving(self, greeting: str) -> None: ...
    def registered(self, version: promptwire.PromptVersion) -> None: ...
    def agents_ready(self, count: int) -> None: ...
    def flipped(self, flip: Flip) -> None: ...


class AgentProcess(Peer):
    """benchmarks.demo.agent, and what it has said."""

    def __init__(self, target: str) -> None:
        options = {"target": target, "references": references(), "pause_seconds": PAUSE_SECONDS}
        super().__init__("benchmarks.demo.agent", json.dumps(options))
        self.seen = Seen()

    def wait_for(self, reference: str, version: int, seconds: float) -> int | None:
        """When it saw a reference become this version, as its next change; None if it said nothing of it in time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                said = self._next(left)
            except SilenceError:
                return None
            if (said["reference"], said["version"]) == (reference, version):
                return int(said["at_ns"])
        return None

    def finish(self) -> None:
        """Ends it; takes in what it still has to say."""
        self.close_stdin()
        while True:
            said = json.loads(self.line(ARRIVAL_SECONDS))
            if "hits" in said:
                self.seen.hits, self.seen.ns_per_hit = said["hits"], said["ns_per_hit"]
                return
            self._take(said)

    def _next(self, seconds: float) -> dict[str, str | int]:
        said: dict[str, str | int] = json.loads(self.line(seconds))
        self._take(said)
        return said

    def _take(self, said: dict[str, str | int]) -> None:
        self.seen.versions[str(said["reference"])].append(int(said["version"]))


def run(plan: Plan, directory: Path, listener: Listener) -> Outcome:
    """Everything that it starts has ended when it returns or raises. Raises ProcessError."""
    outcome = Outcome(plan)
    with ExitStack() as stack, ending_undisturbed():
        service = stack.enter_context(Service(directory / "data", "--log-level", "warning"))
        outcome.greeting = service.greeting
        listener.serving(service.greeting)
        client = stack.enter_context(promptwire.Client(service.target, actor="release@demo"))
        _register(client, listener)
        agents = [stack.enter_context(AgentProcess(service.target)) for _ in range(plan.agents)]
        for agent in agents:
            for reference in references():
                if agent.wait_for(reference, 1, READY_SECONDS) is None:
                    raise ProcessError(f"an agent did not load {reference}")
        listener.agents_ready(len(agents))
        for move in moves(plan.flips):
            time.sleep(plan.pace_seconds)
            flip = _flip(client, agents, move, outcome.expected[reference_to(move)][-1])
            outcome.flips.append(flip)
            listener.flipped(flip)
            if None in flip.arrivals_ms:
                break
        for agent in agents:
            agent.finish()
        outcome.agents = [agent.seen for agent in agents]
    return outcome


def _register(client: promptwire.Client, listener: Listener) -> None:
    for name, drafts in PROMPTS.items():
        for draft in drafts:
            listener.registered(client.register_prompt(name, draft.text, commit_message=draft.message, tags=draft.tags))
        client.set_prompt_alias(name, ALIAS, 1)


def _flip(client: promptwire.Client, agents: list[AgentProcess], move: Move, previous: int) -> Flip:
    asked_ns = time.monotonic_ns()
    client.set_prompt_alias(move.name, ALIAS, move.version)
    acknowledged_ns = time.monotonic_ns()
    deadline = time.monotonic() + ARRIVAL_SECONDS
    times = [
        agent.wait_for(reference_to(move), move.version, max(0.01, deadline - time.monotonic())) for agent in agents
    ]
    return Flip(
        move=move,
        previous=previous,
        took_ms=(acknowledged_ns - asked_ns) / 1e6,
        acknowledged_ns=acknowledged_ns,
        arrivals_ms=[None if at_ns is None else (at_ns - acknowledged_ns) / 1e6 for at_ns in times],
    )


def reference_to(move: Move) -> str:
    return f"prompts:/{move.name}@{ALIAS}"


def _row(versions: list[int]) -> str:
    return " > ".join(map(str, versions)) or "none"


def pace_text(plan: Plan) -> str:
    """How the agents loop, said honestly."""
    return (
        f"{plan.agents} agents, each a process with a client of its own: bursts of {HITS_IN_BURST:,} hits in a tight "
        f"loop, then a pause of {PAUSE_SECONDS * 1_000:g} ms, for they share {os.cpu_count()} processors with the "
        "service. The pause is part of the time to visible; the loop and a comparison are part of a hit."
    )
