"""The live table: what may stand in `entries`, by what was seen, written and pushed."""

import threading
from collections.abc import Collection, Mapping

import pytest

from promptwire._core import checks, decoding
from promptwire._core.flight import Flight
from promptwire._core.followed import PushedState, Record
from promptwire._core.held_back import HELD_BACK_SECONDS
from promptwire._core.lease import Lease
from promptwire._core.live import LiveTable
from promptwire.domain.splits import Split
from promptwire.handle import Handle
from promptwire.prompt_version import PromptVersion
from promptwire.values import Prompt, Revision
from tests.unit.client.fakes import FakeClock, version_message

LEASE = 15.0


def at(number: int, epoch: str = "one") -> Revision:
    return Revision(epoch, number)


class Bench:
    """A table with a clock, and the few words that its tests need."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.table = LiveTable(LEASE, self.clock)

    @property
    def shown(self) -> dict[str, int]:
        return {key: value.version for key, value in self.table.entries.items()}

    def version(self, name: str, number: int, aliases: tuple[str, ...] = (), **tags: str) -> PromptVersion:
        lease = Lease(self.clock, LEASE, self.clock())
        return decoding.prompt_version(version_message(name, number, tags=tags, aliases=aliases), lease)

    def board(self, key: str) -> Flight:
        flight, mine = self.table.board(key, checks.reference(key))
        assert mine
        return flight

    def resolved(
        self, key: str, number: int, revision: Revision, aliases: tuple[str, ...] = ()
    ) -> PromptVersion | None:
        flight = self.board(key)
        return self.table.land(key, flight, self.version(flight.reference.name, number, aliases), revision)

    def state(
        self,
        name: str,
        aliases: Mapping[str, int],
        *bodies: int,
        latest: int = 9,
        etag: int = 0,
        held: Collection[int] = (),
    ) -> PushedState:
        """`held`: versions that it lists without their bodies."""
        versions = {number: decoding.prompt_version(version_message(name, number)) for number in bodies}
        tokens = frozenset(version_message(name, number).token for number in held)
        return PushedState(name, Record(latest, aliases, etag), versions, tokens)

    def follow(self, **production: int) -> None:
        """Prompts whose `production` is followed, pushed at revision 10 and confirmed now."""
        for name, number in production.items():
            self.resolved(f"{name}@production", number, at(10), ("production",))
        self.table.greet(100, 1)
        states = [self.state(name, {"production": number}, number) for name, number in production.items()]
        self.table.apply(states, at(10))
        self.table.bookmark(at(10), self.clock(), 1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_was_resolved_is_shown_at_once_and_goes_when_its_lease_ends(bench: Bench) -> None:
    bench.resolved("a@production", 1, at(1))
    assert bench.shown == {"a@production": 1}
    bench.clock.pass_(LEASE - 0.1)
    assert bench.table.expire() == pytest.approx(bench.clock() + 0.1)
    assert bench.shown == {"a@production": 1}
    bench.clock.pass_(0.1)
    bench.table.expire()
    assert bench.shown == {}
    known = bench.table.find("a@production")
    assert known is not None
    assert known.stale
    assert known.age == pytest.approx(LEASE)


def test_a_push_moves_an_entry_and_the_versions_aliases(bench: Bench) -> None:
    bench.follow(a=1)
    assert bench.table.entries["a@production"].aliases == ("production",)
    bench.table.apply([bench.state("a", {"production": 2, "beta": 2}, 2)], at(11))
    assert bench.table.entries["a@production"].version == 2
    assert bench.table.entries["a@production"].aliases == ("beta", "production")


def test_each_reference_remembers_its_own_alias_whatever_brought_its_body(bench: Bench) -> None:
    """Bodies are shared between the items of a prompt; by which alias each was loaded is not."""
    bench.follow(a=1)
    flight = bench.board("a@beta")
    resolved = decoding.prompt_version(version_message("a", 1), Lease(bench.clock, LEASE, bench.clock()), "beta")
    bench.table.land("a@beta", flight, resolved, at(10))
    for key in ("a", "a/1"):
        bench.table.board(key, checks.reference(key))
    bench.table.greet(100, 2)
    states = bench.state("a", {"production": 1, "beta": 1}, 1, latest=1, etag=11)
    bench.table.apply([states], at(11))
    bench.table.bookmark(at(11), bench.clock(), 2)
    bench.table.board("a/1", checks.reference("a/1"))
    found = {key: bench.table.find(key) for key in ("a@production", "a@beta", "a/1")}
    assert {key: one.alias for key, one in found.items() if isinstance(one, PromptVersion)} == {
        "a@production": "production",
        "a@beta": "beta",
        "a/1": "",
    }


def test_what_a_split_alias_picked_is_as_fresh_as_its_version_and_no_longer(bench: Bench) -> None:
    first, second = Split("s", ((10_000, 1),)), Split("t", ((10_000, 1),))
    assert bench.table.pick("a/1", "ab", first) is None, "the service has to be asked"
    version = bench.resolved("a/1", 1, at(10), ("production",))
    assert version is not None
    picked = bench.table.pick("a/1", "ab", first)
    assert picked is not None
    assert (picked.alias, picked.split, picked == version, version.alias) == ("ab", first, True, "")
    assert bench.table.pick("a/1", "ab", first, version) is picked, "one object for all loads"
    assert bench.table.pick("a/1", "ab", first, picked) is None, "of another value"
    again = bench.table.pick("a/1", "ab", second)
    assert again is not None
    bench.table.greet(100, 1)
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(10))
    bench.table.bookmark(at(10), bench.clock(), 1)
    bench.clock.pass_(LEASE - 1)
    bench.table.bookmark(at(10), bench.clock(), 2)
    bench.clock.pass_(2)
    assert (picked.stale, again.stale) == (True, False), "the watch keeps what it still speaks of"
    tagged = decoding.prompt_version(version_message("a", 1, tags={"x": "y"}))
    bench.table.apply([PushedState("a", Record(9, {"production": 1}, 11), {1: tagged})], at(11))
    newest = bench.table.pick("a/1", "ab", second)
    assert newest is not None
    assert dict(newest.tags) == {"x": "y"}
    bench.clock.pass_(LEASE - 3)
    bench.table.bookmark(at(11), bench.clock(), 3)
    bench.clock.pass_(4)
    assert (again.stale, newest.stale) == (True, False)


def test_what_did_not_change_visibly_stays_the_same_object(bench: Bench) -> None:
    bench.follow(a=1)
    before = bench.table.entries["a@production"]
    bench.table.apply([bench.state("a", {"production": 1, "other": 2}, 1)], at(11))
    assert bench.table.entries["a@production"] is before


def test_spellings_of_one_reference_share_an_item_and_ask_once(bench: Bench) -> None:
    bench.follow(a=1)
    flight, mine = bench.table.board("prompts:/a@production", checks.reference("prompts:/a@production"))
    assert not mine
    assert flight.future.result(0) is bench.table.entries["a@production"]
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(11))
    assert bench.shown == {"a@production": 2, "prompts:/a@production": 2}


def test_an_alias_that_is_deleted_or_leads_to_a_body_that_was_not_told_is_taken_away(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    bench.table.apply([bench.state("a", {}), bench.state("b", {"production": 7})], at(11))
    assert bench.shown == {}
    assert bench.table.find("a@production") is None
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(12))
    assert bench.shown == {"a@production": 1}


def test_a_prompt_that_is_gone_is_taken_away(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([PushedState("a", None, {})], at(11))
    assert bench.shown == {}


def test_a_push_older_than_what_was_resolved_waits_until_the_stream_has_come_that_far(bench: Bench) -> None:
    bench.follow(z=1)
    bench.resolved("a@production", 2, at(20))
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(19))
    assert bench.shown["a@production"] == 2
    bench.table.bookmark(at(19), bench.clock() - 1, 1)
    assert bench.shown["a@production"] == 2
    bench.table.apply([bench.state("a", {"production": 3}, 3)], at(21))
    assert bench.shown["a@production"] == 3


def test_a_bookmark_makes_an_older_push_count_if_nothing_came_in_between(bench: Bench) -> None:
    bench.follow(z=1)
    bench.resolved("a@production", 1, at(20))
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(19))
    bench.table.bookmark(at(20), bench.clock(), 1)
    bench.clock.pass_(LEASE - 1)
    bench.table.bookmark(at(20), bench.clock(), 1)
    bench.clock.pass_(LEASE - 1)
    bench.table.expire()
    assert bench.shown["a@production"] == 1


def test_an_answer_older_than_the_last_pushed_change_is_not_taken_in(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([bench.state("a", {"production": 2, "beta": 1}, 2, etag=12)], at(12))
    assert bench.resolved("a@beta", 7, at(11)) is None
    assert bench.resolved("a@beta", 1, at(12)) is not None
    assert bench.shown == {"a@production": 2, "a@beta": 1}


def test_a_write_takes_the_prompts_entries_away_until_a_push_as_new_arrives(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    bench.table.wrote(["a"], at(12))
    assert bench.shown == {"b@production": 1}
    assert bench.table.token == at(12)
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(11))
    assert bench.shown == {"b@production": 1}
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(12))
    assert bench.shown == {"a@production": 2, "b@production": 1}


def test_a_push_that_was_faster_than_the_writes_answer_stays(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(12))
    bench.table.wrote(["a"], at(12))
    assert bench.shown == {"a@production": 2}


def test_what_an_answer_shows_to_be_out_of_date_is_taken_away_and_does_not_come_back(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    bench.clock.pass_(1)
    bench.table.saw(bench.version("a", 1, ("production",)), at(11), bench.clock())
    assert bench.shown == {"a@production": 1, "b@production": 1}, "nothing new"
    bench.table.saw(bench.version("a", 2, ("production",)), at(12), bench.clock())
    assert bench.shown == {"b@production": 1}
    bench.table.saw(Prompt(name="b", latest_version=9, aliases={"production": 3}), at(13), bench.clock())
    assert bench.shown == {}
    bench.table.apply([bench.state(name, {"production": 1}, 1) for name in ("a", "b")], at(11))
    assert bench.shown == {}
    bench.table.apply([bench.state("a", {"production": 2}, 2), bench.state("b", {"production": 3}, 3)], at(13))
    assert bench.shown == {"a@production": 2, "b@production": 3}


def test_an_answer_that_pushes_have_overtaken_takes_nothing_away(bench: Bench) -> None:
    bench.follow(a=2)
    bench.table.saw(bench.version("a", 1, ("production",)), at(9), bench.clock())
    assert bench.shown == {"a@production": 2}


def test_a_write_fences_the_questions_under_way(bench: Bench) -> None:
    early = bench.board("a@production")
    bench.table.wrote(["a"], at(12))
    late, mine = bench.table.board("a@production", checks.reference("a@production"))
    assert mine, "who asks after the write must not get an answer from before it"
    assert late is not early
    assert bench.table.land("a@production", early, bench.version("a", 1), at(11)) is None
    assert bench.shown == {}
    assert bench.table.land("a@production", late, bench.version("a", 2), at(12)) is not None
    assert bench.shown == {"a@production": 2}


def test_a_resync_swaps_everything_at_once_and_never_merges(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    bench.table.replacing = True
    assert bench.shown == {"a@production": 1, "b@production": 1}
    bench.table.apply([bench.state("a", {"production": 4}, 4)], at(3, "two"))
    assert bench.shown == {"a@production": 4}
    assert bench.table.find("b@production") is None


def test_a_replacing_update_keeps_what_the_stream_was_not_asked_for_until_its_lease_ends(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    bench.table.replacing = True
    _, first = bench.table.greet(1, 1)
    assert [one.name for one in first] == ["a"]
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(30))
    assert bench.shown == {"a@production": 2, "b@production": 1}
    assert [one.name for one in bench.table.untold(10, 2)] == ["b"]
    bench.clock.pass_(LEASE)
    bench.table.bookmark(at(30), bench.clock(), 1)
    bench.table.expire()
    assert bench.shown == {"a@production": 2}


def test_a_message_names_a_bounded_number_of_selectors_and_the_next_ones_the_rest(bench: Bench) -> None:
    for number in range(1, 6):
        bench.resolved(f"a/{number}", number, at(10))
    bench.resolved("b@production", 1, at(10), ("production",))
    bench.table.greet(0, 1)
    told = [bench.table.untold(3, nonce) for nonce in (2, 3, 4)]
    named = [[(one.name, one.selectors) for one in message] for message in told]
    assert named == [[("a", [1, 2, 3])], [("a", [4, 5]), ("b", ["production"])], []]


def test_a_worker_that_is_behind_does_not_take_the_client_back(bench: Bench) -> None:
    bench.follow(a=2)
    bench.table.replacing = True
    bench.table.greet(100, 1)
    bench.clock.pass_(1)
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(8))
    assert bench.shown == {"a@production": 2}
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(10))
    assert bench.shown == {"a@production": 2}


def test_a_history_that_was_lost_is_given_up_once_a_later_check_says_so(bench: Bench) -> None:
    bench.follow(a=2)
    bench.table.replacing = True
    bench.clock.pass_(1)
    bench.table.greet(100, 1)
    sent_at = bench.clock()
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(8))
    bench.table.bookmark(at(8), sent_at, 1)
    assert bench.shown == {"a@production": 1}
    assert bench.table.token == at(8)


def test_a_resolve_of_an_unknown_epoch_counts_until_a_later_check(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.wrote(["a"], at(3, "two"))
    bench.resolved("a@production", 5, at(3, "two"))
    bench.table.apply([bench.state("a", {"production": 1}, 1)], at(11))
    assert bench.shown == {"a@production": 5}
    bench.clock.pass_(1)
    bench.table.bookmark(at(11), bench.clock(), 1)
    assert bench.shown == {"a@production": 1}


def test_when_the_shared_lease_ends_the_table_is_moved_aside_and_a_bookmark_puts_it_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.follow(a=1, b=1)
    held = bench.table.entries["a@production"]
    assert bench.table.expire() == bench.clock() + LEASE
    bench.clock.pass_(LEASE)
    bench.table.expire()
    bench.table.expire()
    assert bench.shown == {}
    assert bench.table.find("a@production") is held
    assert held.stale
    assert held.age == pytest.approx(LEASE)
    bench.clock.pass_(5)
    bench.table.bookmark(at(10), bench.clock() - 1, 1)
    assert bench.shown == {"a@production": 1, "b@production": 1}
    assert bench.table.entries["a@production"] is held
    assert not held.stale
    assert held.age == pytest.approx(1)
    assert len(caplog.records) == 2, "one line for each transition"


def test_what_is_resolved_while_the_table_is_aside_is_fresh(bench: Bench) -> None:
    bench.follow(a=1)
    bench.clock.pass_(LEASE)
    bench.table.expire()
    bench.resolved("b@production", 1, at(11))
    assert bench.shown == {"b@production": 1}
    bench.clock.pass_(LEASE)
    bench.table.expire()
    assert bench.shown == {}


def test_a_bookmark_that_was_asked_for_too_long_ago_does_not_put_the_table_back(bench: Bench) -> None:
    bench.follow(a=1)
    asked = bench.clock()
    bench.clock.pass_(LEASE + 1)
    bench.table.expire()
    bench.table.bookmark(at(11), asked, 1)
    assert bench.shown == {}


def test_a_body_that_resolve_brought_rests_on_the_watch_once_the_watch_has_brought_it(bench: Bench) -> None:
    bench.follow(a=1)
    bench.resolved("a/4", 4, at(10))
    bench.table.untold(10, 2)
    bench.clock.pass_(2)
    bench.table.bookmark(at(10), bench.clock(), 2)
    assert bench.table.entries["a/4"].age == pytest.approx(2), "still its own lease"
    bench.table.apply([bench.state("a", {"production": 1}, 1, 4)], at(10))
    assert bench.table.entries["a/4"].age == 0


def test_a_body_whose_tags_may_have_changed_unseen_is_asked_for_again(bench: Bench) -> None:
    """The service does not know yet that this client wants version 1 for `latest` too, and so does not re-send it."""
    bench.follow(a=1)
    bench.resolved("a", 1, at(10), ("production",))
    assert bench.shown == {"a@production": 1, "a": 1}
    bench.table.apply([bench.state("a", {}, latest=1, etag=12)], at(12))
    assert bench.shown == {}
    assert bench.table.find("a") is None


def test_a_body_that_a_state_lists_as_held_stays_valid(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([bench.state("a", {"production": 1, "beta": 1}, etag=12, held=[1])], at(12))
    assert bench.table.entries["a@production"].aliases == ("beta", "production")
    bench.table.apply([bench.state("a", {"production": 1}, etag=13)], at(13))
    assert bench.shown == {}, "a body that a state does not list no longer counts"


def test_the_stream_is_told_which_bodies_are_here_and_confirms_them(bench: Bench) -> None:
    bench.resolved("a@production", 1, at(10), ("production",))
    token = version_message("a", 1).token
    assert [one.held for one in bench.table.greet(100, 1)[1]] == [[token]]
    bench.table.apply([bench.state("a", {"production": 1}, held=[1])], at(10))
    bench.table.bookmark(at(10), bench.clock(), 1)
    assert bench.table.not_ready(["a@production"]) == []
    bench.resolved("a/4", 4, at(10))
    assert [one.held for one in bench.table.untold(10, 2)] == [[version_message("a", 4).token]], (
        "not again what it knows"
    )
    bench.table.apply([bench.state("a", {"production": 1}, held=[1, 4])], at(10))
    assert bench.table.not_ready(["a/4"]) == []


def test_a_stream_that_starts_over_is_told_which_bodies_are_here(bench: Bench) -> None:
    bench.follow(a=1, b=1)
    before = bench.table.entries["a@production"]
    bench.table.replacing = True
    _, first = bench.table.greet(100, 1)
    assert {one.name: one.held for one in first} == {name: [version_message(name, 1).token] for name in "ab"}
    states = [bench.state("a", {"production": 1}, held=[1]), bench.state("b", {"production": 2}, 2)]
    bench.table.apply(states, at(3, "two"))
    assert bench.shown == {"a@production": 1, "b@production": 2}
    assert bench.table.entries["a@production"] is before


def test_a_state_that_relies_on_a_body_that_is_not_here_is_found(bench: Bench) -> None:
    bench.follow(a=1)
    good, bad = bench.state("a", {"production": 1}, held=[1]), bench.state("a", {"production": 2}, held=[2])
    unknown = bench.state("nobody", {}, held=[7])
    assert bench.table.lacking([good, unknown]) is None
    assert bench.table.lacking([good, bad]) == "a"


def test_a_body_that_cannot_be_read_is_listed_without_harm(bench: Bench) -> None:
    bench.follow(a=1)
    token = version_message("a", 2).token
    state = PushedState("a", Record(9, {"production": 2}, 12), {}, unusable=frozenset({token}))
    bench.table.apply([state], at(12))
    assert bench.shown == {}
    held = bench.state("a", {"production": 2}, etag=13, held=[2])
    assert bench.table.lacking([held]) is None
    bench.table.apply([held], at(13))
    assert bench.table.lacking([held]) is None
    bench.table.apply([bench.state("a", {"production": 1}, 1, etag=14)], at(14))
    assert bench.table.lacking([held]) == "a"


def test_what_to_follow_is_told_in_messages_of_a_bounded_size(bench: Bench) -> None:
    names = [f"{index:03}{'n' * 250}" for index in range(9_000)]
    for name in names:
        bench.resolved(name, 1, at(10))
    told = [one.name for one in bench.table.greet(100_000, 1)[1]]
    assert 3_000 < len(told) < 5_000
    while more := bench.table.untold(100_000, 2):
        assert sum(len(one.name) for one in more) < 1 << 20
        told += [one.name for one in more]
    assert told == names


def test_a_version_that_was_not_wanted_for_a_while_needs_its_body_again(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([bench.state("a", {"production": 2}, 2, etag=12)], at(12))
    bench.table.apply([bench.state("a", {"production": 1}, etag=13)], at(13))
    assert bench.shown == {}
    bench.table.apply([bench.state("a", {"production": 1}, 1, etag=13)], at(14))
    assert bench.shown == {"a@production": 1}


def test_a_value_that_was_replaced_keeps_its_age(bench: Bench) -> None:
    bench.follow(a=1)
    old = bench.table.entries["a@production"]
    bench.clock.pass_(2)
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(11))
    bench.clock.pass_(2)
    bench.table.bookmark(at(11), bench.clock(), 1)
    assert old.age == pytest.approx(4)
    assert bench.table.entries["a@production"].age == 0


def test_a_handle_moves_with_the_entry_and_keeps_the_last_known_good(bench: Bench) -> None:
    bench.follow(a=1)
    handle = Handle(None, "a@production", bench.table.entries["a@production"])  # type: ignore[arg-type]
    assert bench.table.attach("a@production", handle)
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(11))
    assert handle.current.version == 2
    bench.table.apply([bench.state("a", {})], at(12))
    assert handle.current.version == 2
    bench.clock.pass_(LEASE)
    assert handle.current.stale


def test_a_first_load_that_is_ahead_of_the_pushes_waits_for_them(bench: Bench) -> None:
    """A release has moved a and b; b's answer has arrived, the push of both has not."""
    bench.follow(a=1)
    flight = bench.board("b@production")
    assert bench.table.hold_back("b@production", flight, bench.version("b", 2), at(11))
    again, mine = bench.table.board("b@production", checks.reference("b@production"))
    assert (again, mine, bench.shown) == (flight, False, {"a@production": 1})
    assert bench.table.find("b@production") is None
    bench.table.apply([bench.state("a", {"production": 2}, 2), bench.state("b", {"production": 2}, 2)], at(11))
    assert flight.future.done()
    assert bench.shown["a@production"] == 2
    known, mine = bench.table.board("b@production", checks.reference("b@production"))
    value = known.future.result(0)
    assert (value and value.version, mine) == (2, False)


def test_a_push_that_does_not_come_is_not_waited_for_long(bench: Bench) -> None:
    bench.follow(a=1)
    flight = bench.board("b@production")
    assert bench.table.hold_back("b@production", flight, bench.version("b", 2), at(11))
    assert bench.table.expire() == pytest.approx(bench.clock() + HELD_BACK_SECONDS)
    bench.clock.pass_(HELD_BACK_SECONDS)
    bench.table.expire()
    value = flight.future.result(0)
    assert value is not None
    assert bench.shown == {"a@production": 1, "b@production": 2}


def test_nothing_else_waits_for_pushes(bench: Bench) -> None:
    early = bench.board("b@production")
    assert not bench.table.hold_back("b@production", early, bench.version("b", 2), at(11))
    bench.follow(a=1)
    assert not bench.table.hold_back("b@production", early, bench.version("b", 2), at(10))
    number = bench.board("b/2")
    assert not bench.table.hold_back("b/2", number, bench.version("b", 2), at(11))
    known = bench.table.board("a@production", checks.reference("a@production"), anew=True)[0]
    assert not bench.table.hold_back("a@production", known, bench.version("a", 2), at(11))
    bench.clock.pass_(LEASE)
    assert not bench.table.hold_back("b@production", early, bench.version("b", 2), at(11))


def test_closing_lets_go_of_who_waits_for_pushes(bench: Bench) -> None:
    bench.follow(a=1)
    flight = bench.board("b@production")
    assert bench.table.hold_back("b@production", flight, bench.version("b", 2), at(11))
    bench.table.close()
    assert flight.future.cancelled()


def test_a_closed_table_shows_nothing_more(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.close()
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(11))
    assert bench.shown == {}


def test_two_references_are_never_seen_in_a_mixed_state(bench: Bench) -> None:
    """A release moves both in one update: who sees the first one new must not see the second one old."""
    bench.follow(a=1, b=1)
    ended = threading.Event()
    mixed: list[tuple[int, int]] = []

    def read() -> None:
        while not ended.is_set():
            first = bench.table.entries["a@production"].version
            second = bench.table.entries["b@production"].version
            if second < first:
                mixed.append((first, second))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2, 3000):
        states = [bench.state(name, {"production": number}, number) for name in ("a", "b")]
        bench.table.apply(states, at(10 + number))
    ended.set()
    reader.join()
    assert not mixed


def recalled(
    bench: Bench, key: str, number: int, age: float = 3.0, as_of: int = 5, seen: Revision | None = None
) -> bool:
    reference = checks.reference(key)
    value = decoding.prompt_version(version_message(reference.name, number))
    return bench.table.recall(key, reference, value, age, at(as_of), seen)


def test_what_an_earlier_process_knew_is_asked_for_and_fallen_back_on_as_stale(bench: Bench) -> None:
    assert recalled(bench, "a@production", 1)
    assert bench.shown == {}
    assert bench.table.find("a@production") is None, "the service comes first"
    assert bench.table.recalled("a@production") is not None
    known = bench.table.fall_back("a@production")
    assert known is not None
    assert known.stale
    assert known.age == pytest.approx(3.0)
    assert bench.shown == {}
    assert recalled(bench, "b@production", 1)
    assert bench.table.find("b@production") is not None, "the service did not answer a moment ago"


def test_once_the_service_answers_what_it_has_not_confirmed_is_asked_for_again(bench: Bench) -> None:
    for key in ("a@production", "b@production"):
        recalled(bench, key, 1)
    bench.table.fall_back("a@production")
    bench.table.greet(100, 1)
    bench.table.apply([bench.state("a", {"production": 2}, 2)], at(1, "other"))
    assert bench.table.find("b@production") is None
    bench.table.bookmark(at(1, "other"), bench.clock(), 1)
    assert bench.shown == {"a@production": 2}


def test_what_an_earlier_process_knew_does_not_count_against_what_this_one_has_seen(bench: Bench) -> None:
    bench.follow(a=1)
    bench.table.apply([bench.state("a", {"production": 2}, 2, etag=11)], at(11))
    assert not recalled(bench, "a@production", 1), "it is known"
    assert not recalled(bench, "a@beta", 1, as_of=10)
    assert recalled(bench, "a@beta", 1, as_of=11)
    assert not recalled(bench, "b", 1, as_of=10, seen=at(11))
    assert not recalled(bench, "b", 1, as_of=10, seen=at(2, "other"))


def test_what_an_earlier_process_knew_reaches_no_revision(bench: Bench) -> None:
    bench.follow(a=1)
    recalled(bench, "b", 1, as_of=10)
    assert not bench.table.reaches("b", at(1))


def test_what_an_earlier_process_knew_is_not_told_as_known(bench: Bench) -> None:
    bench.follow(a=1)
    recalled(bench, "b", 1)
    exported = bench.table.export()
    assert exported is not None
    assert [(one.name, one.selectors, [body.version for body in one.bodies]) for one in exported.prompts] == [
        ("a", ["production"], [1])
    ]


def test_a_write_takes_away_what_an_earlier_process_knew(bench: Bench) -> None:
    recalled(bench, "a@production", 1)
    bench.table.wrote(["a"], at(12))
    assert bench.table.fall_back("a@production") is None
