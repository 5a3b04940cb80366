"""Each checker accepts a small good history, and complains of the one thing that is changed in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checkers import violations
from tests.faults.history import (
    Change,
    Entry,
    Fault,
    History,
    Log,
    Op,
    Recorder,
    Told,
    load,
    save,
    target_text,
    versions_in,
)

NS, NAME, EPOCH = "red", "greeting", "one-run"
SECOND = 1_000_000_000


def op(kind: str, start: int, **what: Any) -> Op:
    """From `start` to one second later, in seconds; the answer is of EPOCH if it has a revision."""
    epoch = EPOCH if what.get("revision") else ""
    given = {"client": "a", "namespace": NS, "name": NAME, "selector": "production", "epoch": epoch, **what}
    if kind == "register":
        given["selector"] = ""
    return Op(kind=kind, start=start * SECOND, end=(start + 1) * SECOND, **given)


def told(kind: str, at: int, client: str = "w", **what: Any) -> Told:
    return Told(client=client, namespace=NS, kind=kind, at=at * SECOND, epoch=EPOCH, **what)


def state(number: int, version: int, **bodies: str) -> dict[str, Any]:
    texts = {number[1:]: {"text": text, "tags": {}} for number, text in bodies.items()}
    return {NAME: {"latest": 2, "aliases": {"production": str(version)}, "etag": number, "bodies": texts, **PLAIN}}


def changes(*numbers: int) -> list[Told]:
    entries = {entry.number: entry for entry in ENTRIES}
    return [told("change", 20, "f", revision=one, entry=entries[one].plain()) for one in numbers]


def entry(number: int, *changes: Change) -> Entry:
    return Entry(number=number, request_id=f"r{number}", changes=changes)


def moved(target: str, previous: str = "", alias: str = "production") -> Change:
    return Change("alias_set" if target else "alias_deleted", NAME, alias=alias, target=target, previous=previous)


PLAIN: dict[str, Any] = {"tags": {}, "deleted": [], "hidden": False}
ENTRIES = (
    entry(1, Change("version_registered", NAME, version=1)),
    entry(2, Change("version_registered", NAME, version=2)),
    entry(3, moved("1")),
    entry(4, moved("2", "1")),
)


def good() -> History:
    one = {"version": 1, "text": "red one", "aliases": ("production",)}
    two = {"version": 2, "text": "red two", "aliases": ("production",)}
    return History(
        ops=[
            op("register", 0, request_id="r1", version=1, text="red one", revision=1),
            op("register", 2, request_id="r2", version=2, text="red two", revision=2),
            op("set_alias", 4, request_id="r3", version=1, target="1", revision=3),
            op("read", 6, client="b", strong=True, revision=3, **one),
            op("load", 7, client="c", lease_ns=3 * SECOND, **one),
            op("set_alias", 8, request_id="r4", version=2, target="2", previous="1", revision=4),
            op("set_alias", 10, request_id="r4", version=2, target="2", previous="1", revision=4),
            op("load", 10, client="c", lease_ns=3 * SECOND, **one),
            op("read", 11, client="b", token=(EPOCH, 3), max_age_ns=SECOND, revision=4, **two),
            op("load", 12, client="c", lease_ns=3 * SECOND, **two),
        ],
        told=[
            told("open", 1, follows={NAME: ["production"]}),
            told("update", 6, revision=3, states=state(3, 1, v1="red one")),
            told("bookmark", 7, revision=3, sent=6 * SECOND),
            told("update", 9, revision=4, previous=3, states=state(4, 2, v2="red two")),
            told("end", 10),
            told("open", 11, token=(EPOCH, 4), follows={NAME: ["production"]}),
            told("update", 11, revision=4, previous=4),
            told("bookmark", 12, revision=4, sent=12 * SECOND),
            told("done", 20),
            told("from", 1, "f", token=(EPOCH, 0)),
            *changes(1, 2, 3, 4),
            told("feed_done", 20, "f"),
        ],
        logs=[Log(namespace=NS, lineage="one", start=0, entries=ENTRIES)],
    )


def test_a_good_history_is_not_complained_of() -> None:
    assert violations(good()) == []


def change_op(index: int, **what: Any) -> Callable[[History], None]:
    def change(history: History) -> None:
        history.ops[index] = replace(history.ops[index], **what)

    return change


def change_told(index: int, **what: Any) -> Callable[[History], None]:
    def change(history: History) -> None:
        history.told[index] = replace(history.told[index], **what)

    return change


def change_log(*entries: Entry) -> Callable[[History], None]:
    def change(history: History) -> None:
        history.logs[0] = replace(history.logs[0], entries=entries)

    return change


def swap_told(first: int, second: int) -> Callable[[History], None]:
    def change(history: History) -> None:
        history.told[first], history.told[second] = history.told[second], history.told[first]

    return change


def drop_told(index: int) -> Callable[[History], None]:
    return lambda history: history.told.__delitem__(index)


BAD: dict[str, tuple[str, Callable[[History], None]]] = {
    "an acknowledged write is not in the log": ("lost", change_log(*ENTRIES[:3])),
    "a write is in the log twice": (
        "exactly_once",
        change_log(*ENTRIES, replace(ENTRIES[3], number=5, changes=(moved("2", "2"),))),
    ),
    "somebody wrote who was not asked": ("exactly_once", change_log(*ENTRIES, replace(ENTRIES[2], number=5))),
    "a revision is missing": ("contiguous", change_log(*ENTRIES[:2], replace(ENTRIES[3], number=5))),
    "a repeat got another answer": ("exactly_once", change_op(6, revision=3)),
    "the log has another version than was asked for": ("whole", change_op(2, target="2")),
    "the log's order is not that of time": ("real_time", change_op(0, start=20 * SECOND, end=21 * SECOND)),
    "a strong read misses an acknowledged write": ("linearizable", change_op(3, start=12 * SECOND, end=13 * SECOND)),
    "a strong read is older than an acknowledged write": ("staleness", change_op(8, strong=True, revision=3)),
    "an answer is older than it says": ("staleness", change_op(8, revision=3, max_age_ns=0)),
    "an answer is not what was there": ("existed", change_op(8, version=1, text="red one")),
    "an answer is behind its token": ("min_revision", change_op(8, token=(EPOCH, 5))),
    "a version reads what nobody wrote": ("content", change_op(8, text="blue two")),
    "a read goes back": ("monotonic", change_op(9, client="b", version=1, text="red one")),
    "a writer misses its own write": ("monotonic", change_op(7, client="a", start=12 * SECOND)),
    "what is handed out as fresh is too old": ("staleness", change_op(9, version=1, text="red one", end=20 * SECOND)),
    "an error is a bug": ("errors", change_op(9, outcome="failed", reason="INTERNAL")),
    "bookmarkable: a bookmark is behind what was acknowledged": (
        "bookmarkable",
        change_told(2, sent=10 * SECOND),
    ),
    "ordered: an update does not follow": ("ordered", change_told(3, previous=2)),
    "ordered: updates come in the wrong order": ("ordered", swap_told(1, 3)),
    "unique: a state is told twice": ("unique", change_told(6, states=state(4, 2))),
    "atomic: an update is half of a revision": ("atomic", change_told(3, states=state(4, 1, v2="red two"))),
    "atomic: a state that never was": ("atomic", change_told(3, revision=7)),
    "reliable: an update leaves something out": ("reliable", change_told(3, states={})),
    "reliable: the last state is not told": ("reliable", lambda history: history.told.__delitem__(slice(3, 8))),
    "reliable: a body is not told": ("reliable", change_told(3, states=state(4, 2))),
    "resumable: what replaces everything lacks a name": ("resumable", change_told(1, states={})),
    "the feed leaves a change out": ("ordered", drop_told(11)),
    "the feed tells a change twice": ("ordered", lambda history: history.told.insert(11, history.told[11])),
    "the feed tells another change": ("atomic", change_told(11, entry=changes(3)[0].entry)),
    "the feed does not come to the end": ("reliable", drop_told(13)),
    "the feed resumes elsewhere": ("resumable", change_told(9, token=(EPOCH, 2))),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_found(what: str) -> None:
    check, spoil = BAD[what]
    history = good()
    spoil(history)
    assert check in {violation.check for violation in violations(history)}


def test_a_restored_backup_takes_back_what_came_after_it_and_nothing_else() -> None:
    """Back to revision 3: the alias is at 1 again, for everyone, once."""
    history = good()
    history.told.clear()
    del history.ops[6:]
    whole = history.logs.pop()
    history.logs += [
        replace(whole, end=20 * SECOND),
        replace(whole, lineage="two", start=19 * SECOND, base=3, entries=ENTRIES[:3]),
    ]
    back = {"version": 1, "text": "red one", "aliases": ("production",), "epoch": "two-run", "revision": 3}
    history.ops += [op("read", 21, client="b", strong=True, **back), op("load", 21, client="c", **back)]
    assert violations(history) == []
    history.logs[1] = replace(history.logs[1], base=2, entries=ENTRIES[:2])
    assert {"linearizable", "existed"} <= {violation.check for violation in violations(history)}


HALVES = "s|5000:1,10000:2"


def wrote(kind: str, number: int, *changes: Change, **what: Any) -> tuple[Entry, Op]:
    """A write and its answer, which takes the first of four seconds."""
    made = op(kind, 4 * number, **{"request_id": f"r{number}", "selector": "", "revision": number, **what})
    return entry(number, *changes), made


def of(kind: str, version: int = 0, **what: Any) -> Change:
    return Change(kind, NAME, version=version, **what)


KINDS: tuple[tuple[Entry, Op | None], ...] = (
    wrote("register", 1, of("version_registered", 1), version=1, text="red one"),
    wrote("register", 2, of("version_registered", 2), version=2, text="red two"),
    wrote("set_alias", 3, moved("1"), selector="production", version=1, target="1"),
    wrote(
        "release",
        4,
        moved("2", "1"),
        moved("2", alias="staging"),
        version=2,
        moves={"production": ["2", "1"], "staging": ["2", ""]},
    ),
    wrote(
        "undo",
        5,
        moved("", "2", "staging"),
        moved("1", "2"),
        undoes=4,
        moves={"staging": ["", "2"], "production": ["1", "2"]},
    ),
    wrote("set_alias", 6, moved("2", "1"), selector="production", version=2, target="2", previous="1"),
    wrote("rollback", 7, moved("1", "2"), selector="production", target="1", previous="2"),
    wrote("set_split", 8, moved(HALVES, alias="ab"), selector="ab", target=HALVES),
    wrote("set_tags", 9, of("tags_set", 1, tags={"a": "x"}), version=1, tags={"a": "x"}),
    wrote("delete_tags", 10, of("tags_deleted", 1, keys=("a",)), version=1, keys=("a",)),
    wrote("delete_version", 11, moved("", HALVES, "ab"), of("version_deleted", 2), version=2),
    wrote("undelete_version", 12, of("version_undeleted", 2), version=2),
    wrote("delete_prompt", 13, of("prompt_deleted")),
    wrote("undelete_prompt", 14, of("prompt_undeleted")),
    wrote("delete_version", 15, of("version_deleted", 2), version=2),
    (entry(16, of("version_purged", 2)), None),
    wrote("delete_prompt", 17, of("prompt_deleted")),
    (entry(18, moved("", "1"), of("prompt_purged")), None),
    wrote("register", 19, of("version_registered", 3), version=3, text="red three"),
)


def every_kind() -> History:
    """All kinds of writes, each read strongly two seconds later, and the last states told."""

    def read(after: int, version: int, selector: str, *aliases: str, **what: Any) -> Op:
        text = {0: "", 1: "red one", 2: "red two", 3: "red three"}[version]
        at = {"revision": after} if version else {}
        asked = {"client": "b", "selector": selector, "strong": True, "version": version, "text": text}
        return op("read", 4 * after + 2, **asked, **at, **what, aliases=aliases)

    reads = [
        read(4, 2, "staging", "production", "staging"),
        read(5, 0, "staging"),
        read(7, 1, "production", "production"),
        read(8, 2, "ab", "ab", target=HALVES),
        read(9, 1, "1", "ab", "production", tags={"a": "x"}),
        read(10, 1, "1", "ab", "production"),
        read(11, 0, "2"),
        read(12, 2, "latest"),
        read(13, 0, "production"),
        read(14, 1, "production", "production"),
        read(15, 1, "latest", "production"),
        read(17, 0, "production"),
        read(19, 3, "latest"),
    ]
    nothing = op("rollback", 50, version=1, target="1", previous="1", request_id="n", revision=12)
    plain = {"latest": 1, "aliases": {"production": "1"}, "tags": {}, "etag": 17, "deleted": [2], "hidden": True}
    return History(
        ops=sorted([*(one for _, one in KINDS if one), *reads, nothing], key=lambda one: one.start),
        told=[
            told("open", 68, follows={NAME: ["production"]}),
            told("update", 71, revision=17, states={NAME: {**plain, "bodies": {}}}),
            told("update", 75, revision=18, previous=17, states={NAME: None}),
            told("bookmark", 78, revision=18, sent=75 * SECOND),
        ],
        logs=[Log(namespace=NS, lineage="one", start=0, entries=tuple(one for one, _ in KINDS))],
    )


def test_a_good_history_of_every_kind_is_not_complained_of() -> None:
    assert violations(every_kind()) == []


def answer(kind: str, number: int, **what: Any) -> Callable[[History], None]:
    """Changes what was answered at a revision, or read after it."""

    def change(history: History) -> None:
        (index,) = (
            index for index, one in enumerate(history.ops) if one.kind == kind and one.start // SECOND // 4 == number
        )
        history.ops[index] = replace(history.ops[index], **what)

    return change


def log(number: int, *changes: Change) -> Callable[[History], None]:
    """Changes what the log has at a revision."""

    def change(history: History) -> None:
        entries = list(history.logs[0].entries)
        entries[number - 1] = replace(entries[number - 1], changes=changes)
        history.logs[0] = replace(history.logs[0], entries=tuple(entries))

    return change


SPOILT: dict[str, tuple[set[str], Callable[[History], None]]] = {
    "a roll-back goes to what an undo left": (
        {"rollback"},
        lambda history: [
            log(6, moved("2", "1", "staging"))(history),
            log(7, moved("2", "1"))(history),
        ],
    ),
    "a roll-back goes to what it is": ({"rollback", "whole"}, log(7, moved("2", "2"))),
    "a roll-back without effect is answered though it is elsewhere": ({"whole"}, answer("rollback", 12, revision=6)),
    "an undo is answered with another state": (
        {"whole", "linearizable"},
        answer("undo", 5, moves={"staging": ["", "2"], "production": ["2", "1"]}),
    ),
    "a split is answered with other shares": ({"whole"}, answer("set_split", 8, target="s|1:1,10000:2")),
    "a read tells another split": ({"linearizable"}, answer("read", 8, target="s|1:1,10000:2")),
    "a version that a split does not lead to is read": ({"existed"}, answer("read", 8, aliases=("ab", "staging"))),
    "deleted tags are read": ({"existed"}, answer("read", 10, tags={"a": "x"})),
    "other tags are deleted": ({"whole"}, log(10, of("tags_deleted", 1, keys=("b",)))),
    "a deleted version is the newest": ({"existed"}, answer("read", 15, version=2, text="red two", aliases=())),
    "an alias that leads elsewhere goes with a version": (
        {"whole"},
        log(11, moved("", HALVES, "ab"), moved("", "1"), of("version_deleted", 2)),
    ),
    "a deleted prompt is read": (
        {"linearizable", "existed"},
        answer("read", 13, version=1, text="red one", aliases=("production",), epoch=EPOCH, revision=13),
    ),
    "an undeleted prompt is not read": ({"linearizable"}, answer("read", 14, version=0, text="", aliases=())),
    "a write that nobody asked for hides in a purge": (
        {"exactly_once"},
        log(16, of("version_purged", 2), moved("", "1")),
    ),
    "a purged version is read": (
        {"existed"},
        answer("read", 19, version=1, selector="1", text="red one"),
    ),
    "a watcher takes a deleted prompt for one that is there": (
        {"atomic"},
        lambda history: history.told[1].states[NAME].update(hidden=False),
    ),
    "a watcher is not told of a deleted version": (
        {"atomic"},
        lambda history: history.told[1].states[NAME].update(deleted=[]),
    ),
    "a watcher is not told of a purge": ({"reliable"}, change_told(2, states={})),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_in_every_kind_is_found(what: str) -> None:
    checks, spoil = SPOILT[what]
    history = every_kind()
    spoil(history)
    assert checks <= {violation.check for violation in violations(history)}


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    history = good()
    kinds = every_kind()
    history.ops += kinds.ops
    history.logs += kinds.logs
    history.faults.append(Fault(kind="kill", start=1, end=2))
    save(history, tmp_path / "all.jsonl")
    read = load([tmp_path / "all.jsonl"])
    assert (read.told, read.faults, read.logs) == (history.told, history.faults, history.logs)
    assert sorted(read.ops, key=repr) == sorted(history.ops, key=repr)
    recorder = Recorder(tmp_path / "one.jsonl")
    recorder.add(history.ops[8])
    recorder.close()
    assert load([tmp_path / "one.jsonl"]).ops == [history.ops[8]]


def test_targets_are_told_the_same_way_everywhere() -> None:
    assert [target_text(0), target_text(3), target_text(0, "s", [(5000, 1), (10000, 2)])] == ["", "3", HALVES]
    assert [versions_in(text) for text in ("", "3", HALVES)] == [(), (3,), (1, 2)]
