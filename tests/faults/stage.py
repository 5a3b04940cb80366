"""A whole service in this process on a store in memory, where a test decides what waits for what, and records it."""

import asyncio
import copy
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from promptwire.domain.splits import Split, Target
from promptwire_service.domain import changes
from promptwire_service.domain.changes import LogEntry, LogPage
from promptwire_service.domain.records import PromptRecord, Read, VersionRecord
from promptwire_service.server import Service
from promptwire_service.storage.memory import MemoryStore
from tests.faults.history import Change, Entry, History, Log, now, target_text

SECONDS = 10.0
_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


class Gate:
    """A place in the service where whoever comes by waits until the test lets it through."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reached = threading.Event()
        self._loop = loop
        self._open = asyncio.Event()

    async def pass_(self) -> None:
        self.reached.set()
        await self._open.wait()

    def wait(self) -> None:
        assert self.reached.wait(SECONDS), "nobody came to the gate"

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._open.set)


class StagedStore(MemoryStore):
    """Holds up reads at gates."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[str, Gate] = {}

    async def _pass(self, place: str) -> None:
        if gate := self.gates.get(place):
            await gate.pass_()

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        read = await super().read_prompts(namespace, names)
        await self._pass("fill")
        return read

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        await self._pass("body")
        return await super().read_versions(namespace, keys)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        page = await super().read_log(namespace, after=after, limit=limit)
        await self._pass("log")
        return page


class Stage:
    """One store, one or more services on it, and the history of what is done to them."""

    def __init__(self) -> None:
        self.history = History()
        self.store = StagedStore()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._services: dict[str, Service] = {}
        self._began: dict[str, tuple[int, int]] = {}
        """By namespace: since when its present history is, and how many revisions it took over."""

    def serve(self, address: str = "127.0.0.1:0") -> str:
        """Starts a service; its address."""
        service = Service(self.store)
        address = str(self.do(service.start(address)))
        self._services[address] = service
        return address

    def restart(self, address: str) -> None:
        """Drains a service, and starts another one, that knows nothing, in its place."""
        self.do(self._services.pop(address).stop(0))
        self.serve(address)

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS)

    def gate(self, place: str) -> Gate:
        """Closes one: `fill` (a prompt was read for the cache), `log` (a page of the log was read) or `body` (a version
        is about to be read)."""
        gate = self.store.gates[place] = Gate(self._loop)
        return gate

    def lift(self, place: str) -> None:
        """Opens a gate and takes it away."""
        self.store.gates.pop(place).open()

    def backup(self, namespace: str) -> Any:
        async def take() -> Any:
            space = copy.copy(self.store._namespaces[namespace])
            for name in ("state", "log", "answers"):
                setattr(space, name, copy.copy(getattr(space, name)))
            return space

        return self.do(take())

    def restore(self, namespace: str, backup: Any, change: Callable[[Any], None] = lambda _: None) -> None:
        """The store is another one from here on: a backup, with an epoch of its own."""

        async def put() -> None:
            begun, old = now(), self.store._namespaces[namespace]
            backup.epoch = uuid.uuid4().hex
            change(backup)
            self.store._namespaces[namespace] = backup
            self._keep(namespace, old, now())
            self._began[namespace] = (begun, backup.state.number)

        self.do(put())

    def close(self) -> History:
        """Ends all services; the history, with the logs."""

        async def keep() -> None:
            for namespace, space in self.store._namespaces.items():
                self._keep(namespace, space, 0)

        for place in list(self.store.gates):
            self.lift(place)
        self.do(keep())
        for service in self._services.values():
            self.do(service.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.history.ops.sort(key=lambda op: op.start)
        return self.history

    def _keep(self, namespace: str, space: Any, end: int) -> None:
        start, base = self._began.get(namespace, (0, 0))
        entries = tuple(_entry(entry) for entry in space.log)
        log = Log(namespace=namespace, lineage=space.epoch, start=start, end=end, base=base, entries=entries)
        self.history.add(log)


def _entry(entry: LogEntry) -> Entry:
    made = tuple(map(_change, entry.changes))
    return Entry(number=entry.number, request_id=entry.request_id, changes=made)


def _change(change: changes.Change) -> Change:
    return Change(
        _WORDS.sub("_", type(change).__name__).lower(),
        change.name,
        version=getattr(change, "version", None) or 0,
        alias=getattr(change, "alias", ""),
        target=_target(getattr(change, "target", 0)),
        previous=_target(getattr(change, "previous", 0)),
        tags=dict(getattr(change, "tags", {})),
        keys=tuple(getattr(change, "keys", ())),
    )


def _target(target: Target) -> str:
    return target_text(0, target.salt, target.segments) if isinstance(target, Split) else target_text(target)


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Runs work beside the block, and waits for its end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(SECONDS)
    assert not thread.is_alive(), "it does not end"
