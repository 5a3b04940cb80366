"""What the client returns: frozen values, made of what the service sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from promptwire.domain.splits import Split
from promptwire.read_only import ReadOnlyDict


@dataclass(frozen=True, slots=True)
class Revision:
    """A point in a namespace's history. Comparable by number within one epoch, not across epochs."""

    epoch: str
    """Identity of the history; opaque."""
    number: int
    """Count of writes so far in this namespace."""

    def is_behind(self, other: "Revision") -> bool:
        """Whether it is surely older: across epochs nothing is sure."""
        return self.epoch == other.epoch and self.number < other.number

    def reaches(self, other: "Revision") -> bool:
        """Whether it is surely as new or newer."""
        return self.epoch == other.epoch and self.number >= other.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt without its versions' content."""

    name: str
    latest_version: int
    """Number of the newest version that is not deleted: what `@latest` means; 0 when all are."""
    aliases: Mapping[str, int] = field(default_factory=ReadOnlyDict[int], hash=False)
    """Alias to version number, without `latest`."""
    tags: Mapping[str, str] = field(default_factory=ReadOnlyDict[str], hash=False)
    author: str = ""
    creation_timestamp: int = 0
    """Milliseconds since 1970, by the store's clock."""
    last_updated_timestamp: int = 0
    """Milliseconds since 1970 of the last change to its versions, aliases or tags."""
    etag: int = 0
    """Revision number of that change."""
    deleted_versions: tuple[int, ...] = ()
    """Versions that are deleted: references to them fail."""
    splits: Mapping[str, Split] = field(default_factory=ReadOnlyDict[Split], hash=False)
    """Aliases that point at weighted versions; not among `aliases`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A version of a prompt, and another one whose template includes it."""

    version: int
    by_name: str
    by_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaggingAgent:
    """A connected agent that does not have a change yet."""

    client_id: str
    client_name: str
    peer: str
    applied_revision: int
    """The last that it said it has applied; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsReport:
    """Which of the connected agents that follow an alias have a change of it."""

    total: int = 0
    """Agents that report what they applied."""
    converged: int = 0
    """How many of them have it."""
    silent: int = 0
    """Further agents, which do not report: nothing is known of them."""
    lagging: tuple[LaggingAgent, ...] = ()
    """Who does not have it, 100 at most."""
    unheard_services: int = 0
    """Services that did not answer in time: their agents are in no count."""
    delay_counts: tuple[int, ...] = ()
    """How many took up to 1 ms, up to 2 ms, up to 4 ms and so on; empty when none was timed."""
    slowest_seconds: float | None = None

    def delay_seconds(self, percent: float) -> float | None:
        """Within how long so many percent of those timed had it: up to twice what it took, never less."""
        timed, counted = sum(self.delay_counts), 0
        for bucket, count in enumerate(self.delay_counts):
            counted += count
            if timed and counted * 100 >= timed * percent:
                within = float(1 << bucket) / 1000
                return within if self.slowest_seconds is None else min(within, self.slowest_seconds)
        return None

    @property
    def complete(self) -> bool:
        """Whether all agents surely have it."""
        return self.converged == self.total and not self.silent and not self.unheard_services


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """One change of an alias, and who has it."""

    name: str
    alias: str
    version: int | None
    """None when the alias was deleted."""
    previous_version: int | None
    revision: Revision
    timestamp: int | None
    """Milliseconds since 1970, by the store's clock."""
    actor: str
    agents: AgentsReport


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasChange:
    """What a write did to an alias."""

    previous_version: int | None
    """What it pointed at before; None when there was no such alias."""
    revision: Revision
    version: int | None = None
    """What it points at since; None when it was deleted or split."""
    split: Split | None = None
    """What it points at since, when that is split."""
    previous_split: Split | None = None
    """What it pointed at before, when that was split."""
    agents: AgentsReport | None = None
    """Who had it when the wait for the agents was over; None when that was not asked for."""


ChangeKind = Literal[
    "version_registered",
    "alias_set",
    "alias_deleted",
    "tags_set",
    "tags_deleted",
    "version_deleted",
    "version_undeleted",
    "version_purged",
    "prompt_deleted",
    "prompt_undeleted",
    "prompt_purged",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one prompt; what does not belong to its kind is None or empty."""

    kind: ChangeKind
    name: str
    version: int | None = None
    """The version that it is about; None for the prompt itself."""
    alias: str | None = None
    previous_version: int | None = None
    """What the alias pointed at before; None when it is new."""
    tags: Mapping[str, str] = field(default_factory=ReadOnlyDict[str], hash=False)
    """The tags that were set."""
    keys: tuple[str, ...] = ()
    """The tags that were removed."""
    split: Split | None = None
    """What the alias points at since, when that is split; `version` is None then."""
    previous_split: Split | None = None
    """What the alias pointed at before, when that was split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """One change of one alias, as its history keeps it for ever."""

    revision: Revision
    timestamp: int
    """Milliseconds since 1970, by the store's clock."""
    actor: str
    reason: str
    request_id: str
    version: int | None
    """What it points at since; None when it was deleted."""
    previous_version: int | None
    """What it pointed at before; None when it was new."""
    rollback: bool
    """Whether it was a roll-back: later ones do not go to what it left."""
    undoes: int | None
    """Number of the release that it took back: later roll-backs do not go to what that made live. None for none."""
    split: Split | None = None
    """What it points at since, when that is split; `version` is None then."""
    previous_split: Split | None = None
    """What it pointed at before, when that was split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A version, or a prompt with all that it has, that is deleted and can be undeleted."""

    name: str
    version: int | None
    """None when the whole prompt is deleted."""
    timestamp: int
    """When it was deleted, in milliseconds since 1970."""
    purge_timestamp: int
    """When it may be gone for good at the earliest, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """One write, whole."""

    revision: Revision
    timestamp: int
    """Milliseconds since 1970, by the store's clock."""
    actor: str
    reason: str
    request_id: str
    changes: tuple[Change, ...]
    """In order; empty when this only tells where the feed starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWrite(Changes):
    """One write, as the audit keeps it for ever: tags of over 256 bytes only by their size."""

    release: str | None
    """Title, when it was a release."""
    undoes: int | None
    """Number of the release that it took back."""
    undone_by: int | None
    """Number of the release that took it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEffect:
    """What one step of a release did, or would do."""

    name: str
    alias: str | None
    """None for a registration."""
    version: int | None
    """The version made, or pointed at since; None when the alias is gone or split."""
    previous_version: int | None
    """What the alias pointed at before; None for nothing or a split."""
    problem: str | None = None
    """In a plan: why it would be refused."""
    split: Split | None = None
    """What the alias points at since, when that is split: an undo may bring a split back."""
    previous_split: Split | None = None
    """What it pointed at before, when that was split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a release did, all of it at one revision; in a plan, what it would do."""

    revision: Revision
    effects: tuple[ReleaseEffect, ...]

    @property
    def number(self) -> int:
        """What names it: `undo_release` takes it."""
        return self.revision.number

    @property
    def problems(self) -> tuple[str, ...]:
        """In a plan: why it would be refused; empty when it would not be."""
        return tuple(effect.problem for effect in self.effects if effect.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A step of a release: registers a version, and points aliases at it."""

    name: str
    template: str | Sequence[Mapping[str, Any]]
    """Text, or chat messages; see Client.register_prompt."""
    commit_message: str | None = None
    tags: Mapping[str, str] | None = None
    response_format: Mapping[str, object] | type | None = None
    model_config: Mapping[str, object] | None = None
    syntax: str | None = None
    """`jinja2`, or None for `{{variable}}`."""
    aliases: Iterable[str] = ()
    expected_latest_version: int | None = None
    """Only if this is the newest version so far; 0 for "only if there is no such prompt"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A step of a release: points an alias at a version, or removes it."""

    name: str
    alias: str
    version: int | None
    """None removes the alias."""
    expected_version: int | None = None
    """Only if the alias points there now; 0 for "only if there is no such alias"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """That a load of a split alias was given one of its versions: for whoever counts who saw what."""

    reference: str
    """As it was written."""
    name: str
    alias: str
    version: int
    key: str | None
    """None when the load drew."""
    bucket: int
    """0 to 9,999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """What one metric of one version was like."""

    name: str
    version: int
    metric: str
    count: int
    mean: float
    std: float
    """Standard deviation of the sample; 0 for a single observation."""
    min: float
    max: float
    p50: float
    """Half are at most this; within 1 % of the value, as the next ones."""
    p95: float
    p99: float
