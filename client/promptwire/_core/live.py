"""The live table: what every reference that this process uses means now, ready to hand out.

`entries` is all that a hit touches. Everything else here decides what may stand in it:

- What is pushed counts for a prompt from its floor on: the newest revision at which this client has seen or written it.
  A write takes the prompt's entries away, so that the next load asks for that revision or a newer one.
- Every item rests on a lease: the watch's shared one, which bookmarks renew, or, from Resolve's answer until the watch
  covers it, its own. Past its lease an item is not in `entries`: loads take the slow way and learn that it is stale.
- What does not exist is followed too, up to a number: loads learn from the table that it is missing, and once it is
  pushed, it is there.
- A replacing update (first, after a gap, after Resync) swaps everything at once; until then the old entries serve.
"""

import logging
import math
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, MutableMapping, Sequence
from concurrent.futures import Future

from promptwire._core import checks
from promptwire._core.entries import LeasedEntries
from promptwire._core.exported import Exported, exported
from promptwire._core.flight import Flight
from promptwire._core.followed import Followed, Item, PushedState
from promptwire._core.held_back import HELD_BACK_SECONDS, Held, HeldBack
from promptwire._core.lease import Clock, Lease
from promptwire._core.own_leases import OwnLeases
from promptwire._core.readiness import Readiness
from promptwire._core.split_alias import Meaning, SplitAlias
from promptwire._core.subscriptions import Subscriptions, Told
from promptwire.domain.references import Reference
from promptwire.domain.splits import Split
from promptwire.errors import NotFoundError
from promptwire.handle import Handle
from promptwire.prompt_version import PromptVersion
from promptwire.values import Prompt, Revision

_log = logging.getLogger("promptwire")

ABSENT_MAX = 1_000
"""How many references that mean nothing are followed."""


class LiveTable:
    """Maps references, as the user wrote them, to immutable versions."""

    def __init__(self, lease_seconds: float, clock: Clock, strict: bool = False) -> None:
        """`strict`: what is past its lease is not in `entries` from that moment on, whoever gets the processor."""
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._strict = strict
        self._closed = False
        self.token: Revision | None = None
        """The newest revision that this client has seen; reads ask for at least that."""
        self._prompts: dict[str, Followed] = {}
        self._items: dict[str, Item] = {}
        """By reference, as written."""
        self._absent: dict[Item, None] = {}
        """What was found not to exist, the latest last; some of it may have come to exist since."""
        self.on_change: Callable[[], None] = lambda: None
        """Called, under the lock, when `export` would tell something else."""
        self._begin()

    def _begin(self) -> None:
        """As it is before there was a stream in this process."""
        # Guards all of this and the items. Reentrant: a finalizer may close the client in the middle of anything.
        self._lock = threading.RLock()
        self.entries = self._no_entries()
        """What hits read, without the lock. Exchanged for an empty one when the shared lease runs out."""
        self.position: Revision | None = None
        """Up to where pushes have told everything."""
        self._position_at = -math.inf
        """When that was learned, by the clock."""
        self.replacing = True
        """Whether the next update replaces all that was pushed. The watch's thread alone writes it."""
        self.lease = Lease(self._clock, self._lease_seconds, -math.inf)
        """Of all that the watch keeps right."""
        self._aside = True
        """Whether the items on the shared lease are out of `entries`."""
        self._own = OwnLeases()
        self._warned = False
        """Whether the log was told that something is past its lease."""
        self._token_at = -math.inf
        self._flights: dict[Reference, Flight] = {}
        self._subscriptions = Subscriptions()
        self._waiting: set[Followed] = set()
        """Prompts to settle once the stream has reached their floor."""
        self._readiness = Readiness()
        self._held_back = HeldBack()
        self._recalled: dict[Item, Lease] = {}
        """What an earlier process knew, with the lease that it has until this one confirms it."""
        self.unanswered = False
        """Whether the last call that had something to fall back on was not answered: the next ones need not wait."""

    def _no_entries(self) -> MutableMapping[str, PromptVersion]:
        return LeasedEntries() if self._strict else {}

    # Loading.

    def find(self, key: str) -> Meaning | None:
        """The last known good, stale or not; None if the service has to be asked."""
        with self._lock:
            item = self._items.get(key)
            return None if item is None or item.asks else item.value

    def pick(self, key: str, alias: str, split: Split, version: PromptVersion | None = None) -> PromptVersion | None:
        """What is known of a version by its number, as a load by a split alias has it.

        None if the service has to be asked; with a `version`, if that is not what is known.
        """
        with self._lock:
            item = self._items.get(key)
            if item is None or (item.asks if version is None else item.value is not version):
                return None
            return item.pick(alias, split)

    def fall_back(self, key: str) -> Meaning | None:
        """The last known good, if the service was asked and did not answer; the other items need not ask either."""
        with self._lock:
            if not self.unanswered:
                self.unanswered = True
                for item in self._items.values():
                    item.asks = False
                if self._recalled and not self._warned:
                    self._warned = True
                    _log.warning("the registry does not answer: loads bring what an earlier process knew, as stale")
            return self.held(key)

    def held(self, key: str) -> Meaning | None:
        """The last known good, whether or not the service has to be asked first."""
        with self._lock:
            item = self._items.get(key)
            return item.value if item else None

    def recalled(self, key: str) -> Meaning | None:
        """What an earlier process knew of a reference, if that is all that there is to fall back on."""
        with self._lock:
            item = self._items.get(key)
            return item.value if item is not None and self._is_recalled(item) else None

    def _is_recalled(self, item: Item) -> bool:
        return self._recalled.get(item) is item.lease

    def lacks(self, reference: Reference) -> bool:
        """Whether nothing was ever loaded by this reference."""
        with self._lock:
            followed = self._prompts.get(reference.name)
            return followed is None or reference.selector not in followed.items

    def recall(
        self, key: str, reference: Reference, value: Meaning, age: float, as_of: Revision, seen: Revision | None
    ) -> bool:
        """Takes in what an earlier process knew as of a revision, to fall back on; whether that may count.

        It does not if this process has seen anything newer of the prompt.
        """
        with self._lock:
            followed = self._prompts.get(reference.name)
            if followed is not None and followed.pushed and followed.floor is None and self.position is not None:
                etag = followed.record.etag if followed.record else self.position.number
                seen = Revision(self.position.epoch, etag)
            elif followed is not None and followed.floor is not None:
                seen = followed.floor
            if not self.lacks(reference) or (seen is not None and not as_of.reaches(seen)):
                return False
            # Of no length: it is stale from the start, however young.
            lease = Lease(self._clock, 0.0, self._clock() - age)
            item = self._follow(reference, lease)
            item.take(value)
            item.asks = not self.unanswered
            self._recalled[item] = lease
            self._own.put(item, lease)
            self._spell(item, key)
            return True

    def _answered(self) -> None:
        """The service has: what it has not confirmed must be asked for again."""
        self.unanswered = False
        self._recalled = {item: lease for item, lease in self._recalled.items() if item.lease is lease}
        for item in self._recalled:
            item.asks = True

    def known_missing(self, key: str) -> NotFoundError | None:
        """Why a reference means nothing, if the watch vouches for that; None if the service has to be asked."""
        with self._lock:
            item = self._items.get(key)
            if item is None or item.value is not None or self.lease.stale:
                return None
            if not item.prompt.pushed or not item.prompt.believes(self.position):
                return None
            return item.prompt.missing(item.selector)

    def reaches(self, key: str, revision: Revision) -> bool:
        """Whether what is known of a reference is surely as new as a revision, or newer."""
        with self._lock:
            item = self._items.get(key)
            if item is None or self._is_recalled(item):
                return False
            at = item.prompt.floor or self.position
            return at is not None and at.reaches(revision)

    def board(self, key: str, reference: Reference, anew: bool = False) -> tuple[Flight, bool]:
        """The flight that will bring the answer, and whether the caller has to fly it.

        `anew`: what is known will not do.
        """
        with self._lock:
            flight = self._flights.get(reference)
            if flight is not None:
                return flight, False
            flight = Flight(reference, self._clock())
            followed = self._prompts.get(reference.name)
            item = followed.items.get(reference.selector) if followed else None
            if item is not None and item.value is not None and not item.asks and not anew:
                self._spell(item, key)  # known already, by another spelling
                flight.future.set_result(item.value)
                return flight, False
            if item is None and followed is not None and not anew and (value := self._pushed(followed, reference)):
                item = self._follow(reference, self.lease)
                item.take(value, followed.bodies[value.version].value)
                self._spell(item, key)
                flight.future.set_result(value)
                return flight, False
            self._flights[reference] = flight
            return flight, True

    def _pushed(self, followed: Followed, reference: Reference) -> PromptVersion | None:
        """A version by its number, if the stream speaks of it already because an alias leads to it."""
        if self.position is None or self.lease.stale or not isinstance(reference.selector, int):
            return None
        return followed.vouched_version(reference.selector, self.position.epoch)

    def land(self, key: str, flight: Flight, value: Meaning, revision: Revision) -> Meaning | None:
        """Takes in what Resolve answered at a revision. None if this client knows better: ask again."""
        with self._lock:
            self.abandon(flight)
            self.observe(revision)
            followed = self._prompts.get(flight.reference.name)
            lease = value._lease or self.lease.copy()
            if flight.fence is not None and not revision.reaches(flight.fence):
                return None
            if followed is not None and followed.overtakes(
                revision, lease.confirmed_at, self.position, self._position_at
            ):
                return None
            item = self._follow(flight.reference, lease)
            if item.value != value:
                item.take(value, value)
            item.asks = False
            self._own.put(item, lease)
            if isinstance(value, PromptVersion):
                item.prompt.borrow(value, revision)
            self._saw_at(item.prompt, revision)
            self._spell(item, key)
            return item.value

    def hold_back(self, key: str, flight: Flight, value: Meaning, revision: Revision) -> bool:
        """Whether an answer waits for pushes to reach its revision; its flight is landed then, or soon in any case.

        Only the first load of an alias does, while there are pushes: the stream will tell of it anyway.
        """
        with self._lock:
            if self.position is None or self.replacing or self.lease.stale or self._closed:
                return False  # there are no pushes to wait for
            if not self.position.is_behind(revision):
                return False
            if isinstance(flight.reference.selector, int) or not self.lacks(flight.reference):
                return False
            self._follow(flight.reference, self.lease)
            self._held_back.add(Held(key, flight, value, revision, self._clock() + HELD_BACK_SECONDS))
            return True

    def _land_held(self) -> None:
        for one in self._held_back.due(self.position, self._clock()):
            one.flight.future.set_result(self.land(one.key, one.flight, one.value, one.revision))

    def land_missing(self, key: str, flight: Flight, revision: Revision) -> bool:
        """Takes in that there was nothing at a revision. False if this client knows better: ask again."""
        with self._lock:
            self.observe(revision)
            if flight.fence is not None and not revision.reaches(flight.fence):
                return False
            followed = self._prompts.get(flight.reference.name)
            if followed and followed.overtakes(revision, flight.asked_at, self.position, self._position_at):
                return False
            item = self._follow(flight.reference, self.lease)
            item.take(None)
            self._saw_at(item.prompt, revision)
            self._spell(item, key)
            self._absent.pop(item, None)
            self._absent[item] = None
            if len(self._absent) > ABSENT_MAX:
                self._let_go(next(iter(self._absent)))
            return True

    def _follow(self, reference: Reference, lease: Lease) -> Item:
        followed = self._prompts.get(reference.name)
        if followed is None:
            followed = self._prompts[reference.name] = Followed(reference.name)
        item = followed.items.get(reference.selector)
        if item is None:
            item = followed.items[reference.selector] = Item(followed, reference.selector, lease)
            self._subscriptions.add(item)
        return item

    def _let_go(self, item: Item) -> None:
        """Of what was missing longest, if it still is: a program that makes up names must not follow them all."""
        del self._absent[item]
        if item.value is not None or item.handles:
            return
        for reference in item.references:
            del self._items[reference]
        del item.prompt.items[item.selector]
        self._recalled.pop(item, None)
        self._subscriptions.drop(item)
        if not item.prompt.items:
            del self._prompts[item.prompt.name]
            self._waiting.discard(item.prompt)

    def _saw_at(self, followed: Followed, revision: Revision) -> None:
        """An answer about a prompt is of this revision, which pushes may not have reached."""
        if self.position is None or not self.position.reaches(revision):
            self._await_revision(followed, revision, self._clock())

    def abandon(self, flight: Flight) -> None:
        with self._lock:
            if self._flights.get(flight.reference) is flight:
                del self._flights[flight.reference]

    def attach(self, key: str, handle: Handle) -> bool:
        """Keeps a handle up to date from now on; False if the reference has to be loaded first."""
        with self._lock:
            item = self._items.get(key)
            if item is None or item.value is None or item.asks:
                return False
            if isinstance(item.value, SplitAlias):
                raise checks.invalid(
                    "reference", f"{item.value.uri} is split: a handle has one version; load it with key=, each time"
                )
            item.handles = [*(one for one in item.handles if one() is not None), weakref.ref(handle)]
            handle.current = item.value
            return True

    def _spell(self, item: Item, key: str) -> None:
        if key not in self._items:
            self._items[key] = item
            item.references.append(key)
        self._show([item])

    # Seeing and writing.

    def observe(self, revision: Revision) -> None:
        with self._lock:
            if self.unanswered:
                self._answered()
            if self.token is None or not revision.is_behind(self.token):
                self.token, self._token_at = revision, self._clock()

    def saw(self, answer: PromptVersion | Prompt, revision: Revision, asked_at: float) -> None:
        """Reads never go back: what an answer shows to be out of date no longer counts."""
        with self._lock:
            self._fence(answer.name, revision)
            followed = self._prompts.get(answer.name)
            if followed is None:
                return
            if followed.pushed and not followed.floor and self.position and self.position.reaches(revision):
                return  # pushes have told as much
            items = followed.items.values()
            outdated = [item for item in items if item.differs_from(answer)]
            doubtful = outdated or any(item.value is None for item in items)
            if doubtful and not followed.overtakes(revision, asked_at, self.position, self._position_at):
                self._await_revision(followed, revision, self._clock())
                self._forget(outdated)

    def wrote(self, names: Collection[str], revision: Revision) -> None:
        """Read your writes: what is older than this write of these prompts no longer counts.

        They go out of `entries` under one lock, which a load that misses takes too: nobody who has the new state of
        one of them gets the old one of another.
        """
        with self._lock:
            self.observe(revision)
            outdated: list[Item] = []
            for name in names:
                for flight in self._fence(name, revision):
                    self.abandon(flight)  # who asks from now on asks anew
                followed = self._prompts.get(name)
                if followed is None:
                    continue
                self._await_revision(followed, revision, self._clock())
                if not followed.pushed or not followed.believes(self.position):  # else the push was faster
                    outdated += followed.items.values()
            self._forget(outdated)

    def _fence(self, name: str, revision: Revision) -> list[Flight]:
        """What is asked about a prompt now must not bring what is older; these questions."""
        flights = [flight for reference, flight in self._flights.items() if reference.name == name]
        for flight in flights:
            if flight.fence is None or not revision.is_behind(flight.fence):
                flight.fence = revision
        return flights

    def _forget(self, items: Iterable[Item]) -> None:
        for item in items:
            item.take(None)
        self._show(items)

    def _await_revision(self, followed: Followed, revision: Revision, seen_at: float) -> None:
        followed.raise_floor(revision, seen_at)
        self._waiting.add(followed)

    # Following: for the watch's thread alone.

    def greet(self, most: int, next_nonce: int) -> tuple[Revision | None, Told]:
        """For a new stream: where to resume, if at all, and what to follow from the start."""
        with self._lock:
            resume = None if self.replacing else self.position
            return resume, self._subscriptions.begin(self._prompts.values(), resume is not None, most, next_nonce)

    def dropped(self) -> list[str]:
        """Prompts that the stream need not follow any more."""
        with self._lock:
            return self._subscriptions.take_dropped()

    def untold(self, most: int, next_nonce: int) -> Told:
        """What the stream has to follow too."""
        with self._lock:
            return self._subscriptions.take(most, next_nonce)

    def lacking(self, states: Iterable[PushedState]) -> str | None:
        """The name of a prompt whose state relies on a body that is not here."""
        with self._lock:
            followed = ((state, self._prompts.get(state.name)) for state in states)
            return next((state.name for state, one in followed if one is not None and one.lacks(state)), None)

    def apply(self, states: Iterable[PushedState], revision: Revision) -> None:
        """An update, whole: afterwards the table is at its revision."""
        with self._lock:
            before, self.position = self.position, revision
            self.observe(revision)
            if self.replacing:
                self._start_over(before, revision)
            self._position_at = self._clock()
            for state in states:
                followed = self._prompts.get(state.name)
                if followed is not None:
                    followed.learn(state, revision)
                    self._waiting.add(followed)
            changed = self._settle()
            if self.replacing:
                changed += self._drop_unmentioned(before, revision)
                self.replacing = False
            self._show(changed)
            self._land_held()
            self.on_change()

    def bookmark(self, revision: Revision, sent_at: float, nonce: int) -> None:
        """As of a check made after the Renew with this nonce was sent, all up to this revision has been told."""
        with self._lock:
            self.position, self._position_at = revision, self._clock()
            self.observe(revision)
            self.lease.confirmed_at = max(self.lease.confirmed_at, sent_at)
            # What was seen before that check and is not part of what it found is not the store's any more.
            if self._token_at < sent_at:
                self.token = revision
            for followed in self._waiting:
                if followed.floor_at < sent_at:
                    followed.floor = None
            self._subscriptions.acknowledge(nonce)
            changed = self._settle()
            if changed:
                self.on_change()
            changed += [item for item in self._own if item.prompt.promote(item, self.lease)]
            if self._aside and not self.lease.stale:
                self._aside = False
                changed = [item for followed in self._prompts.values() for item in followed.items.values()]
                if self._warned:
                    self._warned = False
                    _log.warning("the registry confirms prompts again: loads are fresh")
            self._show(changed)
            self._land_held()
            self._readiness.tell(self._are_ready)

    def _start_over(self, before: Revision | None, now_at: Revision) -> None:
        """What was pushed no longer counts; entries stay until what replaces it has been learned."""
        for followed in self._prompts.values():
            followed.unlearn()
            if before is not None and now_at.is_behind(before):
                # Another worker, which is behind: nothing goes back till it catches up, or a bookmark says why not.
                self._await_revision(followed, before, self._position_at)

    def _drop_unmentioned(self, before: Revision | None, now_at: Revision) -> list[Item]:
        """What a replacing update does not mention is gone, unless the stream was not asked for it yet."""
        changed: list[Item] = []
        same_history = before is None or before.epoch == now_at.epoch
        for followed in self._prompts.values():
            if followed.pushed:
                continue
            keeps = not followed.told and (same_history or followed.seen_in(now_at.epoch))
            for item in followed.items.values():
                if not keeps:
                    item.take(None)
                elif item.lease is self.lease:
                    self._own.put(item, self.lease.copy())
                changed.append(item)
        return changed

    def _settle(self) -> list[Item]:
        """Lets what was pushed count for every prompt whose floor the stream has reached; the items that changed."""
        changed: list[Item] = []
        epoch = self.position.epoch if self.position else ""
        for followed in [one for one in self._waiting if one.believes(self.position)]:
            self._waiting.discard(followed)
            followed.floor = None
            if followed.pushed:
                changed += followed.settle(self.lease, epoch)
        return changed

    # Leaving something behind.

    def export(self) -> Exported | None:
        """What pushes have told and nothing has overtaken; None while an update that replaces it all is awaited."""
        with self._lock:
            if self.replacing or self.position is None:
                return None
            believed = (one for one in self._prompts.values() if one.pushed and one.floor is None)
            return Exported(self.position, [exported(one, self.lease) for one in believed])

    # Being ready.

    def when_ready(self, keys: Sequence[str]) -> Future[None]:
        """Done once the watch vouches for all of these references, cancelled when the client is closed before."""
        with self._lock:
            ready = self._readiness.wait(keys)
            self._readiness.tell(self._are_ready)
            if self._closed:
                ready.cancel()
            return ready

    def not_ready(self, keys: Iterable[str]) -> list[str]:
        with self._lock:
            items = ((key, self._items.get(key)) for key in keys)
            return [key for key, item in items if item is None or item.value is None or item.lease is not self.lease]

    def _are_ready(self, keys: Sequence[str]) -> bool:
        return not self.lease.stale and not self.not_ready(keys)

    # Expiring and showing.

    def expire(self) -> float:
        """Takes out of `entries` what is past its lease; when to look again, by the clock."""
        with self._lock:
            self._land_held()
            lapsed = self._own.lapsed(self._clock())
            moves = not self._aside and self.lease.stale
            if moves:
                self._aside = True
                self.entries = self._no_entries()
                self._show(self._own)
            else:
                self._show(lapsed)
            if (moves or lapsed) and not self._warned:
                self._warned = True
                _log.warning("the registry has not confirmed prompts for %g s: loads are stale", self._lease_seconds)
            return min(math.inf if self._aside else self.lease.until, self._own.next_end, self._held_back.next_end)

    def _show(self, items: Iterable[Item]) -> None:
        """Brings `entries` and handles in line with items. A reader sees all of it, or misses and waits."""
        if self._closed:
            return
        shown: dict[str, PromptVersion] = {}
        gone: list[str] = []
        held: list[tuple[Handle, PromptVersion]] = []
        for item in items:
            value = item.value
            if item.lease is self.lease:
                self._own.drop(item)
            if value is None or item.asks or item.lease.stale or isinstance(value, SplitAlias):
                gone += item.references
            else:
                shown.update(dict.fromkeys(item.references, value))
            if isinstance(value, PromptVersion):
                held += [(handle, value) for one in item.handles if (handle := one()) is not None]
        for key in gone:
            self.entries.pop(key, None)
        # One call in C. Keys are exact str and values have no finalizers, so no Python code runs in the middle of it,
        # and the GIL makes it atomic: nobody who reads two entries finds a new one first and then an old one.
        self.entries.update(shown)
        for handle, value in held:
            handle.current = value

    # The rest of its life.

    def count(self) -> tuple[int, int]:
        """Entries and prompts."""
        with self._lock:
            return len(self.entries), len(self._prompts)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self.entries = self._no_entries()
            self._readiness.cancel()
            for flight in self._held_back.flights():
                flight.future.cancel()

    def has_handles(self) -> bool:
        with self._lock:
            return any(one() is not None for item in self._items.values() for one in item.handles)

    def forked(self) -> None:
        """In a child process: nothing is confirmed and nobody watches, yet."""
        recalled = self._recalled
        self._begin()  # with a lock of its own: the parent's may have been held
        for followed in self._prompts.values():
            followed.unlearn()
            followed.floor = None
            for item in followed.items.values():
                item.asks = True
                lease = item.lease.copy()
                if recalled.get(item) is item.lease:
                    self._recalled[item] = lease
                self._own.put(item, lease)
