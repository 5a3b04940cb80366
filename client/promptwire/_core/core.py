"""What every face of the client stands on: the live table, the watch, the connection, and how they work together."""

import copy
import functools
import logging
import math
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError as FlightCancelled
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from promptwire._core import checks
from promptwire._core.backoff import Backoff
from promptwire._core.connection import Connection, closed_error
from promptwire._core.exposures import Exposures
from promptwire._core.feed import Feed
from promptwire._core.flight import Flight
from promptwire._core.lease import Clock, Lease
from promptwire._core.live import LiveTable
from promptwire._core.observations import Observations, Observed
from promptwire._core.operations import Operation, Operations
from promptwire._core.rpc_errors import revision_of
from promptwire._core.split_alias import Meaning, SplitAlias
from promptwire._core.steps import Arrival, Steps
from promptwire._core.stream import Stream
from promptwire._core.wanted import ANY, Wanted
from promptwire._core.watch import Signal, Watch
from promptwire.champions import Champion, choose, no_observations
from promptwire.domain import limits
from promptwire.domain.references import Reference
from promptwire.errors import NotFoundError, PromptwireError, StaleError, UnavailableError, VersionNotFoundError
from promptwire.handle import Handle
from promptwire.options import Options
from promptwire.prompt_version import PromptVersion
from promptwire.status import ClientStatus
from promptwire.v1 import common_pb2
from promptwire.values import AgentsReport, AliasChange, Move, Prompt, Revision

if TYPE_CHECKING:
    from promptwire._core.last_known import LastKnown

_log = logging.getLogger("promptwire")

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")

Outcome = tuple[Meaning | PromptwireError, Revision | None]
"""What became of a reference: the version or why there is none, and the revision that this is of, if that was told."""

_PICKS = 3
"""How often a split is looked up when the version that it led to is gone by then."""
_ONE_REVISION_TRIES = 3
"""How often a batch that takes several calls is asked for."""
_JOIN_SECONDS = 5.0
_READ_SECONDS = 2.0
"""How long a load waits for a disk that does not answer, when it wants to know what an earlier process knew."""
_HURRY_SECONDS = 0.5
"""How long a load waits for a service that does not answer, if an earlier process knew what it asks for."""


class Core:
    """One client's machinery. Threads and channel begin when they are first needed, in each process anew."""

    def __init__(self, options: Options, clock: Clock = time.monotonic) -> None:
        self.options = options
        self.operations = Operations(options)
        self.live = LiveTable(options.lease_seconds, clock, strict=options.strict_lease)
        self.connection = Connection(options, clock)
        self._clock = clock
        self._serves_any_age = options.on_stale == "serve" and options.max_staleness_seconds is None
        self._watch = Watch(self.live, lambda deliver: Stream(self.connection, deliver), options, clock)
        self._last_known = _last_known(self.live, options, clock)
        self._exposures = Exposures(options.on_exposure)
        self.observations = Observations(options, self.connection, clock)
        _cores.add(self)

    def call(self, operation: Operation[Request, Response, Result], longer_seconds: float = 0.0) -> Steps[Result]:
        """`longer_seconds` is how much longer than others it may take."""
        return (yield from self._ask(operation, self.options.timeout_seconds + longer_seconds))[0]

    def change_alias(
        self, name: str, alias: str, operation: Operation[Request, Response, AliasChange], wait_for_agents: object
    ) -> Steps[AliasChange]:
        """Writes, and may then wait until every connected agent has it."""
        wait = checks.wait_seconds(wait_for_agents)
        change = yield from self.call(operation)
        if wait is None:
            return change
        asked = self.operations.convergence(name, alias, change.revision, wait)
        try:
            (found,) = yield from self.call(asked, longer_seconds=wait)
        except UnavailableError:
            return replace(change, agents=AgentsReport(unheard_services=1))  # it is written all the same
        return replace(change, agents=found.agents)

    def _ask(
        self,
        operation: Operation[Request, Response, Result],
        timeout_seconds: float,
        wanted: Wanted = ANY,
        hurried: bool = False,
    ) -> Steps[tuple[Result, Revision]]:
        """The result, and the revision that it is of."""
        if operation.read is not None:
            wanted.put_into(operation.read, self.live.token)
        response, sent_at = yield from self.connection.unary(
            operation.method, operation.request, timeout_seconds, hurried
        )
        self._watch.nudge()
        info = operation.info(response) or common_pb2.ReadInfo()
        revision = Revision(info.revision.epoch, info.revision.number)
        if operation.writes is not None:
            names = operation.writes(response)
            for name in names:
                self._doubt(name, revision)
            self.live.wrote(names, revision)
        elif info.HasField("revision"):
            self.live.observe(revision)
        # It was checked at most max_age before the service answered, and so at most that long before it was asked.
        confirmed_at = sent_at - info.max_age.ToTimedelta().total_seconds()
        result = operation.decode(response, Lease(self._clock, self.options.lease_seconds, confirmed_at))
        if isinstance(result, PromptVersion | Prompt):
            self._doubt(result.name, revision)
            self.live.saw(result, revision, confirmed_at)
        return result, revision

    def _doubt(self, name: str, revision: Revision) -> None:
        if self._last_known is not None:
            self._last_known.doubt(name, revision)

    def at_hand(self, written: object, split_key: str | None) -> PromptVersion | None:
        """What a load that `entries` does not have may return at once, whatever its age; None for the slow way.

        While the registry is gone that is every load; of a split alias it is each one.
        """
        if not self._serves_any_age or type(written) is not str or self.connection.closed:
            return None
        meaning = self.live.find(written)
        if not isinstance(meaning, SplitAlias):
            return meaning
        if split_key is not None and type(split_key) is not str:
            return None
        bucket = meaning.split.bucket(meaning.alias, split_key)
        reference = meaning.reference(meaning.split.version_in(bucket))
        version = self.live.pick(reference, meaning.alias, meaning.split)
        if version is not None:
            self._exposures.tell(written, meaning, bucket, split_key)
        return version

    def load(self, written: object, wanted: Wanted = ANY, split_key: object = None) -> Steps[PromptVersion]:
        """The slow way, for a reference that `entries` does not have, or when that is not good enough."""
        return (yield from self.load_all([written], wanted, split_key))[0]

    def load_all(
        self, written: Iterable[object], wanted: Wanted = ANY, split_key: object = None, exposes: bool = True
    ) -> Steps[list[PromptVersion]]:
        """What the references mean, in their order; those that have to be asked for take one round trip, and one more
        the versions of split aliases. `exposes`: somebody is going to see them, which the application is told.
        """
        key = None if split_key is None else checks.text(split_key, "key")
        references = [checks.key(one) for one in written]
        for attempt in range(_PICKS):
            meanings = yield from self._meanings(references, wanted)
            splits = [one for one in meanings if isinstance(one, SplitAlias)]
            if not splits:
                break
            last = attempt == _PICKS - 1
            try:
                picked = yield from self._pick(references, meanings, wanted, key, exposes, torn=last)
            except VersionNotFoundError:
                # It was deleted between the two reads, and the alias does not lead to it any more.
                if last:
                    raise
                continue
            if picked is not None:
                return picked
        return [one for one in meanings if isinstance(one, PromptVersion)]

    def _pick(
        self,
        references: Sequence[str],
        meanings: Sequence[Meaning],
        wanted: Wanted,
        key: str | None,
        exposes: bool,
        torn: bool,
    ) -> Steps[list[PromptVersion] | None]:
        """Loads, for each split alias, the version of the key's bucket by its number.

        None where the version, which was read later, is one that the alias leads to no more, unless `torn` takes that:
        what the alias means is to be asked again.
        """
        buckets = {
            index: one.split.bucket(one.alias, key) for index, one in enumerate(meanings) if isinstance(one, SplitAlias)
        }
        chosen = [
            one.reference(one.split.version_in(buckets[index])) if isinstance(one, SplitAlias) else references[index]
            for index, one in enumerate(meanings)
        ]
        loaded = yield from self._meanings([chosen[index] for index in buckets], wanted)
        versions = dict(enumerate(meanings))
        if not torn and any(_is_torn(meanings[index], one) for index, one in zip(buckets, loaded, strict=True)):
            return None
        for (index, bucket), version in zip(buckets.items(), loaded, strict=True):
            split = meanings[index]
            assert isinstance(split, SplitAlias)
            assert isinstance(version, PromptVersion)
            if exposes:
                self._exposures.tell(references[index], split, bucket, key)
            versions[index] = self.live.pick(chosen[index], split.alias, split.split, version) or replace(
                version, alias=split.alias, split=split.split
            )
        return [one for one in versions.values() if isinstance(one, PromptVersion)]

    def _meanings(self, written: Iterable[object], wanted: Wanted) -> Steps[list[Meaning]]:
        if self.connection.closed:
            raise closed_error()
        keys = [checks.key(one) for one in written]
        found = {key: value for key in keys if (value := self._known(key, wanted)) is not None}
        if missing := [key for key in dict.fromkeys(keys) if key not in found]:
            references = {key: checks.reference(key) for key in missing}
            if self._last_known is not None and not wanted.strong:
                yield from self._recall(self._last_known, references)
                known = {key: value for key in missing if (value := self._known(key, wanted)) is not None}
                found |= known
                references = {key: reference for key, reference in references.items() if key not in known}
            fetch = self._read_strongly if wanted.strong else self._fetch
            found |= yield from fetch(references, wanted)
        return [found[key] for key in keys]

    def _recall(self, last_known: "LastKnown", references: Mapping[str, Reference]) -> Steps[None]:
        """Puts what an earlier process knew of these into the table."""
        last_known.start()
        try:
            yield Arrival(last_known.entries, _READ_SECONDS)
        except TimeoutError:
            return
        for keys in _batches(list(references)):
            for key in keys:
                last_known.recall(key, references[key])
            yield self.connection.pause(0)  # others may want the event loop

    def load_config(self, source: str, references: Mapping[str, str]) -> Steps[None]:
        """Loads all in one round trip; what fails is told with its key."""
        try:
            yield from self.load_all([checks.key(one) for one in references.values()])
        except NotFoundError:
            # What was answered, also that there is nothing, is in the table: this asks nobody.
            for key, one in references.items():
                try:
                    yield from self.load(one)
                except NotFoundError as error:
                    told = copy.copy(error)  # the table has this one
                    told.args = (f"{source}: prompts.{key}: {error}",)
                    raise told from error
            raise

    def keep_up(self, handle: Handle) -> Steps[None]:
        """Has pushes keep a handle up to date from now on."""
        while not self.live.attach(handle.reference, handle):
            yield from self._meanings([handle.reference], ANY)
        _resume_in_children()

    def wait_for_ready(self, written: Iterable[object], timeout: float | None) -> Steps[None]:
        """Returns once the watch vouches for all of these references."""
        timeout_seconds = self.options.timeout_seconds if timeout is None else checks.seconds(timeout, "timeout")
        keys = [checks.key(one) for one in written]
        deadline = self._clock() + timeout_seconds
        for meaning in (yield from self._meanings(keys, ANY)):
            if isinstance(meaning, SplitAlias):
                keys += meaning.references()
        yield from self._meanings(keys, ANY)
        self._watch.start()
        ready = self.live.when_ready(keys)
        try:
            yield Arrival(ready, max(0.0, deadline - self._clock()))
        except TimeoutError as error:
            late = ", ".join(self.live.not_ready(keys)[:10]) or "that it is there"
            why = self._watch.last_error or "the watch has just begun"
            raise UnavailableError(
                f"{self.options.target} did not confirm {late} within {timeout_seconds:g} s: {why}", "NOT_READY"
            ) from error
        except FlightCancelled as error:
            raise closed_error() from error

    def _known(self, key: str, wanted: Wanted) -> Meaning | None:
        """What the table knows, if that will do. Raises what it knows to be missing."""
        if wanted.strong:
            return None
        value = self.live.find(key)
        if value is None and wanted is ANY and (missing := self.live.known_missing(key)):
            raise missing
        return self._vouched(value, wanted) if value is not None and self._will_do(key, value, wanted) else None

    def _will_do(self, key: str, value: Meaning, wanted: Wanted) -> bool:
        if wanted.min_revision is not None and not self.live.reaches(key, wanted.min_revision):
            return False
        return wanted.max_staleness_seconds is None or value.age <= wanted.max_staleness_seconds

    def _vouched(self, value: Meaning, wanted: Wanted) -> Meaning:
        """Raises StaleError for what is older than this client, or this call, will have."""
        fails = self.options.on_stale == "fail"
        most = self.options.lease_seconds if fails else self.options.max_staleness_seconds
        bounds = [one for one in (most, wanted.max_staleness_seconds) if one is not None]
        if bounds and (value.age > min(bounds) or (fails and value.stale)):
            late = f"which is over {min(bounds):g} s" if value.age > min(bounds) else "and not by this process"
            raise StaleError(
                f"{value.uri} was last confirmed {value.age:.1f} s ago, {late}",
                "STALE",
                {"name": value.name, "version": str(value.version)},
            )
        return value

    def _read_strongly(self, references: Mapping[str, Reference], wanted: Wanted) -> Steps[dict[str, Meaning]]:
        """For this call alone: an answer that somebody asked for earlier could lack a write acknowledged since."""
        found: dict[str, Meaning] = {}
        deadline = self._clock() + self.options.timeout_seconds
        for keys in _batches(list(references)):
            asked_at = self._clock()
            for key, outcome in zip(keys, (yield from self._resolve(keys, deadline, wanted)), strict=True):
                version, revision = outcome
                if isinstance(version, PromptwireError):
                    raise version
                if revision is not None and isinstance(version, PromptVersion):
                    self.live.saw(version, revision, asked_at)
                found[key] = version
        return found

    def _fetch(self, references: Mapping[str, Reference], wanted: Wanted) -> Steps[dict[str, Meaning]]:
        """Asks for each reference once, however many threads and tasks want it at the same time."""
        hurried = wanted is ANY and all(map(self._can_fall_back, references))
        timeout_seconds = self.options.timeout_seconds
        deadline = self._clock() + (min(timeout_seconds, _HURRY_SECONDS) if hurried else timeout_seconds)
        found: dict[str, Meaning] = {}
        backoff = Backoff(0.01, 0.5)
        while missing := [key for key in references if key not in found]:
            boarded = {key: self.live.board(key, references[key], anew=wanted is not ANY) for key in missing}
            mine_now = {key: flight for key, (flight, mine) in boarded.items() if mine}
            yield from self._fly(mine_now, deadline, wanted, hurried)
            for key, (flight, mine) in boarded.items():
                value = yield from self._arrival(key, flight, deadline, wanted, hurried)
                if value is not None and (mine or self._will_do(key, value, wanted)):
                    found[key] = value
            if len(found) < len(references):
                yield self.connection.pause(backoff.next())
        return found

    def _can_fall_back(self, key: str) -> bool:
        """Whether an earlier process knew what this client would rather serve than wait for the service."""
        value = self.live.recalled(key)
        if value is None or self.options.on_stale == "fail":
            return False
        most = self.options.max_staleness_seconds
        return most is None or value.age <= most

    def _fly(self, flights: Mapping[str, Flight], deadline: float, wanted: Wanted, hurried: bool) -> Steps[None]:
        """Asks, takes the answers in, and lets everybody know who waits for one."""
        waiting = dict(flights)
        for flight in flights.values():
            flight.hurried = hurried
        try:
            for keys in _batches(list(flights)):
                outcomes = yield from self._resolve(keys, deadline, wanted, hurried)
                for key, outcome in zip(keys, outcomes, strict=True):
                    self._land(key, waiting.pop(key), outcome)
                self._watch.start()
                self._watch.post(Signal.NEWS)
        except PromptwireError as error:
            for flight in waiting.values():
                self._fail(flight, error)
        finally:
            for flight in waiting.values():
                self.live.abandon(flight)
                flight.future.cancel()  # without effect on what has its outcome; else this thread was interrupted

    def _land(self, key: str, flight: Flight, outcome: Outcome) -> None:
        found, revision = outcome
        if isinstance(found, PromptVersion | SplitAlias) and revision is not None:
            if not self.live.hold_back(key, flight, found, revision):
                flight.future.set_result(self.live.land(key, flight, found, revision))
        elif isinstance(found, NotFoundError) and revision and not self.live.land_missing(key, flight, revision):
            flight.future.set_result(None)
        elif isinstance(found, PromptwireError):
            self._fail(flight, found)

    def _resolve(
        self, keys: Sequence[str], deadline: float, wanted: Wanted, hurried: bool = False
    ) -> Steps[Sequence[Outcome]]:
        timeout_seconds = max(0.001, deadline - self._clock())
        if len(keys) > 1:
            return (yield from self._resolve_all(keys, deadline, wanted, hurried))
        try:
            return [(yield from self._ask(self.operations.resolve(keys[0]), timeout_seconds, wanted, hurried))]
        except NotFoundError as error:
            return [(error, revision_of(error))]

    def _resolve_all(
        self, keys: Sequence[str], deadline: float, wanted: Wanted, hurried: bool
    ) -> Steps[Sequence[Outcome]]:
        """In as many calls as the answers take. If something was written in between, all are asked for once more, which
        brings what has changed: so they are of one revision, unless changes come faster than they can be told.
        """
        held: dict[bytes, PromptVersion] = {}
        for _ in range(_ONE_REVISION_TRIES):
            found: list[Outcome] = []
            while len(found) < len(keys):
                operation = self.operations.batch_resolve(keys[len(found) :], held)
                timeout_seconds = max(0.001, deadline - self._clock())
                outcomes, revision = yield from self._ask(operation, timeout_seconds, wanted, hurried)
                if not outcomes:
                    raise PromptwireError(f"{self.options.target} answered a batch with nothing", "EMPTY_ANSWER")
                found += [(one, revision) for one in outcomes]
            if len({revision for _, revision in found if revision and revision.epoch}) <= 1:
                break
            versions = (one for one, _ in found if isinstance(one, PromptVersion) and one._token)
            held = {version._token: version for version in versions}
        return found

    def _fail(self, flight: Flight, error: PromptwireError) -> None:
        self.live.abandon(flight)
        flight.future.set_exception(error)

    def _arrival(
        self, key: str, flight: Flight, deadline: float, wanted: Wanted, hurried: bool
    ) -> Steps[Meaning | None]:
        """What a flight brought; None to ask again."""
        try:
            value: Meaning | None = yield Arrival(flight.future, max(0.0, deadline - self._clock()))
            if value is None and self._clock() >= deadline:
                raise UnavailableError(f"{self.options.target} kept answering with what is known to be older")
            return value
        except FlightCancelled:  # who asked was interrupted
            return None
        except (TimeoutError, UnavailableError) as error:
            if flight.hurried and not hurried and self._clock() < deadline:
                return None  # another's patience was shorter
            known = self.live.fall_back(key) if wanted is ANY else self.live.held(key)
            if known is not None and (wanted.min_revision is None or self.live.reaches(key, wanted.min_revision)):
                self._watch.start()
                return self._vouched(known, wanted)
            if isinstance(error, UnavailableError):
                raise
            waited = self.options.timeout_seconds
            raise UnavailableError(f"{self.options.target} did not answer within {waited:g} s") from error

    def observe(
        self,
        prompt: object,
        values: object,
        run_id: str | None,
        tags: Mapping[str, str] | None,
        split_key: object,
    ) -> Steps[None]:
        """Takes in what was observed of a version."""
        observed = checks.observed(values, run_id, tags)
        version = prompt if isinstance(prompt, PromptVersion) else (yield from self._referred(prompt, split_key))
        self.observations.add(Observed(version.name, version.version, version.alias, *observed, self._clock()))

    def _referred(self, written: object, split_key: object) -> Steps[PromptVersion]:
        """What a reference means now, most often in the table. A split means no version without a key: one that is
        drawn anew would most likely not be the one that was used.
        """
        reference = checks.text(written, "prompt")
        version = self.live.entries.get(reference)
        if version is not None:
            return version
        if split_key is None:
            (meaning,) = yield from self._meanings([reference], ANY)
            if isinstance(meaning, PromptVersion):
                return meaning
            raise checks.invalid(
                "prompt",
                f"{meaning.uri} is split: log the PromptVersion that was used, or give the key= of its load",
            )
        return (yield from self.load_all([reference], split_key=split_key, exposes=False))[0]

    def choose_champion(
        self,
        name: str,
        metric: str,
        candidates: Iterable[int | str],
        since: object,
        minimize: bool,
        alpha: float,
        min_samples: int,
        min_effect: float,
        apply: bool,
        also: Iterable[str],
        reason: str,
    ) -> Steps[Champion]:
        """Compares, and moves `champion` and the aliases of `also` if there is one and `apply` says so."""
        prompt = yield from self.call(self.operations.get_prompt(name))
        versions = checks.candidates(candidates, prompt.aliases)
        found = yield from self.call(self.operations.query_metrics(name, metric, None, None, since, None, None))
        known = {one.version: one for one in found}
        summaries = [known.get(version) or no_observations(name, version, metric) for version in versions]
        champion = choose(
            name,
            checks.text(metric, "metric"),
            summaries,
            minimize=minimize,
            alpha=checks.share(alpha, "alpha"),
            min_samples=checks.number(min_samples, "min_samples", least=0),
            min_effect=checks.amount(min_effect, "min_effect"),
        )
        if apply and champion.version is not None:
            aliases = [
                alias
                for alias in dict.fromkeys(["champion", *checks.texts(also, "also")])
                if prompt.aliases.get(alias) != champion.version
            ]
            # That an alias is still split as it was read, only the prompt's etag can tell.
            etag = prompt.etag if prompt.splits.keys() & set(aliases) else None
            steps = [
                Move(
                    name=name,
                    alias=alias,
                    version=champion.version,
                    expected_version=None if alias in prompt.splits else prompt.aliases.get(alias, 0),
                )
                for alias in aliases
            ]
            if steps:
                yield from self.call(
                    self.operations.release(f"Champion of {name}", steps, False, reason or champion.why, etag)
                )
        return champion

    def feed(self, after: Revision | None, names: Iterable[str], follow: bool) -> Feed:
        after = checks.revision(after, "after")
        return Feed(self.connection, self.options, self._clock, after, checks.texts(names, "names"), follow)

    def status(self) -> ClientStatus:
        live, watch, lease = self.live, self._watch, self.live.lease
        confirmed = math.isfinite(lease.confirmed_at)
        entries, prompts = live.count()
        return ClientStatus(
            target=self.options.target,
            namespace=self.options.namespace,
            client_id=watch.client_id,
            connected=watch.connected,
            fresh=not lease.stale,
            age_seconds=lease.age if confirmed else None,
            fresh_until=time.time() + lease.until - self._clock() if confirmed else None,
            revision=live.position,
            entries=entries,
            prompts=prompts,
            reconnects=max(0, watch.opened - 1),
            metrics_waiting=self.observations.waiting,
            metrics_dropped=self.observations.dropped,
            last_error=watch.last_error,
        )

    def close(self) -> None:
        """Idempotent; from any thread."""
        self.observations.stop(_JOIN_SECONDS)
        self.connection.refuse()
        self.live.close()
        self._watch.stop(_JOIN_SECONDS)
        if self._last_known is not None:
            self._last_known.stop(_JOIN_SECONDS)
        self.connection.close()

    def forked(self) -> None:
        """In a child process: the parent's threads are not here, and its channel and locks are not to be touched."""
        self.connection.forked()
        self.observations.forked()
        self._watch.forked(uuid.uuid4().hex)
        self.live.forked()
        if self._last_known is not None:
            self._last_known.forked()

    def resume(self) -> None:
        """In a child process, later: handles never call, so nothing else would begin to keep them up to date."""
        if self.live.has_handles() and not self.connection.closed:
            self._watch.start()


def _last_known(live: LiveTable, options: Options, clock: Clock) -> "LastKnown | None":
    if options.snapshot_dir is None:
        return None
    try:
        from promptwire._core.last_known import LastKnown
    except ImportError:  # of fcntl, elsewhere than on POSIX systems
        _log.warning("snapshot_dir is not used: this system has no flock")
        return None
    last_known = LastKnown(live, options, clock)
    live.on_change = last_known.changed
    return last_known


def _is_torn(split: Meaning, version: Meaning) -> bool:
    """Whether a version was read when the alias did not lead to it any more."""
    return isinstance(split, SplitAlias) and isinstance(version, PromptVersion) and split.alias not in version.aliases


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + limits.BATCH_MAX] for start in range(0, len(keys), limits.BATCH_MAX))


_cores: "weakref.WeakSet[Core]" = weakref.WeakSet()


def _in_children(run: Callable[[Core], None]) -> None:
    def run_all() -> None:
        for core in list(_cores):
            run(core)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=run_all)


@functools.cache
def _resume_in_children() -> None:
    # Hooks run in the order of their registration. grpc registers its own with the first channel, and cancels
    # whatever was begun in the child before that one ran.
    _in_children(Core.resume)


_in_children(Core.forked)
