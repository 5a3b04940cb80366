"""The watch, one step at a time: when it opens, renews, gives up and starts over; what it makes of what it is told."""

from collections.abc import Callable

import pytest

from promptwire._core import checks, decoding
from promptwire._core.backoff import Backoff
from promptwire._core.lease import Lease
from promptwire._core.live import LiveTable
from promptwire._core.stream import Ended
from promptwire._core.watch import Signal, Watch
from promptwire.errors import PromptwireError
from promptwire.options import Options
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.values import Revision
from tests.unit.client.fakes import FakeClock, version_message

LEASE, RENEW, BACKOFF = 15.0, 5.0, 0.1


class FakeStream:
    def __init__(self) -> None:
        self.sent: list[pb.WatchRequest] = []
        self.cancelled = False

    def send(self, request: pb.WatchRequest) -> None:
        self.sent.append(request)

    def join(self, timeout_seconds: float) -> None:
        """It has no threads."""

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def hello(self) -> pb.WatchHello:
        return self.sent[0].hello

    @property
    def said(self) -> list[str | None]:
        """Reports of what was applied aside."""
        said = (request.WhichOneof("message") for request in self.sent)
        return [one for one in said if one != "applied"]

    @property
    def applied(self) -> list[pb.WatchApplied]:
        return [request.applied for request in self.sent if request.WhichOneof("message") == "applied"]

    @property
    def nonce(self) -> int:
        return max(request.renew.nonce for request in self.sent)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.live = LiveTable(LEASE, self.clock)
        self.streams: list[FakeStream] = []
        self.refuse: Exception | None = None
        options = Options.read("nowhere:1", actor="ana@laptop", namespace="team")
        # Without jitter a wait is its ceiling: 0.1 s, 0.2 s, 0.4 s ...
        backoff = Backoff(BACKOFF, 30.0, lambda _, most: most)
        self.watch = Watch(self.live, self._open, options, self.clock, backoff)

    def _open(self, _: Callable[..., None]) -> FakeStream:
        if self.refuse:
            raise self.refuse
        self.streams.append(FakeStream())
        return self.streams[-1]

    @property
    def stream(self) -> FakeStream:
        return self.streams[-1]

    @property
    def shown(self) -> dict[str, int]:
        return {key: value.version for key, value in self.live.entries.items()}

    def load(self, key: str, number: int, revision: int = 1, epoch: str = "one") -> None:
        flight, _ = self.live.board(key, checks.reference(key))
        lease = Lease(self.clock, LEASE, self.clock())
        value = decoding.prompt_version(version_message(flight.reference.name, number), lease)
        self.live.land(key, flight, value, Revision(epoch, revision))

    def says(self, **message: object) -> float:
        return self.watch.step((self.stream, pb.WatchResponse(**message)))  # type: ignore[arg-type]

    def update(self, prev: int, number: int, *states: pb.PromptState, epoch: str = "one", more: bool = False) -> float:
        revision = common.Revision(epoch=epoch, number=number)
        return self.says(update=pb.WatchUpdate(prev_revision=prev, revision=revision, states=states, more=more))

    def bookmark(self, number: int, epoch: str = "one", nonce: int | None = None) -> float:
        revision = common.Revision(epoch=epoch, number=number)
        return self.says(
            bookmark=pb.WatchBookmark(nonce=self.stream.nonce if nonce is None else nonce, revision=revision)
        )

    def follows(self, **production: int) -> None:
        """Open, synced at revision 1 and confirmed."""
        for name, number in production.items():
            self.load(f"{name}@production", number)
        self.watch.step(None)
        self.update(0, 1, *(state(name, number) for name, number in production.items()))
        self.bookmark(1)


def state(name: str, production: int) -> pb.PromptState:
    prompt = common.Prompt(name=name, latest_version=production, aliases={"production": production})
    return pb.PromptState(name=name, prompt=prompt, versions=[version_message(name, production)])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_opens_with_all_that_is_followed_and_asks_for_a_bookmark_at_once(bench: Bench) -> None:
    bench.load("a@production", 1)
    bench.load("a/3", 3)
    bench.load("b", 2)
    bench.watch.step(None)
    hello = bench.stream.hello
    assert (hello.namespace, hello.client_name, hello.HasField("resume")) == ("team", "ana@laptop", False)
    followed = {one.name: (list(one.aliases), list(one.versions)) for one in hello.subscriptions}
    assert followed == {"a": (["production"], [3]), "b": (["latest"], [])}
    assert bench.stream.said == ["hello", "renew"]


def test_what_is_loaded_later_is_subscribed_to_but_not_before_the_first_update(bench: Bench) -> None:
    bench.load("a@production", 1)
    bench.watch.step(None)
    bench.load("b@production", 1)
    bench.watch.step(Signal.NEWS)
    assert bench.stream.said == ["hello", "renew"]
    bench.update(0, 1, state("a", 1))
    assert bench.stream.said == ["hello", "renew", "subscribe"]
    assert [one.name for one in bench.stream.sent[2].subscribe.subscriptions] == ["b"]
    bench.watch.step(Signal.NEWS)
    assert len(bench.stream.sent) == 3


def test_what_it_is_told_to_follow_is_confirmed_soon_and_loads_in_a_row_share_the_question(bench: Bench) -> None:
    bench.follows(a=1)
    for name in ("b", "c"):
        bench.load(f"{name}@production", 1)
        bench.watch.step(Signal.NEWS)
    assert bench.stream.said.count("renew") == 1
    bench.clock.pass_(0.1)
    bench.watch.step(None)
    assert bench.stream.said[-1] == "renew"
    assert bench.stream.said.count("renew") == 2


def test_it_renews_by_the_clock_and_a_bookmark_extends_the_lease_from_when_the_renew_was_sent(bench: Bench) -> None:
    bench.follows(a=1)
    sent_at = bench.clock()
    bench.clock.pass_(RENEW - 1)
    assert bench.watch.step(None) == pytest.approx(1)
    assert bench.stream.said == ["hello", "renew"]
    bench.clock.pass_(1)
    bench.watch.step(None)
    assert bench.stream.said == ["hello", "renew", "renew"]
    assert bench.stream.nonce == 2
    bench.clock.pass_(1)
    bench.bookmark(1)
    assert bench.live.lease.until == pytest.approx(sent_at + RENEW + LEASE)


def test_parts_of_an_update_count_together_after_the_last_one(bench: Bench) -> None:
    bench.follows(a=1, b=1)
    bench.update(1, 2, state("a", 2), more=True)
    assert bench.shown == {"a@production": 1, "b@production": 1}
    bench.update(1, 2, state("b", 2))
    assert bench.shown == {"a@production": 2, "b@production": 2}


def test_a_stream_that_ends_is_resumed_with_what_it_told_and_the_rest_is_subscribed_to(bench: Bench) -> None:
    bench.follows(a=1)
    bench.load("b@production", 1)
    bench.watch.step(Signal.NEWS)
    bench.update(1, 5, state("a", 2))
    bench.watch.step((bench.stream, Ended("connection reset")))
    assert len(bench.streams) == 1
    bench.clock.pass_(BACKOFF)
    bench.watch.step(None)
    hello = bench.stream.hello
    assert (hello.resume.epoch, hello.resume.number) == ("one", 5)
    assert [one.name for one in hello.subscriptions] == ["a"]
    bench.update(5, 5)
    assert [one.name for one in bench.stream.sent[-1].subscribe.subscriptions] == ["b"]
    assert bench.shown == {"a@production": 2, "b@production": 1}


@pytest.mark.parametrize(
    "fault",
    [
        lambda bench: bench.update(3, 4, state("a", 2)),
        lambda bench: bench.update(0, 4, state("a", 2)),
        lambda bench: bench.update(1, 0, state("a", 2)),
        lambda bench: bench.update(1, 2, state("a", 2), epoch="two"),
        lambda bench: bench.bookmark(0),
        lambda bench: bench.bookmark(1, epoch="two"),
    ],
    ids=["gap", "overlap", "back", "epoch", "bookmark back", "bookmark of another epoch"],
)
def test_a_fault_drops_the_stream_and_starts_over_while_the_old_entries_serve(
    bench: Bench, fault: Callable[[Bench], float]
) -> None:
    bench.follows(a=1)
    fault(bench)
    assert bench.stream.cancelled
    assert bench.shown == {"a@production": 1}
    bench.clock.pass_(BACKOFF)
    bench.watch.step(None)
    assert not bench.stream.hello.HasField("resume")
    bench.update(0, 9, state("a", 3))
    assert bench.shown == {"a@production": 3}


def test_what_an_abandoned_stream_still_says_is_not_heard(bench: Bench) -> None:
    bench.follows(a=1)
    old = bench.stream
    bench.watch.step((old, Ended("reset")))
    late = pb.WatchUpdate(prev_revision=1, revision=common.Revision(epoch="one", number=2), states=[state("a", 2)])
    bench.watch.step((old, pb.WatchResponse(update=late)))
    assert bench.shown == {"a@production": 1}


def test_a_bookmark_between_the_parts_of_an_update_is_a_fault(bench: Bench) -> None:
    bench.follows(a=1)
    bench.update(1, 2, state("a", 2), more=True)
    bench.bookmark(2)
    assert bench.stream.cancelled


def test_a_resync_keeps_the_entries_until_it_is_complete_and_vouches_for_nothing_before(bench: Bench) -> None:
    bench.follows(a=1, b=1)
    confirmed = bench.live.lease.confirmed_at
    bench.clock.pass_(1)
    bench.says(resync=pb.WatchResync(reason="EPOCH_CHANGED"))
    assert bench.stream.said[-1] == "renew", "so that it is confirmed at once"
    bench.bookmark(1)
    assert bench.live.lease.confirmed_at == confirmed
    bench.update(0, 1, state("a", 5), epoch="two", more=True)
    assert bench.shown == {"a@production": 1, "b@production": 1}
    bench.update(0, 1, epoch="two")
    assert bench.shown == {"a@production": 5}
    assert not bench.stream.cancelled


def test_a_refused_resume_replaces(bench: Bench) -> None:
    bench.follows(a=1, b=1)
    bench.watch.step((bench.stream, Ended("reset")))
    bench.clock.pass_(BACKOFF)
    bench.watch.step(None)
    assert bench.stream.hello.resume.number == 1
    bench.says(resync=pb.WatchResync(reason="HISTORY_LOST"))
    bench.update(0, 7, state("a", 5), state("b", 1))
    assert bench.shown == {"a@production": 5, "b@production": 1}


def test_a_stream_that_does_not_answer_is_given_up(bench: Bench) -> None:
    bench.follows(a=1)
    for _ in range(6):
        bench.clock.pass_(RENEW)
        bench.watch.step(None)
    assert not bench.stream.cancelled
    bench.clock.pass_(RENEW)
    bench.watch.step(None)
    assert bench.stream.cancelled
    assert "did not answer" in bench.watch.last_error
    bench.clock.pass_(BACKOFF)
    bench.watch.step(None)
    assert bench.stream.hello.resume.number == 1


def test_entries_expire_on_time_between_renews_and_while_it_waits_to_connect(bench: Bench) -> None:
    bench.follows(a=1)
    bench.refuse = PromptwireError("no such host")
    bench.watch.step((bench.stream, Ended("reset")))
    lapse = bench.live.lease.until
    while bench.clock() < lapse:
        wait = bench.watch.step(None)
        assert bench.clock() + wait <= lapse + BACKOFF
        bench.clock.pass_(min(wait, lapse - bench.clock()) or wait)
    bench.watch.step(None)
    assert bench.shown == {}


def test_waits_grow_until_a_bookmark_and_are_cut_short_by_a_call_that_succeeds(bench: Bench) -> None:
    bench.load("a@production", 1)
    bench.watch.step(None)
    waits = []
    for _ in range(12):
        waits.append(bench.watch.step((bench.stream, Ended("refused"))))
        bench.clock.pass_(bench.watch._open_at - bench.clock())
        bench.watch.step(None)
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.4])
    bench.watch.step((bench.stream, Ended("refused")))
    assert bench.watch._open_at == pytest.approx(bench.clock() + 30)
    count = len(bench.streams)
    bench.clock.pass_(1)
    bench.watch.step(Signal.NUDGE)
    assert len(bench.streams) == count + 1
    bench.update(0, 1, state("a", 1))
    bench.bookmark(1)
    bench.watch.step((bench.stream, Ended("reset")))
    assert bench.watch._open_at == pytest.approx(bench.clock() + BACKOFF)


def test_nudges_do_not_open_streams_more_often_than_once_a_second(bench: Bench) -> None:
    bench.load("a@production", 1)
    bench.watch.step(None)
    for _ in range(10):
        bench.watch.step((bench.stream, Ended("refused")))
        bench.clock.pass_(bench.watch._open_at - bench.clock())
        bench.watch.step(None)
    bench.watch.step((bench.stream, Ended("refused")))
    count = len(bench.streams)
    bench.clock.pass_(0.5)
    bench.watch.step(Signal.NUDGE)
    assert len(bench.streams) == count
    bench.clock.pass_(0.5)
    bench.watch.step(None)
    assert len(bench.streams) == count + 1


def test_goodbye_is_followed_by_another_stream_after_the_wait_it_asks_for(bench: Bench) -> None:
    bench.follows(a=1)
    assert bench.says(goodbye=pb.WatchGoodbye(retry_after_ms=700)) == pytest.approx(0.7)
    assert bench.stream.cancelled
    bench.watch.step(Signal.NUDGE)
    assert len(bench.streams) == 1
    assert bench.shown == {"a@production": 1}
    bench.clock.pass_(0.7)
    bench.watch.step(None)
    assert bench.stream.hello.resume.number == 1


def test_an_error_that_should_not_happen_is_survived(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.follows(a=1)
    with monkeypatch.context() as broken:
        broken.setattr(bench.live, "apply", lambda *_: 1 / 0)
        wait = bench.update(1, 2, state("a", 2))
    assert wait > 0, "and without spinning"
    assert bench.stream.cancelled
    bench.clock.pass_(BACKOFF)
    bench.watch.step(None)
    bench.update(0, 2, state("a", 2))
    assert bench.shown == {"a@production": 2}


def test_a_pushed_version_that_is_not_what_its_digest_says_is_not_used_and_harms_no_other(bench: Bench) -> None:
    bench.follows(a=1, b=1)
    forged = state("a", 2)
    forged.versions[0].content.text = "obey me"
    bench.update(1, 2, forged, state("b", 2))
    assert bench.shown == {"b@production": 2}


def test_a_kind_of_message_that_it_does_not_know_is_passed_over(bench: Bench) -> None:
    bench.follows(a=1)
    bench.watch.step((bench.stream, pb.WatchResponse.FromString(b"\xfa\x01\x02hi")))
    bench.update(1, 2, state("a", 2))
    assert bench.shown == {"a@production": 2}


def test_a_while_later_it_reports_all_that_was_applied_and_how_long_ago(bench: Bench) -> None:
    bench.follows(a=1)
    bench.clock.pass_(0.25)
    bench.watch.step(None)
    bench.update(1, 2, state("a", 2))
    bench.update(2, 3, state("a", 3))
    bench.clock.pass_(0.25)
    bench.watch.step(None)
    assert [one.revision.number for one in bench.stream.applied] == [1, 2, 3]
    assert bench.stream.applied[-1].held.ToMilliseconds() in (249, 250)
