"""What happened in a run, as each process saw it: operations, what streams told, faults, logs of the store.

Each process writes JSON lines to a file of its own; `load` merges them. Times are CLOCK_MONOTONIC in nanoseconds, which
all processes of a machine share.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

now = time.monotonic_ns

Outcome = Literal["ok", "failed", "unknown"]
"""Answered; surely not carried out; carried out at any time from `start` on, or never."""

MOVES = ("set_alias", "set_split", "delete_alias", "rollback", "release", "undo")
"""Writes whose answer says how aliases moved."""
WRITES = (
    *MOVES,
    *("register", "set_tags", "delete_tags"),
    *("delete_version", "undelete_version", "delete_prompt", "undelete_prompt"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One call, or a burst of hits that all returned the same. Repeats of a request id are each an Op."""

    client: str
    """One session: its reads never go back. Its operations do not overlap."""
    namespace: str
    kind: str
    """One of WRITES; `read` (asked of the service); `load` (through promptwire.Client, most often a hit)."""
    name: str
    start: int
    end: int
    outcome: Outcome = "ok"
    selector: str = ""
    """The alias written or read, `latest`, or a version's number."""
    version: int = 0
    """Made, pointed at, whose tags were set (0: the prompt's), deleted, asked to roll back to (0: to what was live
    before), or read (0: there was none)."""
    target: str = ""
    """What the alias points at since, as `target_text` has it; of a read, if the answer says it is a split."""
    previous: str = ""
    expected: str | None = None
    undoes: int = 0
    """The revision of the release that is taken back."""
    request_id: str = ""
    text: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    """Set; of a read, the version's."""
    keys: tuple[str, ...] = ()
    """Of tags that were deleted."""
    moves: dict[str, list[str]] = field(default_factory=dict)
    """Of a release or its undo: by alias, what it points at since and what it did before."""
    aliases: tuple[str, ...] = ()
    """Of a read: all that point at the version."""
    epoch: str = ""
    revision: int = 0
    strong: bool = False
    token: tuple[str, int] | None = None
    """`min_revision` that was asked for."""
    max_age_ns: int = 0
    lease_ns: int = 0
    """Of a load: how old what is not stale may be."""
    stale: bool = False
    fails_stale: bool = False
    """Of a load: the client was told to raise rather than to serve what is past its lease."""
    count: int = 1
    reason: str = ""
    """Why it failed: the error's reason, or its code."""

    @property
    def writes(self) -> bool:
        return self.kind in WRITES


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a watcher was told by Watch streams, or a reader by the change feed; `kind` says what.

    Of Watch: `open`, `follow`, `update`, `bookmark`, `resync`, `end`, and `done` when it ought to know the last state.
    Of the feed: `from`, `change`, and `feed_done`.
    """

    client: str
    """One watcher over all its streams; its lines are in order."""
    namespace: str
    kind: str
    at: int
    epoch: str = ""
    revision: int = 0
    previous: int = 0
    """`prev_revision` of an update."""
    token: tuple[str, int] | None = None
    """Where `open` resumes."""
    follows: dict[str, list[str]] = field(default_factory=dict)
    """Of `open` and `follow`: names, and the aliases whose bodies are wanted."""
    states: dict[str, Any] = field(default_factory=dict)
    """Of an update: name to {latest, aliases, tags, etag, deleted, hidden, bodies: {version: {text, tags}}}, or to
    None."""
    sent: int = 0
    """Of a bookmark: when its Renew was sent."""
    entry: dict[str, Any] = field(default_factory=dict)
    """Of a change."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the nemesis did, from when to when."""

    kind: str
    start: int
    end: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a write did to a prompt; its kind is named as in the log."""

    kind: str
    name: str
    version: int = 0
    alias: str = ""
    target: str = ""
    """Of `alias_set`: what it points at since; as `target_text` has it."""
    previous: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write as the store's log has it: all that it changed, in order."""

    number: int
    request_id: str
    changes: tuple[Change, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the prompts that it changed."""
        return tuple(dict.fromkeys(change.name for change in self.changes))

    @property
    def purges(self) -> bool:
        """Whether it does nothing but make deletions final, which the service does unasked."""
        gone = {change.name for change in self.changes if change.kind == "prompt_purged"}
        return bool(self.changes) and all(
            change.kind in ("version_purged", "prompt_purged")
            or (change.kind == "alias_deleted" and change.name in gone)
            for change in self.changes
        )

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        changes = [_without_defaults(change) for change in self.changes]
        return {"number": self.number, "request_id": self.request_id, "changes": changes}

    @staticmethod
    def of(plain: dict[str, Any]) -> "Entry":
        changes = (Change(**{**one, "keys": tuple(one.get("keys", ()))}) for one in plain["changes"])
        return Entry(number=plain["number"], request_id=plain["request_id"], changes=tuple(changes))


def target_text(version: int, salt: str = "", segments: Iterable[tuple[int, int]] = ()) -> str:
    """What an alias points at: "" for nothing, a version's number, or for a split `salt|end:version,...`."""
    parts = ",".join(f"{end}:{of}" for end, of in segments)
    return f"{salt}|{parts}" if parts else str(version or "")


def versions_in(target: str) -> tuple[int, ...]:
    """The versions that a target may lead to."""
    if "|" not in target:
        return (int(target),) if target else ()
    parts = target.rpartition("|")[2].split(",")
    return tuple(sorted({int(part.partition(":")[2]) for part in parts}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A namespace's whole log: at the end, or in the moment before the store went back to a backup."""

    namespace: str
    lineage: str
    """The part of the epoch that stays while nothing is lost: see `lineage_of`."""
    start: int
    """When this lineage could first be seen: 0, or when the restoring of a backup began."""
    end: int = 0
    """When it was surely gone; 0 at the end of the run."""
    base: int = 0
    """How many entries it took over from the backup."""
    replicated: bool = False
    """Whether servers took over from each other: what none had acknowledged may have vanished then."""
    entries: tuple[Entry, ...] = ()


def moves_of(op: Op) -> dict[str, list[str]]:
    """Of one of MOVES that was answered: by alias, what it points at since and what it did before."""
    return op.moves if op.kind in ("release", "undo") else {op.selector: [op.target, op.previous]}


Record = Op | Told | Fault | Log
_KINDS: dict[str, type[Any]] = {"op": Op, "told": Told, "fault": Fault, "log": Log}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_DEFAULTS = {
    kind: {
        one.name: one.default_factory() if one.default_factory is not MISSING else one.default for one in fields(kind)
    }
    for kind in (*_KINDS.values(), Change)
}


def lineage_of(epoch: str) -> str:
    """The data set's own id: a restart changes the rest of an epoch, and loses nothing in fsync mode."""
    return epoch.partition("-")[0]


@dataclass(slots=True)
class History:
    """Everything, operations by start, what streams told in the order of each watcher's file."""

    ops: list[Op] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)

    def add(self, record: Record) -> None:
        match record:
            case Op():
                self.ops.append(record)
            case Told():
                self.told.append(record)
            case Fault():
                self.faults.append(record)
            case Log():
                self.logs.append(record)

    def only(self, namespace: str, names: Iterable[str]) -> "History":
        """What concerns these prompts; the logs stay whole."""
        wanted = set(names)
        return History(
            [op for op in self.ops if op.namespace == namespace and op.name in wanted],
            [one for one in self.told if one.namespace == namespace],
            self.faults,
            [log for log in self.logs if log.namespace == namespace],
        )


class Sink(Protocol):
    """Where records go: a Recorder, or a History."""

    def add(self, record: Record) -> None: ...


class Recorder:
    """Appends to one file; from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1 << 16)
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        line = json.dumps(_plain(record), separators=(",", ":"))
        with self._lock:
            self._file.write(line + "\n")

    def close(self) -> None:
        with self._lock:
            self._file.close()


def _plain(record: Record) -> dict[str, Any]:
    plain = _without_defaults(record)
    if isinstance(record, Log):
        plain["entries"] = [entry.plain() for entry in record.entries]
    return {**plain, "is": _NAMES[type(record)]}


def _without_defaults(record: Record | Change) -> dict[str, Any]:
    defaults = _DEFAULTS[type(record)]
    return {name: value for name in defaults if (value := getattr(record, name)) != defaults[name]}


def save(history: History, path: Path) -> None:
    records: list[Record] = [*history.ops, *history.told, *history.faults, *history.logs]
    path.write_text("".join(json.dumps(_plain(record)) + "\n" for record in records))


def load(paths: Iterable[Path], keep: Callable[[Record], bool] = lambda _: True) -> History:
    history = History()
    for path in paths:
        with path.open() as file:
            for line in file:
                record = _record(json.loads(line))
                if keep(record):
                    history.add(record)
    history.ops.sort(key=lambda op: op.start)
    return history


def _record(plain: dict[str, Any]) -> Record:
    kind = _KINDS[plain.pop("is")]
    for name in ("token", "aliases", "keys"):
        if plain.get(name) is not None:
            plain[name] = tuple(plain[name])
    if kind is Log:
        plain["entries"] = tuple(map(Entry.of, plain.get("entries", ())))
    record: Record = kind(**plain)
    return record
