"""What commands work with: the store, the coherent reads in front of it, and a view of both for operators."""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from promptwire_service.commands.sorted_lists import SortedLists
from promptwire_service.commands.work import Turns
from promptwire_service.domain.convergence import AliasPoint, Survey
from promptwire_service.domain.reads import Answer, Freshness
from promptwire_service.domain.records import PromptRecord, VersionRecord
from promptwire_service.domain.status import NamespaceStatus
from promptwire_service.storage.base import Store, StoreInfo


class Reader(Protocol):
    """Reads as fresh as they are asked to be, from caches where these can prove it.

    Every call may raise RegistryError with code UNAVAILABLE, when the store does not answer or is behind
    `min_revision`.
    """

    async def prompt(self, namespace: str, name: str, freshness: Freshness) -> Answer[PromptRecord | None]:
        """The prompt, or None when there is none."""
        ...

    async def version(
        self, namespace: str, name: str, version: int, freshness: Freshness
    ) -> Answer[VersionRecord | None]:
        """The version, or None when there is none."""
        ...

    async def reach(self, namespace: str, freshness: Freshness) -> Answer[None]:
        """Returns when cached reads of the namespace, from now on, are at least this fresh, with where it stands."""
        ...

    def known(self, namespace: str) -> Answer[None] | None:
        """Up to which revision cached reads of the namespace are right at this moment; None when only a look could
        tell.

        An answer of exactly this revision is as good as one that is read now.
        """
        ...


class Observer(Protocol):
    """Tells operators how caches and watchers are."""

    async def status(self, namespace: str) -> NamespaceStatus: ...

    async def survey(self, namespace: str, epoch: str, points: Sequence[AliasPoint], wait_seconds: float) -> Survey:
        """Who has these changes, over all services on the store: at once, or when all have them or the time is over."""
        ...


def _one_thread() -> Executor:
    """Its thread begins with the first work, and ends with the executor."""
    return ThreadPoolExecutor(1, "promptwire-work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What a command may use: `store` for writes and lists, `reader` for every other read.

    `store_info` is what the store was at start; `started_ms` is when this process began to serve, in milliseconds
    since 1970. Calls with much to do take `turns`, or have it done by the `worker`, one after the other; `sorted_lists`
    are kept for pages of searches.
    """

    store: Store
    store_info: StoreInfo
    reader: Reader
    observer: Observer
    started_ms: int
    worker: Executor = field(default_factory=_one_thread)
    turns: Turns = field(default_factory=Turns)
    sorted_lists: SortedLists = field(default_factory=SortedLists)
