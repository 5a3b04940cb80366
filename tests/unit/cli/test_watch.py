"""`watch`: what a change looks like, and how the feed goes on after an outage."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice

import pytest

from promptwire.cli.following import follow
from promptwire.errors import PromptwireError, UnavailableError
from promptwire.values import Change, Changes, Revision
from tests.unit.cli.conftest import NOW_MS, Cli, StubClient

FLIP = Change(kind="alias_set", name="telco", alias="production", version=2, previous_version=1)
GONE = UnavailableError("localhost:50051 cannot be reached", code="UNAVAILABLE")


def write(number: int, *changes: Change, epoch: str = "e1", reason: str = "") -> Changes:
    return Changes(
        revision=Revision(epoch, number),
        timestamp=NOW_MS,
        actor="ana@laptop",
        reason=reason,
        request_id=f"r{number}",
        changes=changes,
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (FLIP, "production 1 -> 2"),
        (Change(kind="alias_set", name="telco", alias="production", version=2), "production none -> 2"),
        (Change(kind="alias_deleted", name="telco", alias="staging", previous_version=2), "staging 2 -> none"),
        (Change(kind="version_registered", name="telco", version=3), "version 3 registered"),
        (Change(kind="tags_set", name="telco", tags={"a": "1", "b": "2"}), "tags: a=1, b=2"),
        (
            Change(kind="tags_deleted", name="telco", version=3, keys=("a", "b")),
            "tags of version 3: a removed, b removed",
        ),
    ],
)
def test_each_change_is_one_line(cli: Cli, client: StubClient, change: Change, said: str) -> None:
    client.feed = [write(6), write(7, change, reason="because\n[red]")]
    result = cli("watch", "telco")
    assert result.exit_code == 0
    assert result.stdout == f"2026-11-18T11:06:40.000Z\t7\tana@laptop\ttelco\t{said}\tbecause\\n[red]\n"
    assert result.stderr == "watching from revision 6 on; Ctrl-C ends\n"
    assert client.asked == [("changes", None, ["telco"], True)]


def test_a_write_of_several_changes_is_several_lines_of_one_revision(cli: Cli, client: StubClient) -> None:
    client.feed = [write(7, FLIP, FLIP)]
    assert [line.split("\t")[1] for line in cli("watch").stdout.splitlines()] == ["7", "7"]


def test_as_json_each_write_is_one_line(cli: Cli, client: StubClient) -> None:
    client.feed = [write(6), write(7, FLIP, reason="better")]
    result = cli("watch", "--json")
    [line] = result.stdout.splitlines()
    assert json.loads(line) == {
        "revision": {"epoch": "e1", "number": 7},
        "timestamp": NOW_MS,
        "actor": "ana@laptop",
        "reason": "better",
        "request_id": "r7",
        "changes": [
            {
                "kind": "alias_set",
                "name": "telco",
                "version": 2,
                "alias": "production",
                "previous_version": 1,
                "tags": {},
                "keys": [],
                "split": None,
                "previous_split": None,
            }
        ],
    }
    assert json.loads(result.stderr) == {"note": "watching from revision 6 on; Ctrl-C ends"}


@pytest.mark.parametrize(("since", "after"), [("ab:c:5", Revision("ab:c", 5)), ("5", Revision("e1", 5))])
def test_since_is_a_revision_with_or_without_its_epoch(
    cli: Cli, client: StubClient, since: str, after: Revision
) -> None:
    client.feed = [write(9)]
    cli("watch", "--since", since)
    assert client.asked[-2:] == [("changes", after, [], False), ("changes", after, [], True)]


def test_since_where_the_feed_cannot_begin_is_refused(cli: Cli, client: StubClient) -> None:
    changed = PromptwireError("another history", "EPOCH_CHANGED", {"epoch": "e2"}, "FAILED_PRECONDITION")
    client.feed = [write(5), changed]
    result = cli("watch", "--since", "e1:5")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: another history\nwithout --since, `promptwire watch` begins now\n"


@pytest.mark.parametrize("since", ["", "x", ":5", "e1:", "e1:x", "-1", "٣"])
def test_since_what_is_no_revision_is_wrong_usage(cli: Cli, client: StubClient, since: str) -> None:
    result = cli("watch", f"--since={since}")
    assert result.exit_code == 2
    assert "--since is a revision's number" in result.stderr


def test_a_watch_that_never_began_says_why_and_ends(cli: Cli, client: StubClient) -> None:
    client.feed = [GONE]
    result = cli("watch")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: localhost:50051 cannot be reached\n")


class Feed:
    """Streams that follow each other, and with which `after` each was asked for."""

    def __init__(self, *streams: list[Changes | PromptwireError]) -> None:
        self._streams = list(streams)
        self.asked: list[Revision | None] = []

    def changes(
        self, after: Revision | None = None, names: Sequence[str] = (), follow: bool = True
    ) -> Iterator[Changes]:
        self.asked.append(after)
        for one in self._streams.pop(0):
            if isinstance(one, PromptwireError):
                raise one
            yield one


def followed(feed: Feed, count: int) -> tuple[list[int], list[str]]:
    notes: list[str] = []
    seen = islice(follow(feed, None, [], notes.append, lambda _: None), count)
    return [one.revision.number for one in seen], notes


def test_after_an_outage_it_goes_on_where_it_was_and_says_so_once() -> None:
    feed = Feed([write(6), write(7, FLIP), GONE], [GONE], [GONE], [write(7), write(8, FLIP)])
    assert followed(feed, 2) == (
        [7, 8],
        [
            "watching from revision 6 on; Ctrl-C ends",
            "localhost:50051 cannot be reached; waiting for it to come back",
            "connected again, at revision 7",
        ],
    )
    assert feed.asked == [None] + [Revision("e1", 7)] * 3


def test_a_feed_that_just_ends_is_taken_up_again() -> None:
    feed = Feed([write(6)], [write(6), write(7, FLIP)])
    numbers, notes = followed(feed, 1)
    assert numbers == [7]
    assert "the service ended the feed; waiting for it to come back" in notes


def test_a_restarted_store_has_another_epoch_and_the_feed_goes_on_at_the_same_number() -> None:
    changed = PromptwireError("another history", "EPOCH_CHANGED", {"epoch": "e2"}, "FAILED_PRECONDITION")
    feed = Feed([write(7)], [changed], [write(7, epoch="e2"), write(8, FLIP, epoch="e2")])
    numbers, notes = followed(feed, 1)
    assert numbers == [8]
    assert feed.asked[-1] == Revision("e2", 7)
    assert any("restarted or restored (epoch e2); going on after revision 7" in note for note in notes)


def test_a_shorter_history_is_another_one_and_the_feed_goes_on_from_now() -> None:
    changed = PromptwireError("another history", "EPOCH_CHANGED", {"epoch": "e2"}, "FAILED_PRECONDITION")
    feed = Feed([write(7)], [changed], [changed], [write(2, epoch="e2"), write(3, FLIP, epoch="e2")])
    numbers, notes = followed(feed, 1)
    assert numbers == [3]
    assert feed.asked[-1] is None
    assert any("without a revision 7; going on from now" in note for note in notes)


def test_what_the_log_no_longer_has_is_said_to_be_lost() -> None:
    compacted = PromptwireError("too old", "COMPACTED", {"floor": "90"}, "OUT_OF_RANGE")
    feed = Feed([write(7)], [compacted], [write(90), write(91, FLIP)])
    numbers, notes = followed(feed, 1)
    assert numbers == [91]
    assert feed.asked[-1] == Revision("e1", 90)
    assert any("changes after revision 7 up to 90 are lost" in note for note in notes)


def test_a_refusal_at_the_beginning_is_raised() -> None:
    compacted = PromptwireError("too old", "COMPACTED", {"floor": "90"}, "OUT_OF_RANGE")
    with pytest.raises(PromptwireError, match="too old"):
        followed(Feed([compacted]), 1)
