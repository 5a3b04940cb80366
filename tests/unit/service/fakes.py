"""What stands below commands, made of dicts: just enough to see what a command asks for and answers."""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptwire.domain.content import Content
from promptwire_service.commands.context import Registry
from promptwire_service.domain.changes import LogHead, LogPage
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import Register, Result, Write, Written
from promptwire_service.domain.reads import Answer, Freshness
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.domain.status import NamespaceStatus
from promptwire_service.storage.base import StoreInfo

NOW = Revision("epoch", 40)
INFO = StoreInfo("memory", "fake 1.0", "none")


def a_prompt(name: str = "team/greeting", latest: int = 3, etag: int = 17, **aliases: int) -> PromptRecord:
    return PromptRecord(name, latest, aliases, {}, "ana", 1_700_000_000_123, 1_700_000_000_456, etag)


def a_version(
    version: int = 3, name: str = "team/greeting", etag: int = 17, text: str = "Hello {{name}}", **tags: str
) -> VersionRecord:
    content = Content(text)
    return VersionRecord(name, version, content, content.digest, "why", tags, "ana", 1_700_000_000_123, etag)


@dataclass
class FakeStore:
    """Remembers writes and answers them; lists and reads what it was given. `failure` is raised by every call."""

    prompts: dict[str, PromptRecord] = field(default_factory=dict)
    versions: dict[tuple[str, int], VersionRecord] = field(default_factory=dict)
    revision: Revision = NOW
    writes: list[tuple[str, Write]] = field(default_factory=list)
    failure: Exception | None = None
    previous_version: int = 0

    def add(self, prompt: PromptRecord, *versions: VersionRecord) -> None:
        self.prompts[prompt.name] = prompt
        self.versions |= {(version.name, version.version): version for version in versions}

    async def write(self, namespace: str, write: Write) -> Written:
        self._fail()
        self.writes.append((namespace, write))
        results = tuple(
            Result(version=4 if isinstance(one, Register) else 0, previous=self.previous_version)
            for one in write.operations
        )
        return Written(revision=Revision("epoch", 41), time_ms=1_700_000_001_000, actor=write.actor, results=results)

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        self._fail()
        return Read([self.prompts.get(name) for name in names], self.revision)

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        self._fail()
        return Read([self.versions.get(key) for key in keys], self.revision)

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        self._fail()
        names = [name for name in sorted(self.prompts) if name > after and name.startswith(prefix)]
        return Read([self.prompts[name] for name in names[:limit]], self.revision)

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        self._fail()
        found = [version for key, version in self.versions.items() if key[0] == name and key[1] < before]
        return Read(sorted(found, key=lambda version: -version.version)[:limit], self.revision)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        raise NotImplementedError

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        raise NotImplementedError

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        raise NotImplementedError

    def partition(self, namespace: str) -> Hashable:
        raise NotImplementedError

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        raise NotImplementedError

    def on_message(self, topic: str, receive: Callable[[str, str], None]) -> Callable[[], None]:
        raise NotImplementedError

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        raise NotImplementedError

    async def info(self) -> StoreInfo:
        self._fail()
        return INFO

    async def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.failure:
            raise self.failure


@dataclass
class FakeReader:
    """Answers from a FakeStore, at its revision. `script` overrules the next reads in order; `asked` has them all."""

    store: FakeStore
    asked: list[tuple[str, str, str, Freshness]] = field(default_factory=list)
    reached: list[tuple[str, Freshness]] = field(default_factory=list)
    script: deque[Answer[PromptRecord | None] | Answer[VersionRecord | None]] = field(default_factory=deque)
    max_age_seconds: float = 0.25
    is_known: bool = True

    async def prompt(self, namespace: str, name: str, freshness: Freshness) -> Answer[PromptRecord | None]:
        self.asked.append(("prompt", namespace, name, freshness))
        self.store._fail()
        return self._scripted() or Answer(self.store.prompts.get(name), self.store.revision, self.max_age_seconds)

    async def version(
        self, namespace: str, name: str, version: int, freshness: Freshness
    ) -> Answer[VersionRecord | None]:
        self.asked.append(("version", namespace, f"{name}/{version}", freshness))
        self.store._fail()
        return self._scripted() or Answer(
            self.store.versions.get((name, version)), self.store.revision, self.max_age_seconds
        )

    async def reach(self, namespace: str, freshness: Freshness) -> Answer[None]:
        self.reached.append((namespace, freshness))
        self.store._fail()
        return Answer(None, self.store.revision, self.max_age_seconds)

    def known(self, namespace: str) -> Answer[None] | None:
        return Answer(None, self.store.revision, self.max_age_seconds) if self.is_known else None

    async def status(self, namespace: str) -> NamespaceStatus:
        return NamespaceStatus(revision=self.store.revision, checked_ms=1_700_000_000_000)

    def _scripted(self) -> Answer[Any] | None:
        return self.script.popleft() if self.script else None


@dataclass
class Below:
    """A registry and the fakes that it is made of."""

    store: FakeStore = field(default_factory=FakeStore)

    def __post_init__(self) -> None:
        self.reader = FakeReader(self.store)
        self.registry = Registry(
            store=self.store, store_info=INFO, reader=self.reader, observer=self.reader, started_ms=1_700_000_000_000
        )


def fields(error: RegistryError) -> list[str]:
    """The fields that an INVALID_ARGUMENT names, in order."""
    return [violation.field for violation in error.violations]
