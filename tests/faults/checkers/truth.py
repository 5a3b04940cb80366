"""The states that really existed: each namespace's log, folded, with the times between which each entry took effect."""

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace

from tests.faults.checkers.excuses import Epochs
from tests.faults.history import Entry, History, Log, Op, lineage_of


@dataclass(frozen=True, slots=True)
class State:
    """A prompt after an entry of the log. Never changed."""

    etag: int
    latest: int = 0
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    version_tags: dict[int, dict[str, str]] = field(default_factory=dict)

    def version_of(self, selector: str) -> int:
        """0 for none."""
        if selector.isdigit():
            return int(selector) if int(selector) <= self.latest else 0
        return self.latest if selector in ("", "latest") else self.aliases.get(selector, 0)

    def meaning(self, selector: str) -> tuple[object, ...] | None:
        """What a read of the selector answers: version, aliases of that version, its tags."""
        version = self.version_of(selector)
        if not version:
            return None
        aliases = tuple(sorted(alias for alias, target in self.aliases.items() if target == version))
        return version, aliases, tuple(sorted(self.version_tags.get(version, {}).items()))


NOTHING = State(0)


def answer_of(op: Op) -> tuple[object, ...] | None:
    """What a read answered, as `State.meaning` has it."""
    return (op.version, op.aliases, tuple(sorted(op.tags.items()))) if op.version else None


def after(state: State, entry: Entry) -> State:
    match entry.kind:
        case "version_registered":
            return replace(state, etag=entry.number, latest=entry.version)
        case "alias_set":
            return replace(state, etag=entry.number, aliases={**state.aliases, entry.alias: entry.version})
        case "release":
            moved = {alias: version for alias, (version, _) in entry.moves.items()}
            return replace(state, etag=entry.number, aliases={**state.aliases, **moved})
        case "alias_deleted":
            aliases = {alias: target for alias, target in state.aliases.items() if alias != entry.alias}
            return replace(state, etag=entry.number, aliases=aliases)
        case "tags_set" if entry.version:
            tags = {**state.version_tags.get(entry.version, {}), **entry.tags}
            return replace(state, etag=entry.number, version_tags={**state.version_tags, entry.version: tags})
        case "tags_set":
            return replace(state, etag=entry.number, tags={**state.tags, **entry.tags})
    raise ValueError(f"a change of a kind that the workload does not make: {entry}")


class Lineage:
    """One log, from the first entry on: prompts at each revision, and when each revision came to be."""

    def __init__(self, log: Log, attempts: dict[str, list[Op]]) -> None:
        self.log = log
        self.began: list[float] = [-math.inf]
        """By revision number: not before this time."""
        self.ended: list[float] = []
        """By revision number: it was there by this time."""
        self._states: dict[str, list[State]] = {}
        self._positions: dict[tuple[str, str], dict[object, list[int]]] = {}
        self._requests: dict[str, Entry] | None = None
        self.epochs: Epochs | None = None
        """Where servers fail over."""
        if log.replicated:
            writes = [op for ops in attempts.values() for op in ops]
            self.epochs = Epochs.of(op for op in writes if lineage_of(op.epoch) == log.lineage)
        for entry in log.entries:
            states = self._states.setdefault(entry.name, [NOTHING])
            states.append(after(states[-1], entry))
            begin = min((op.start for op in attempts.get(entry.request_id, ())), default=-math.inf)
            self.began.append(max(self.began[-1], begin))
        latest = math.inf
        for entry in reversed(log.entries):
            ends = [op.end for op in attempts.get(entry.request_id, ()) if self._answered(op, entry)]
            latest = min(latest, min(ends, default=math.inf))
            self.ended.append(latest)
        self.ended.append(-math.inf)
        self.ended.reverse()

    def _answered(self, op: Op, entry: Entry) -> bool:
        """Whether it is the answer to this entry's write, and not to the same write in a history that is gone."""
        return op.outcome == "ok" and (entry.number <= self.log.base or lineage_of(op.epoch) == self.log.lineage)

    @property
    def head(self) -> int:
        return len(self.log.entries)

    @property
    def over(self) -> float:
        """When it was surely no longer the store's."""
        return self.log.end or math.inf

    def entry_of(self, request_id: str) -> Entry | None:
        if self._requests is None:
            self._requests = {entry.request_id: entry for entry in self.log.entries}
        return self._requests.get(request_id)

    def states(self, name: str) -> list[State]:
        """All that a prompt ever was; the first is that it did not exist."""
        return self._states.get(name, [NOTHING])

    def index_at(self, name: str, number: int) -> int:
        """Which of a prompt's states is its state at a revision."""
        return bisect_right(self.states(name), number, key=lambda state: state.etag) - 1

    def at(self, name: str, number: int) -> State:
        return self.states(name)[self.index_at(name, number)]

    def positions(self, name: str, selector: str, meaning: object) -> list[int]:
        """In which of a prompt's states a selector means this."""
        found = self._positions.get((name, selector))
        if found is None:
            found = self._positions[name, selector] = {}
            for index, state in enumerate(self.states(name)):
                found.setdefault(state.meaning(selector), []).append(index)
        return found.get(meaning, [])

    def came_by(self, name: str, index: int) -> float:
        """When a prompt's state began at the earliest."""
        return max(self.began[self.states(name)[index].etag], float(self.log.start) if self.log.base else -math.inf)

    def gone_by(self, name: str, index: int) -> float:
        """When a prompt's state was surely replaced by the next one."""
        states = self.states(name)
        return min(self.over, self.ended[states[index + 1].etag] if index + 1 < len(states) else math.inf)

    def acknowledged_by(self, time: float, name: str) -> int:
        """The newest revision of a prompt that was surely there at a time."""
        states = self.states(name)
        return states[bisect_right(states, time, key=lambda state: self.ended[state.etag]) - 1].etag

    def head_by(self, time: float) -> int:
        """The newest revision that was surely there at a time."""
        return bisect_right(self.ended, time) - 1


class Truth:
    """All namespaces' lineages, in the order of time."""

    def __init__(self, history: History) -> None:
        self.attempts: dict[str, dict[str, list[Op]]] = {}
        """By namespace and request id."""
        for op in history.ops:
            if op.writes and op.request_id:
                self.attempts.setdefault(op.namespace, {}).setdefault(op.request_id, []).append(op)
        self.lineages: dict[str, list[Lineage]] = {}
        self.excused: Counter[str] = Counter()
        """Answers that were let pass, by reason."""
        self._excused_loads: set[tuple[str, int]] = set()
        self._texts: dict[tuple[str, str, int], set[str]] = {}
        for log in sorted(history.logs, key=lambda log: log.start):
            mine = self.attempts.get(log.namespace, {})
            self.lineages.setdefault(log.namespace, []).append(Lineage(log, mine))
            for entry in log.entries:
                if entry.kind == "version_registered":
                    texts = self._texts.setdefault((log.namespace, entry.name, entry.version), set())
                    texts.update(op.text for op in mine.get(entry.request_id, ())[:1])

    def lineage(self, namespace: str, epoch: str) -> Lineage | None:
        wanted = lineage_of(epoch)
        return next((one for one in self.lineages.get(namespace, ()) if one.log.lineage == wanted), None)

    def excuse(self, namespace: str, epoch: str, revision: int, asked: int) -> bool:
        """Whether an answer that is not as it should be may be so, see `excuses`; counts it."""
        lineage = self.lineage(namespace, epoch)
        reason = lineage.epochs.excuse(epoch, revision, asked) if lineage and lineage.epochs else ""
        if reason:
            self.excused[reason] += 1
        return bool(reason)

    def excuse_load(self, op: Op) -> bool:
        """The same for a load, which names no epoch; each counts once."""
        for lineage in self.lineages.get(op.namespace, ()):
            reason = lineage.epochs.excuse_load(op.start, op.end, op.lease_ns) if lineage.epochs else ""
            if op.kind == "load" and reason:
                if (op.client, op.start) not in self._excused_loads:
                    self._excused_loads.add((op.client, op.start))
                    self.excused[reason] += 1
                return True
        return False

    def texts(self, namespace: str, name: str, version: int) -> set[str]:
        """What was written as a version: more than one only if a backup took a version back."""
        return self._texts.get((namespace, name, version), set())
