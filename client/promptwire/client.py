"""The client for synchronous code."""

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack

from promptwire._core import checks
from promptwire._core.core import Core
from promptwire._core.feed import Feed
from promptwire._core.operations import Operation, Page
from promptwire._core.steps import run
from promptwire._core.wanted import Consistency, Wanted
from promptwire.champions import Champion
from promptwire.config import Config, read_config
from promptwire.diffs import PromptDiff
from promptwire.domain import limits
from promptwire.handle import Handle
from promptwire.options import Given, Options
from promptwire.prompt_version import PromptVersion
from promptwire.status import ClientStatus, ServerStatus
from promptwire.values import (
    AliasChange,
    AliasMove,
    Changes,
    Convergence,
    Deleted,
    Dependent,
    KeptWrite,
    MetricSummary,
    Move,
    Prompt,
    Register,
    Release,
    Revision,
)

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
Item = TypeVar("Item")


class Client:
    """A prompt registry's client. Safe to share between threads and across forks; make one and keep it.

    Forks want GRPC_ENABLE_FORK_SUPPORT=1 in the environment, else grpc itself may crash the child.

    It connects when it first needs to. Every method that calls the service may raise InvalidArgumentError,
    PermissionDeniedError or UnavailableError besides what it names, and never anything of grpc's. A write is retried
    under one request id, so it happens at most once; the same client's reads include it from then on.
    """

    __slots__ = ("__weakref__", "_close", "_core", "_live")

    def __init__(self, target: str | None = None, **options: Unpack[Given]) -> None:
        """`promptwire.options.Options` says what each of these means."""
        self._core = Core(Options.read(target, **options))
        self._live = self._core.live
        # Called once: by close(), when the client is let go of, or at exit.
        self._close = weakref.finalize(self, self._core.close)

    def load_prompt(
        self,
        name_or_uri: str,
        version: int | None = None,
        consistency: Consistency | None = None,
        min_revision: Revision | None = None,
        max_staleness: float | None = None,
        key: str | None = None,
    ) -> PromptVersion:
        """The version that a reference means now.

        A reference is `prompts:/name@alias`, `prompts:/name/3`, `prompts:/name` (the newest), or the same without
        `prompts:/`. With `version`, it is a name alone.

        The first load of a reference asks the service and follows the prompt from then on; later ones are a dictionary
        lookup, and of what does not exist one in the table. What was not confirmed within the lease is `.stale`, or
        raises StaleError if the client was told so.

        Some loads want more. `consistency="strong"` asks the store: the answer holds every write acknowledged before
        the call. `min_revision`, from a write's answer, wants an answer at least that new. `max_staleness`, in seconds,
        wants one that was confirmed no longer ago than that: below `renew_seconds` that often costs a call, and 0 is
        the same as strong. Each raises UnavailableError or StaleError rather than answering with less.

        Of a split alias it is one of its versions: with `key`, e.g. a user's id, always the same; without, any, drawn
        by the weights on each call.

        Raises PromptNotFoundError, VersionNotFoundError, AliasNotFoundError.
        """
        if version is not None:
            name_or_uri = checks.with_version(name_or_uri, version)
        # By position too: CPython calls a function with keyword-only parameters the slow way, 50 ns more for a hit.
        if consistency is None and min_revision is None and max_staleness is None:
            try:
                return self._live.entries[name_or_uri]
            except (KeyError, TypeError):  # TypeError: unhashable, which the slow way refuses by name
                at_hand = self._core.at_hand(name_or_uri, key)
                return at_hand if at_hand is not None else run(self._core.load(name_or_uri, split_key=key))
        wanted = Wanted.read(consistency, min_revision, max_staleness)
        return run(self._core.load(name_or_uri, wanted, key))

    def load_prompts(
        self,
        references: Iterable[str],
        *,
        consistency: Consistency | None = None,
        min_revision: Revision | None = None,
        max_staleness: float | None = None,
        key: str | None = None,
    ) -> list[PromptVersion]:
        """What many references mean, in their order; those that have to be asked for take one round trip together.

        So a program may fetch at its start all that it will need. Raises what load_prompt would for the first reference
        that means nothing; the others are kept.
        """
        wanted = Wanted.read(consistency, min_revision, max_staleness)
        return run(self._core.load_all(checks.texts(references, "references"), wanted, key))

    def wait_for_ready(self, references: Iterable[str] = (), timeout: float | None = None) -> None:
        """Loads these, and returns once pushes keep all of them right; without any, once the watch is confirmed.

        `timeout` in seconds, by default the client's. Raises UnavailableError, which names what was not confirmed in
        time, and what load_prompts does.
        """
        run(self._core.wait_for_ready(checks.texts(references, "references"), timeout))

    def handle(self, reference: str) -> Handle:
        """A handle whose `current` is kept at what the reference means. Raises what load_prompt does."""
        handle = Handle(self, checks.key(reference), self.load_prompt(reference))
        run(self._core.keep_up(handle))
        return handle

    def load_config(self, source: str | PathLike[str] | Mapping[str, object]) -> Config[PromptVersion]:
        """The references of a configuration as live handles.

        It is a YAML or JSON file, or a dict: `{"prompts": {"billing": "prompts:/support_billing@production"}}`.
        All are fetched in one round trip. Raises what load_prompt does, naming the file and the key, and
        PromptwireError with reason `INVALID_FILE`. YAML needs `promptwire[yaml]`.
        """
        name, references = read_config(source)
        run(self._core.load_config(name, references))
        return Config(name, references, {key: self.handle(one) for key, one in references.items()}, self.load_prompt)

    def register_prompt(
        self,
        name: str,
        template: str | Sequence[Mapping[str, Any]],
        commit_message: str | None = None,
        tags: Mapping[str, str] | None = None,
        response_format: Mapping[str, object] | type | None = None,
        model_config: Mapping[str, object] | None = None,
        syntax: str | None = None,
    ) -> PromptVersion:
        """Adds a version to a prompt, making the prompt if it is new. Identical content still makes a new version.

        `template` is text, or a list of messages, {"role": ..., "content": ...}, among which {"type": "placeholder",
        "name": ...} takes a list of messages; with `syntax="jinja2"` its texts are Jinja2. `{{> prompts:/name@alias }}`
        includes another prompt as it is now. docs/templates.md says all of it. Raises InvalidArgumentError with line
        and column of what cannot be read or included.

        `response_format` is a JSON Schema, or a pydantic model class; it and `model_config` are stored as compact JSON
        with sorted keys.
        """
        operation = self._core.operations.register_prompt(
            name, template, commit_message, tags, response_format, model_config, syntax
        )
        return run(self._core.call(operation))

    def set_prompt_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """Points an alias at a version, making the alias if it is new; every connected agent follows in milliseconds.

        With `expected_version`, only if the alias points there now (0: only if there is none), else ConflictError.
        With `wait_for_agents`, returns once all connected agents that follow the alias have it, or after this many
        seconds, 600 at most; `agents` of the result says who has. Raises PromptNotFoundError, VersionNotFoundError.
        """
        operation = self._core.operations.set_alias(name, alias, version, expected_version, reason)
        return run(self._core.change_alias(name, alias, operation, wait_for_agents))

    def set_prompt_alias_split(
        self,
        name: str,
        alias: str,
        weights: Mapping[int, float],
        *,
        salt: str | None = None,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """Points an alias at weighted versions, e.g. {1: 90, 2: 10}: loads with a key always get the same one of them.

        Weights are shares of any sum. Changing them moves as few keys as can be, and none away from a version whose
        share does not shrink. `salt` makes the keys of one split independent of another's; without one the alias keeps
        its own. `set_prompt_alias` ends the split. `expected_version` as there. Raises what it does.
        """
        operation = self._core.operations.set_alias_split(name, alias, weights, salt, expected_version, reason)
        return run(self._core.change_alias(name, alias, operation, wait_for_agents))

    def delete_prompt_alias(
        self,
        name: str,
        alias: str,
        *,
        expected_version: int | None = None,
        allow_missing: bool = False,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """Removes an alias; with `expected_version`, only if it points there now, else ConflictError.

        `wait_for_agents` as for `set_prompt_alias`. Raises PromptNotFoundError, and AliasNotFoundError unless
        `allow_missing`.
        """
        operation = self._core.operations.delete_alias(name, alias, expected_version, allow_missing, reason)
        return run(self._core.change_alias(name, alias, operation, wait_for_agents))

    def convergence(self, name: str | None = None, alias: str | None = None) -> list[Convergence]:
        """The recent changes of aliases, newest first, and which connected agents have them."""
        return self._call(self._core.operations.convergence(name, alias))

    set_registered_prompt_alias = set_prompt_alias
    delete_registered_prompt_alias = delete_prompt_alias

    def get_prompt(self, name: str) -> Prompt:
        """A prompt's newest version number, aliases and tags. Raises PromptNotFoundError."""
        return self._call(self._core.operations.get_prompt(name))

    def get_prompt_version(self, name: str, version: int) -> PromptVersion:
        """One version, asked of the service. Raises VersionNotFoundError, PromptNotFoundError."""
        return self._call(self._core.operations.get_version(name, version))

    def get_prompt_version_by_alias(self, name: str, alias: str) -> PromptVersion:
        """The version that an alias points at, asked of the service. Raises AliasNotFoundError, PromptNotFoundError."""
        return self._call(self._core.operations.resolve_alias(name, alias))

    def list_prompts(
        self, prefix: str = "", filter_string: str | None = None, order_by: Iterable[str] = ()
    ) -> Iterator[Prompt]:
        """Prompts, one row each, in byte order of their names; pages are fetched as needed.

        With `prefix`, those whose name starts with it; with `filter_string`, those that match, in another order if
        `order_by` asks for it, e.g. ["updated_at DESC"]: see `search_prompts`.
        """
        order = checks.texts(order_by, "order_by")
        if filter_string is None and not order:
            return self._pages(self._core.operations.list_prompts(prefix))
        checks.one_of(prefix=prefix or None, filter_string=filter_string or "")
        return self._pages(self._core.operations.search_prompts(filter_string, order, 0))

    def search_prompts(
        self, filter_string: str | None = None, order_by: Iterable[str] = (), max_results: int | None = None
    ) -> Iterator[PromptVersion]:
        """Versions that match a filter, newest first within a name; pages are fetched as needed.

        E.g. `tags.use_case = 'billing'`, `name LIKE 'telco%' AND alias = 'production'`, `latest = true`;
        docs/search.md has the grammar. None finds all. `order_by` names fields, e.g. ["created_at DESC"];
        `max_results` ends it after so many. Raises InvalidArgumentError when iterated, which tells the column of what
        cannot be read.
        """
        most = checks.optional_number(max_results, "max_results")
        pages = self._core.operations.search_versions(filter_string, order_by, min(most or 0, limits.PAGE_MAX))
        return self._pages(pages, most)

    def list_prompt_versions(self, name: str) -> Iterator[PromptVersion]:
        """A prompt's versions, newest first; pages are fetched as needed. Raises PromptNotFoundError when iterated."""
        return self._pages(self._core.operations.list_versions(name))

    def diff_prompt_versions(
        self, name: str, before: int | str, after: int | str, *, context: int | None = None
    ) -> PromptDiff:
        """What differs between two versions, each a number or an alias: parts, lines and words; `.unified()` is text.

        `context` is how many lines around each change are told, by default 3. Raises VersionNotFoundError,
        AliasNotFoundError, PromptNotFoundError.
        """
        return self._call(self._core.operations.diff_versions(name, before, after, context))

    def set_prompt_tag(self, name: str, key: str, value: str) -> Revision:
        """Sets one tag of the prompt itself. Raises PromptNotFoundError."""
        return self.set_prompt_tags(name, {checks.text(key, "key"): value})

    def set_prompt_tags(self, name: str, tags: Mapping[str, str]) -> Revision:
        """Sets tags of the prompt itself; others stay. Raises PromptNotFoundError."""
        return self._call(self._core.operations.set_tags(name, tags))

    def delete_prompt_tag(self, name: str, key: str) -> Revision:
        """Removes one tag of the prompt itself; an absent one is no error. Raises PromptNotFoundError."""
        return self.delete_prompt_tags(name, [key])

    def delete_prompt_tags(self, name: str, keys: Iterable[str]) -> Revision:
        """Removes tags of the prompt itself; absent ones are no error. Raises PromptNotFoundError."""
        return self._call(self._core.operations.delete_tags(name, keys))

    def set_prompt_version_tag(self, name: str, version: int, key: str, value: str) -> Revision:
        """Sets one tag of one version. Raises VersionNotFoundError, PromptNotFoundError."""
        return self.set_prompt_version_tags(name, version, {checks.text(key, "key"): value})

    def set_prompt_version_tags(self, name: str, version: int, tags: Mapping[str, str]) -> Revision:
        """Sets tags of one version; others stay. Raises VersionNotFoundError, PromptNotFoundError."""
        return self._call(self._core.operations.set_tags(name, tags, checks.number(version, "version")))

    def delete_prompt_version_tag(self, name: str, version: int, key: str) -> Revision:
        """Removes one tag of one version; an absent one is no error. Raises VersionNotFoundError."""
        return self.delete_prompt_version_tags(name, version, [key])

    def delete_prompt_version_tags(self, name: str, version: int, keys: Iterable[str]) -> Revision:
        """Removes tags of one version; absent ones are no error. Raises VersionNotFoundError, PromptNotFoundError."""
        return self._call(self._core.operations.delete_tags(name, keys, checks.number(version, "version")))

    def changes(
        self, after: Revision | None = None, names: Iterable[str] = (), follow: bool = True
    ) -> Iterator[Changes]:
        """Every write after a revision (None: from now on), complete and in order; of these prompts, or of all.

        Waits for more, unless `follow` is false. The first one only tells where the feed starts. A PromptwireError with
        reason `COMPACTED` or `EPOCH_CHANGED` means that the feed cannot go on from `after`.
        """
        return _followed(self._core.feed(after, names, follow))

    def rollback_prompt_alias(
        self,
        name: str,
        alias: str,
        *,
        to_version: int | None = None,
        at: datetime | float | None = None,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """Points an alias back at what it pointed at before; or at `to_version`; or at what it did at a time, `at`: an
        aware datetime, or milliseconds since 1970.

        What a roll-back leaves is abandoned, as what the undoing of a release leaves: the next one goes back further,
        and never there, unless something points the alias there anew. `expected_version` and `wait_for_agents` as for
        `set_prompt_alias`. Raises ConflictError with reason `NOTHING_TO_ROLL_BACK`, VersionNotFoundError if that
        version is deleted, PromptNotFoundError.
        """
        operation = self._core.operations.rollback_alias(name, alias, to_version, at, expected_version, reason)
        return run(self._core.change_alias(name, alias, operation, wait_for_agents))

    def prompt_alias_history(self, name: str, alias: str) -> Iterator[AliasMove]:
        """How an alias moved, newest change first, for ever; pages are fetched as needed. Empty if it never was."""
        return self._pages(self._core.operations.alias_history(name, alias))

    def load_prompt_as_of(self, reference: str, at: datetime | float) -> PromptVersion:
        """What a reference meant at a time: an aware datetime, or milliseconds since 1970. Asked of the service.

        Its tags and aliases are those of now. Raises AliasNotFoundError, VersionNotFoundError for what was not there
        then.
        """
        return self._call(self._core.operations.resolve_at(reference, at))

    def delete_prompt_version(
        self, name: str, version: int, *, drop_aliases: bool = False, reason: str = ""
    ) -> Revision:
        """Hides a version; it can be undeleted until it is purged, and its number is never used again.

        Raises ConflictError while others include it, or while aliases lead to it unless `drop_aliases`;
        VersionNotFoundError.
        """
        return self._call(self._core.operations.delete_version(name, version, drop_aliases, reason))

    def undelete_prompt_version(self, name: str, version: int, *, reason: str = "") -> Revision:
        """Brings back a deleted version, without the aliases that went with it.

        Raises ConflictError if it is not deleted, VersionNotFoundError once it is purged.
        """
        return self._call(self._core.operations.undelete_version(name, version, reason))

    def delete_prompt(self, name: str, *, reason: str = "") -> Revision:
        """Hides a prompt with all that it has; it can be undeleted until it is purged. Its name stays taken till then.

        Raises ConflictError while other prompts include it, PromptNotFoundError.
        """
        return self._call(self._core.operations.delete_prompt(name, reason))

    def undelete_prompt(self, name: str, *, reason: str = "") -> Revision:
        """Brings back a deleted prompt as it was.

        Raises ConflictError if it is not deleted, PromptNotFoundError once it is purged.
        """
        return self._call(self._core.operations.undelete_prompt(name, reason))

    def list_deleted_prompts(self) -> Iterator[Deleted]:
        """What is deleted and can be undeleted, what was deleted first before others; pages are fetched as needed."""
        return self._pages(self._core.operations.list_deleted())

    def prompt_dependents(self, name: str, version: int | None = None) -> Iterator[Dependent]:
        """Who includes a prompt's versions, or one of them, newest version first; pages are fetched as needed."""
        return self._pages(self._core.operations.list_dependents(name, version))

    def release(
        self,
        title: str,
        steps: Mapping[str, int | None] | Iterable[Register | Move],
        *,
        dry_run: bool = False,
        reason: str = "",
    ) -> Release:
        """Moves aliases of many prompts, and may register versions, all or nothing, at one revision.

        `steps` is {'name@alias': version}, None to remove the alias; or several promptwire.Register and
        promptwire.Move, which take preconditions. With `dry_run` nothing is written: the effects tell what would be,
        and `problems` why not. Raises what its steps would by themselves: ConflictError, PromptNotFoundError,
        VersionNotFoundError, AliasNotFoundError.
        """
        return self._call(self._core.operations.release(title, steps, dry_run, reason))

    def undo_release(self, number: int, *, reason: str = "") -> Release:
        """Moves back every alias that a release moved, all or nothing: if each is still where the release left it.

        Versions that it registered stay. No roll-back goes to what an undo leaves, unless it was an undo of an undo.
        Raises ConflictError, and NotFoundError if there is no release of this number.
        """
        return self._call(self._core.operations.undo_release(number, reason))

    def list_releases(self) -> Iterator[KeptWrite]:
        """Releases, newest first, for ever; pages are fetched as needed."""
        return self._pages(self._core.operations.list_releases())

    def audit(self, after: int = 0) -> Iterator[KeptWrite]:
        """Every write of the namespace after a revision number, oldest first, for ever; pages are fetched as needed."""
        return self._pages(self._core.operations.list_audit(after))

    def log_prompt_metrics(
        self,
        prompt: PromptVersion | str,
        metrics: Mapping[str, float],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> None:
        """Notes what was observed of a version: log the PromptVersion that was used. It remembers the alias by which
        it was loaded, which is noted as well.

        A reference stands for the version that it means at this moment, which is another one than was used if the alias
        moved since. Of a split alias it means the version of `key`, as in load_prompt, and without one nothing:
        InvalidArgumentError. A PromptVersion needs no key.

        Returns at once: observations are sent in the background, about once a second, each once, and the last ones
        when the client closes. While the service is out of reach up to 20,000 wait; `status()` tells how many, and how
        many were dropped. `run_id` becomes a tag. Raises InvalidArgumentError, and what load_prompt does for a
        reference that was not loaded yet.
        """
        run(self._core.observe(prompt, metrics, run_id, tags, key))

    def flush_prompt_metrics(self, timeout: float = 10.0) -> None:
        """Returns once the service has taken all that was logged. Raises UnavailableError when it has not in time."""
        self._core.observations.flush(checks.seconds(timeout, "timeout"))

    def query_prompt_metrics(
        self,
        name: str,
        metric: str | None = None,
        version: int | None = None,
        alias: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[MetricSummary]:
        """What was observed: count, mean, standard deviation, extremes and quantiles, by version and metric.

        Of one metric, version or alias; within a time (aware datetimes, or milliseconds since 1970), which counts by
        the hour; of what has these tags.
        """
        operation = self._core.operations.query_metrics(name, metric, version, alias, since, until, tags)
        return self._call(operation)

    def choose_champion(
        self,
        name: str,
        metric: str,
        candidates: Iterable[int | str],
        *,
        since: datetime | float | None = None,
        minimize: bool = False,
        alpha: float = 0.05,
        min_samples: int = 30,
        min_effect: float = 0.0,
        apply: bool = False,
        also: Iterable[str] = (),
        reason: str = "",
    ) -> Champion:
        """Which of these candidates (versions, or aliases of one version) is best by a metric, if surely one is.

        Welch's t test, two-sided at `alpha`, of the best mean against each other one, adjusted for several (Holm);
        each needs `min_samples`, and the difference at least `min_effect` pooled standard deviations (Hedges' g). With
        `apply` a winner gets the aliases `champion` and those of `also`, in one release, if none of them moved
        meanwhile. Needs scipy: pip install 'promptwire[experiments]'.
        """
        return run(
            self._core.choose_champion(
                name, metric, candidates, since, minimize, alpha, min_samples, min_effect, apply, also, reason
            )
        )

    def status(self) -> ClientStatus:
        """How this client's copy of its prompts is; calls nobody."""
        return self._core.status()

    def server_status(self) -> ServerStatus:
        """How the service, its store, its caches and its watchers are."""
        return self._call(self._core.operations.status())

    def close(self) -> None:
        """Ends the watch and the connection; whatever is called afterwards raises PromptwireError. Idempotent."""
        self._close()

    def _call(self, operation: Operation[Request, Response, Result]) -> Result:
        return run(self._core.call(operation))

    def _pages(
        self, page: Callable[[str], Operation[Request, Response, Page[Item]]], most: int | None = None
    ) -> Iterator[Item]:
        """The items of all pages, at most so many; a page is asked for when it is needed."""
        token, left = "", math.inf if most is None else most
        while True:
            items, token = self._call(page(token))
            yield from items if left >= len(items) else items[: int(left)]
            left -= len(items)
            if not token or left <= 0:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client cannot be pickled, since it holds a connection, threads and perhaps a token: make a new "
            f"promptwire.{type(self).__name__} in the process that needs one, and hand over its target instead"
        )

    def __repr__(self) -> str:
        return f"<Client {self._core.options}>"


def _followed(feed: Feed) -> Iterator[Changes]:
    try:
        while (changes := run(feed.next())) is not None:
            yield changes
    finally:
        feed.close()
