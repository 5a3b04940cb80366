"""What a store is. `redis` is the real one, `memory` the one for tests, `cached` wraps either."""

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from promptwire_service.domain.changes import LogHead, LogPage
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.kept import AliasMoved, Deleted, Dependents, KeptWrite
from promptwire_service.domain.metrics import Group, ObservedPart, Recorded, Wanted
from promptwire_service.domain.operations import Write, Written
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Where the store is (without credentials), what it is, and what an acknowledged write survives."""

    location: str
    server: str
    durability: str


class Store(Protocol):
    """Prompts of many namespaces. Each call is atomic and answers from one revision.

    Every call may raise RegistryError with code UNAVAILABLE; a write that did may or may not have happened, and is
    repeated with the same request id to find out.
    """

    async def write(self, namespace: str, write: Write) -> Written:
        """Carries out a write whole or not at all, once per request id; returns when it is as durable as promised."""
        ...

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        """The prompts of these names, in their order: at least one, then up to about 4 MiB of them."""
        ...

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        """The versions of these names and numbers, in their order: at least one, then up to about 4 MiB of them."""
        ...

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        """At most `limit` prompts whose name begins with `prefix` and comes after `after`, in byte order of names; at
        least one, then up to about 4 MiB, and `cut` if more follow.
        """
        ...

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        """At most `limit` versions with a number below `before`, newest first, without those that are
        deleted; at least one, then up to `max_bytes`.
        """
        ...

    async def find_versions(
        self, namespace: str, plan: Plan, *, after: str, limit: int, content: Contents
    ) -> Read[Candidates[VersionRow]]:
        """At most `limit` of the versions that a plan covers, after a position, in the plan's order; more of them may
        be there than it covers, but none twice. With as much of their content as is asked for.
        """
        ...

    async def find_prompts(
        self, namespace: str, plan: Plan, *, after: str, limit: int
    ) -> Read[Candidates[PromptRecord]]:
        """The same of prompts."""
        ...

    async def read_rows(
        self, namespace: str, keys: Sequence[tuple[str, int]], *, max_bytes: int
    ) -> Read[list[VersionRow | None]]:
        """Versions with their prompts, in the order of the keys, None for what is not there or deleted; at least one,
        then as many as `max_bytes` allow.
        """
        ...

    async def read_prompt_rows(
        self, namespace: str, names: Sequence[str], *, max_bytes: int
    ) -> Read[list[PromptRecord | None]]:
        """The same of prompts."""
        ...

    async def read_history(
        self, namespace: str, name: str, alias: str, *, before: int, at_ms: int | None, limit: int
    ) -> Read[list[AliasMoved]]:
        """At most `limit` changes of an alias at revisions below `before`, newest first; with `at_ms`, from the one on
        that was the newest at that time.
        """
        ...

    async def read_audit(self, namespace: str, *, after: int, limit: int) -> Read[list[KeptWrite]]:
        """At most `limit` writes after revision number `after`, oldest first; at least one, then up to about 4 MiB, and
        `cut` if more follow.
        """
        ...

    async def read_releases(self, namespace: str, *, before: int, limit: int) -> Read[list[KeptWrite]]:
        """At most `limit` releases at revisions below `before`, newest first; bounded likewise."""
        ...

    async def list_deleted(self, namespace: str, *, skip: int, limit: int) -> Read[list[Deleted]]:
        """At most `limit` things that are deleted and not purged yet, those that were deleted first before others."""
        ...

    def namespaces_with_deletions(self) -> AsyncIterator[str]:
        """One pass over all that the store holds, in bounded steps: the namespaces where something is deleted and not
        purged, whether anybody uses them or not. One may come twice.
        """
        ...

    async def read_dependents(
        self, namespace: str, name: str, *, version: int | None, after: str, limit: int
    ) -> Read[Dependents]:
        """What includes a version of a prompt, or any of them, and is not deleted, after a position: newest version
        first, then by name and number. Looks at `limit` at most, deleted ones too; if more follow, the last one that it
        looked at is `next_position`, else that is empty.
        """
        ...

    async def record_metrics(
        self, namespace: str, groups: Sequence[Group], request_id: str, asked: str = ""
    ) -> Recorded:
        """Adds groups of observations up, of about a thousand values at most, once per request id; a repeat is known by
        what was asked, if that is given: its observations may fall into other hours by then. Refuses groups one by
        one: METRIC_NAMES_MAX and METRIC_SERIES_MAX bound what a prompt may have.
        """
        ...

    async def read_metrics(self, namespace: str, name: str, wanted: Wanted, *, after: str) -> Read[ObservedPart]:
        """A bounded part of what was recorded of a prompt and is wanted, after what an earlier part says, or from the
        first hour: "". Observations that come meanwhile may be in it or not.
        """
        ...

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        """At most `limit` entries after revision number `after`, oldest first. Fewer does not mean that was all:
        see `head`.
        """
        ...

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        """Gives the namespace another epoch if it is still this one; where it stands then.

        For who finds that its history was replaced by an older copy of itself, whose identity is the same.
        """
        ...

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        """Where the logs of these namespaces stand, in their order, with one round trip for those of one partition.

        A namespace that cannot be read has its own error, and does not keep the others from being answered. A call
        that fails as a whole raises.
        """
        ...

    def partition(self, namespace: str) -> Hashable:
        """The part of the store that holds a namespace now. Parts fail apart from each other: a Cluster's shards."""
        ...

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        """Calls `notify` soon after each write to any namespace, with the namespace and its revision number, and with
        "" and 0 after each (re)connect.

        Without promise: a notification may be lost. Returns what ends it.
        """
        ...

    def on_message(self, topic: str, receive: Callable[[str, str], None]) -> Callable[[], None]:
        """Calls `receive` with the namespace and the text of each message that any service publishes on a topic.

        Without promise, as `on_notify`. Returns what ends it.
        """
        ...

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        """Sends a message about a namespace to all services on the store, this one included; returns their number."""
        ...

    async def info(self) -> StoreInfo:
        """What and where the store is, asked anew."""
        ...

    async def close(self) -> None: ...
