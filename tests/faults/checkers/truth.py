"""The states that really existed: each namespace's log, folded, with the times between which each entry took effect."""

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace

from tests.faults.checkers.excuses import Epochs
from tests.faults.history import Change, Entry, History, Log, Op, lineage_of, versions_in

Meaning = tuple[object, ...] | None
"""What a read answers: version, the aliases that lead to it, its tags; None for "there is none"."""


@dataclass(frozen=True, slots=True)
class State:
    """A prompt after an entry of the log. Never changed."""

    etag: int
    there: bool = False
    """False before the first version, and once it is purged: then nothing is left but that its numbers go on."""
    hidden: bool = False
    """Deleted, as a whole."""
    last: int = 0
    """The highest number that it ever had; those up to `before` were of a prompt of this name that is purged."""
    before: int = 0
    deleted: frozenset[int] = frozenset()
    """Versions, purged ones among them."""
    aliases: dict[str, str] = field(default_factory=dict)
    """What each points at, as `target_text` has it."""
    tags: dict[str, str] = field(default_factory=dict)
    version_tags: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def latest(self) -> int:
        """The newest version that is not deleted; 0 for none."""
        return next((one for one in range(self.last, self.before, -1) if one not in self.deleted), 0)

    def versions_of(self, selector: str) -> tuple[int, ...]:
        """All that it may lead to: several of a split alias."""
        if self.hidden or not self.there:
            return ()
        if selector.isdigit():
            there = self.before < int(selector) <= self.last and int(selector) not in self.deleted
            return (int(selector),) if there else ()
        if selector in ("", "latest"):
            return (self.latest,) if self.latest else ()
        return versions_in(self.aliases.get(selector, ""))

    def meanings(self, selector: str) -> tuple[Meaning, ...]:
        """What a read of the selector may answer: several things where the alias is split."""
        return tuple(map(self._meaning, self.versions_of(selector))) or (None,)

    def _meaning(self, version: int) -> Meaning:
        aliases = tuple(sorted(alias for alias, target in self.aliases.items() if version in versions_in(target)))
        return version, aliases, tuple(sorted(self.version_tags.get(version, {}).items()))


NOTHING = State(0)


def answer_of(op: Op) -> Meaning:
    """What a read answered, as `State.meanings` has it."""
    return (op.version, op.aliases, tuple(sorted(op.tags.items()))) if op.version else None


def after(state: State, entry: Entry, name: str) -> State:
    """With all that an entry did to the prompt of this name."""
    for change in entry.changes:
        if change.name == name:
            state = _changed(state, change)
    return replace(state, etag=entry.number)


def _changed(state: State, change: Change) -> State:
    version, aliases, of_version = change.version, state.aliases, state.version_tags.get(change.version, {})
    match change.kind:
        case "version_registered":
            return replace(state, there=True, last=version)
        case "alias_set":
            return replace(state, aliases={**aliases, change.alias: change.target})
        case "alias_deleted":
            return replace(state, aliases={alias: aliases[alias] for alias in aliases if alias != change.alias})
        case "tags_set" if version:
            return replace(state, version_tags={**state.version_tags, version: of_version | change.tags})
        case "tags_set":
            return replace(state, tags=state.tags | change.tags)
        case "tags_deleted" if version:
            return replace(state, version_tags={**state.version_tags, version: _without(of_version, change)})
        case "tags_deleted":
            return replace(state, tags=_without(state.tags, change))
        case "version_deleted" | "version_purged":
            return replace(state, deleted=state.deleted | {version})
        case "version_undeleted":
            return replace(state, deleted=state.deleted - {version})
        case "prompt_deleted" | "prompt_undeleted":
            return replace(state, hidden=change.kind == "prompt_deleted")
        case "prompt_purged":
            return State(0, last=state.last, before=state.last)
    raise ValueError(f"a change of a kind that the workload does not make: {change}")


def _without(tags: dict[str, str], change: Change) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in change.keys}


class Lineage:
    """One log, from the first entry on: prompts at each revision, and when each revision came to be."""

    def __init__(self, log: Log, attempts: dict[str, list[Op]]) -> None:
        self.log = log
        self.began: list[float] = [-math.inf]
        """By revision number: not before this time."""
        self.ended: list[float] = []
        """By revision number: it was there by this time."""
        self._states: dict[str, list[State]] = {}
        self._positions: dict[tuple[str, str], dict[Meaning, list[int]]] = {}
        self._requests = {entry.request_id: entry for entry in log.entries}
        self.epochs: Epochs | None = None
        """Where servers fail over."""
        if log.replicated:
            writes = [op for ops in attempts.values() for op in ops]
            self.epochs = Epochs.of(op for op in writes if lineage_of(op.epoch) == log.lineage)
        for entry in log.entries:
            for name in entry.names:
                states = self._states.setdefault(name, [NOTHING])
                states.append(after(states[-1], entry, name))
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

    def ends_at(self, revision: int) -> bool:
        """Whether nothing comes after it but purges, which the service goes on with when all else is quiet."""
        return revision <= self.head and all(entry.purges for entry in self.log.entries[revision:])

    @property
    def over(self) -> float:
        """When it was surely no longer the store's."""
        return self.log.end or math.inf

    def entry_of(self, request_id: str) -> Entry | None:
        return self._requests.get(request_id)

    def entry_at(self, revision: int) -> Entry | None:
        return self.log.entries[revision - 1] if 0 < revision <= self.head else None

    def states(self, name: str) -> list[State]:
        """All that a prompt ever was; the first is that it did not exist."""
        return self._states.get(name, [NOTHING])

    def index_at(self, name: str, number: int) -> int:
        """Which of a prompt's states is its state at a revision."""
        return bisect_right(self.states(name), number, key=lambda state: state.etag) - 1

    def at(self, name: str, number: int) -> State:
        return self.states(name)[self.index_at(name, number)]

    def positions(self, name: str, selector: str, meaning: Meaning) -> list[int]:
        """In which of a prompt's states a selector may mean this."""
        found = self._positions.get((name, selector))
        if found is None:
            found = self._positions[name, selector] = {}
            for index, state in enumerate(self.states(name)):
                for one in state.meanings(selector):
                    found.setdefault(one, []).append(index)
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
                for change in entry.changes:
                    if change.kind == "version_registered":
                        texts = self._texts.setdefault((log.namespace, change.name, change.version), set())
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
