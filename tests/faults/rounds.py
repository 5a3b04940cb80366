"""A round: one topology, traffic, faults, then quiet; its history, checked."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checkers import examine
from tests.faults.checkers.violation import Violation
from tests.faults.history import History, Recorder, load
from tests.faults.nemesis import Nemesis
from tests.faults.setups import running
from tests.faults.topology import Topology, ready
from tests.faults.worker import Spec
from tests.faults.workload import NAMESPACES

ANSWER_SECONDS = 90.0


@dataclass(slots=True, kw_only=True)
class Round:
    """What to do."""

    topology: str
    seed: int
    seconds: float = 60.0
    directory: Path
    """Of this round alone; histories stay there."""
    kinds: Sequence[str] = ()
    """Of faults; all that the topology has if empty."""
    hold_seconds: tuple[float, float] = (0.2, 2.5)
    """How long a fault is kept up."""
    kills: int = 0
    """If not 0: so many kills -9 of service and store, instead of `seconds` of faults of all kinds."""
    writers: int = 4
    pause_seconds: float = 0.04
    """Mean pause of a writer between two calls."""
    readers: int = 4
    watchers: int = 4


@dataclass(slots=True)
class Result:
    """What came of it."""

    history: History
    violations: list[Violation]
    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    """Answers that a fail-over explains, by reason."""
    seconds: float = 0.0
    """Of traffic and faults, without start, quiet and checks."""


class Worker:
    """A process of the traffic."""

    def __init__(self, spec: Spec, log: Path) -> None:
        self._spec = spec
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", spec.text()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def order(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def answer(self, wanted: str) -> None:
        assert self.process.stdout is not None
        timer = threading.Timer(ANSWER_SECONDS, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline().strip()
        finally:
            timer.cancel()
        if line != wanted:
            raise RuntimeError(f"{self._spec.name} said {line!r} instead of {wanted!r}")

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run(plan: Round) -> Result:
    """Runs one round to its end and checks it."""
    plan.directory.mkdir(parents=True)
    began = time.monotonic()
    with running(plan.topology, plan.directory / "run", served(plan.seed)) as topology:
        recorder = Recorder(plan.directory / "nemesis.jsonl")
        draw = random.Random(plan.seed)
        nemesis = Nemesis(topology, NAMESPACES, draw, recorder, list(plan.kinds), plan.hold_seconds)
        with ExitStack() as stack:
            workers = []
            for spec in specs(plan, topology):
                workers.append(Worker(spec, plan.directory / "workers.log"))
                stack.callback(workers[-1].end)
            for worker in workers:
                worker.answer("started")
            nemesis.begin()
            began = time.monotonic()
            if plan.kills:
                nemesis.kill(plan.kills)
            else:
                nemesis.run(began + plan.seconds)
            seconds = time.monotonic() - began
            ready(topology)
            for order, answer in (("quiet", "quiet"), ("finish", "finished")):
                for worker in workers:
                    worker.order(order)
                for worker in workers:
                    worker.answer(answer)
        nemesis.keep_logs()
        recorder.close()
    return judge(load(sorted(plan.directory.glob("*.jsonl"))), seconds)


def served(seed: int) -> list[str]:
    """How the service runs: what is rare is made frequent, and its wall clock cannot be relied on."""
    return [
        *("-m", "tests.faults.served", "--seed", str(seed), "--jump-clock", "--lose-messages", "0.2", "--purge", "3"),
        *("--failpoint", "read=0.1:0.05", "--failpoint", "log=0.1:0.05", "--failpoint", "written=0.05:0.05", "--"),
    ]


def specs(plan: Round, topology: Topology) -> list[Spec]:
    direct = [service.target for service in topology.services]
    proxied = [proxy.address for proxy in topology.proxies]
    counts = {"write": plan.writers, "read": plan.readers, "watch": plan.watchers}
    return [
        Spec(
            name=f"{kind}{number}",
            kind=kind,  # type: ignore[arg-type]
            # Half of the writers are not behind proxies: somebody has to go on while the network is away.
            targets=direct if kind == "write" and number == 0 else proxied,
            seed=plan.seed * 10 + number,
            clients=max(1, counts[kind] // 2 if kind == "write" else counts[kind]),
            path=str(plan.directory / f"{kind}{number}.jsonl"),
            pause_seconds=plan.pause_seconds,
        )
        for number, kind in enumerate(("write", "write", "read", "watch"))
    ]


def judge(history: History, seconds: float) -> Result:
    found, excused = examine(history)
    result = Result(history, found, excused=excused, seconds=seconds)
    for op in history.ops:
        kind = {"read": "strong read" if op.strong else "cached read", "load": "client load"}.get(op.kind, op.kind)
        result.operations[kind] += 1
        result.outcomes[op.outcome] += 1
        if op.kind == "load":
            result.operations["hits"] += op.count
    result.told.update(told.kind for told in history.told)
    result.faults.update(fault.kind for fault in history.faults)
    return result


def explain(result: Result, plan: Round) -> str:
    """What to print of a round that went wrong: the first violations, where the history is, how to run it again."""
    shown = {violation.check: str(violation) for violation in reversed(result.violations)}
    counted = Counter(violation.check for violation in result.violations)
    again = f"KILLS={plan.kills}" if plan.kills else f"MINUTES=1 ARGS='--topologies {plan.topology}'"
    return "\n".join(
        [
            *shown.values(),
            f"violations: {', '.join(f'{count} {check}' for check, count in counted.items())}",
            f"history: {plan.directory}",
            f"again: make faults SEED={plan.seed} {again}",
        ]
    )
