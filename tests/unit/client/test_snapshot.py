"""The snapshot file: what is read back, what is refused, how several writers' knowledge comes together."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from promptwire._core import decoding, snapshot
from promptwire._core.snapshot import Entries, Entry, Refused, RefusedAsNewer
from promptwire.v1 import common_pb2
from promptwire.values import Revision
from tests.unit.client.fakes import version_message

TARGET, NAMESPACE, NOW = "registry:50051", "default", 1_800_000_000.0


def at(number: int, epoch: str = "one") -> Revision:
    return Revision(epoch, number)


def known(
    name: str = "a",
    production: int = 1,
    *selectors: str | int,
    etag: int = 5,
    epoch: str = "one",
    confirmed_at: float = NOW - 5,
    bodies: tuple[int, ...] | None = None,
) -> Entry:
    record = common_pb2.Prompt(name=name, latest_version=9, aliases={"production": production, "beta": 3}, etag=etag)
    values = [decoding.prompt_version(version_message(name, one)) for one in bodies or (production,)]
    return snapshot.entry(name, record, values, selectors or ("production",), at(etag, epoch), confirmed_at)


def gone(name: str = "a", number: int = 9, confirmed_at: float = NOW) -> Entry:
    return snapshot.entry(name, None, (), (), at(number), confirmed_at)


def together(*entries: Entry) -> Entries:
    return {one.name: one for one in entries}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / snapshot.file_name(TARGET, NAMESPACE)


def write(path: Path, *entries: Entry, target: str = TARGET, namespace: str = NAMESPACE) -> None:
    snapshot.replace_file(path, snapshot.pack(together(*entries), target, namespace, at(9), NOW))


def read(path: Path, now: float = NOW) -> Entries:
    return snapshot.read(path, TARGET, NAMESPACE, now)


def versions(entry: Entry, *selectors: str | int) -> list[int]:
    return [found.version if (found := entry.version(one)) else 0 for one in selectors]


def test_what_was_written_is_read_back(path: Path) -> None:
    entries = together(known("a", 1, "production", 4, bodies=(1, 4)), known("b", 2, "latest"))
    write(path, *entries.values())
    assert read(path) == entries
    assert path.stat().st_mode & 0o777 == 0o600
    found = read(path)["a"].version("production")
    assert found is not None
    assert (found.template, found.aliases) == ("a 1: {{who}}", ("production",))
    assert versions(read(path)["a"], 4, "beta", "latest", "nope") == [4, 0, 0, 0]


def test_no_file_is_nothing_known(path: Path) -> None:
    assert read(path) == {}


def test_names_of_files_are_apart_and_harmless() -> None:
    pairs = [("a:1", "default"), ("a:1", "other"), ("a_1", "default"), ("../../etc/passwd", "default"), (".x", "d")]
    names = [snapshot.file_name(*pair) for pair in pairs]
    assert len(set(names)) == len(names)
    assert all("/" not in name and not name.startswith(".") for name in names)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_foreign(path: Path) -> None:
    path.write_bytes(b"\x00\xff" * 500 + b"\n")


def of_another_target(path: Path) -> None:
    write(path, known(), target="elsewhere:1")


def of_another_namespace(path: Path) -> None:
    write(path, known(), namespace="other")


def link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def open_to_others(path: Path) -> None:
    path.chmod(0o620)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (truncate, "damaged"),
        (flip_a_bit, "damaged"),
        (empty, "damaged"),
        (make_foreign, "damaged"),
        (of_another_target, "it is of 'elsewhere:1'"),
        (of_another_namespace, "namespace='other'"),
        (link, "symbolic link"),
        (directory, "not a regular file"),
        (pipe, "not a regular file"),
        (open_to_others, "others may write it"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(path: Path, spoil: Callable[[Path], None], why: str) -> None:
    write(path, known())
    spoil(path)
    with pytest.raises(Refused, match=why):
        read(path)


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, known())
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(Refused, match="belongs to the user"):
        read(path)


def test_every_truncation_is_refused(path: Path) -> None:
    write(path, known())
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(Refused):
            read(path)


def test_a_newer_format_is_refused_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "FORMAT", 2)
    write(path, known())
    monkeypatch.setattr(snapshot, "FORMAT", 1)
    with pytest.raises(RefusedAsNewer):
        read(path)


def test_a_file_that_is_too_large_is_refused(path: Path) -> None:
    write(path, known())
    with pytest.raises(Refused, match="bytes"):
        snapshot.read(path, TARGET, NAMESPACE, NOW, max_bytes=100)


def test_a_confirmation_in_the_future_counts_as_unknown(path: Path) -> None:
    write(path, known(confirmed_at=NOW), known("b", confirmed_at=NOW - 200))
    entries = read(path, now=NOW - 100)
    assert entries["a"].confirmed_at == snapshot.UNKNOWN_TIME
    assert entries["b"].confirmed_at == NOW - 200


def test_a_body_that_is_not_what_its_digest_says_is_refused() -> None:
    entry = known()
    tampered = Entry(
        entry.name, entry.as_of, entry.etag, entry.confirmed_at, entry.selectors, entry.state.replace(b"a 1", b"a 2")
    )
    with pytest.raises(snapshot.READ_ERRORS, match="digest"):
        tampered.version("production")


def test_merging_keeps_what_others_know() -> None:
    merged = snapshot.merge(together(known("a")), [known("b")], NOW)
    assert merged.keys() == {"a", "b"}


@pytest.mark.parametrize("ours_is_newer", [True, False])
def test_within_an_epoch_the_later_change_wins(ours_is_newer: bool) -> None:
    newer, older = known("a", 2, etag=6, confirmed_at=NOW - 50), known("a", 1, etag=5, confirmed_at=NOW)
    held, ours = (older, newer) if ours_is_newer else (newer, older)
    assert versions(snapshot.merge(together(held), [ours], NOW)["a"], "production") == [2]


@pytest.mark.parametrize("ours_is_newer", [True, False])
def test_across_epochs_the_later_confirmation_wins(ours_is_newer: bool) -> None:
    newer = known("a", 2, etag=1, epoch="two", confirmed_at=NOW)
    older = known("a", 1, etag=50, confirmed_at=NOW - 50)
    held, ours = (older, newer) if ours_is_newer else (newer, older)
    assert versions(snapshot.merge(together(held), [ours], NOW)["a"], "production") == [2]


def test_bodies_that_one_of_several_follows_are_kept_while_they_are_led_to() -> None:
    held = together(known("a", 1, "production", "beta", 7, bodies=(1, 3, 7)))
    merged = snapshot.merge(held, [known("a", 2, etag=6)], NOW)["a"]
    assert versions(merged, "production", "beta", 7, 1) == [2, 3, 7, 0]


def test_what_is_gone_is_dropped_unless_somebody_knows_it_came_back() -> None:
    assert snapshot.merge(together(known("a", etag=5)), [gone(number=9)], NOW) == {}
    assert snapshot.merge(together(known("a", etag=12)), [gone(number=9)], NOW).keys() == {"a"}


def test_what_nobody_confirms_any_more_is_dropped() -> None:
    old = NOW - snapshot.KEPT_SECONDS - 1
    merged = snapshot.merge(together(known("a", confirmed_at=old), known("b", 1, "production", 4)), [], NOW)
    assert merged.keys() == {"b"}
    merged = snapshot.merge(together(known("a", 1, "beta", confirmed_at=old, bodies=(3,))), [known("a", 1)], NOW)
    assert merged["a"].selectors.keys() == {"@production"}


def test_what_does_not_fit_is_what_was_confirmed_least_lately() -> None:
    entries = together(*(known(f"a{number}", confirmed_at=NOW - number) for number in range(100)))
    kept = snapshot.fitting(entries, max_bytes=4096 + 50 * 300)
    assert 10 < len(kept) < 100
    assert list(kept) == [f"a{number}" for number in range(len(kept))]


def test_a_writer_cleans_up_after_one_that_was_killed_and_fails_whole(path: Path) -> None:
    write(path, known("a"))
    leftover = path.with_name(path.name + ".dead.tmp")
    leftover.write_bytes(b"half")
    write(path, known("b"))
    assert not leftover.exists()
    assert read(path).keys() == {"b"}
    assert os.listdir(path.parent) == [path.name]


def test_one_lock_is_held_by_one_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_LOCK_SECONDS", 0.05)
    first, second = snapshot.Lock(path), snapshot.Lock(path)
    with first.held(), pytest.raises(TimeoutError, match="another process"), second.held():
        pass
    with second.held():
        pass
