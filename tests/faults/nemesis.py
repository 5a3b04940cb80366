"""Breaks the parts of a run, one after the other, as a seed says, and mends them; each fault is recorded."""

import contextlib
import json
import random
import signal
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.history import Change, Entry, Fault, Log, Sink, now, target_text
from tests.faults.raw import Raw
from tests.faults.replicas import Cluster, Replicated
from tests.faults.topology import Topology, ready
from tests.support.processes import children, send_signal
from tests.support.proxy import Mode
from tests.support.service import ServiceProcess

PAUSE_SECONDS = (0.3, 1.2)
KILL_SECONDS = (0.02, 0.3)
WRITE_SECONDS = 60.0
PROBE = "probe"
"""The prompt that the nemesis itself writes."""


@dataclass(slots=True)
class _Backup:
    """All keys as they were, and each namespace's revision then."""

    keys: list[tuple[bytes, bytes, int]]
    revisions: dict[str, int]


@dataclass(slots=True)
class Nemesis:
    """Faults of a topology, by the names that `do` takes."""

    topology: Topology
    namespaces: tuple[str, ...]
    draw: random.Random
    sink: Sink
    kinds: list[str] = field(default_factory=list)
    hold_seconds: tuple[float, float] = (0.2, 2.5)
    """How long what can last is kept up, at random."""
    _lineages: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By namespace: when the present one began, and how many entries it took over."""

    def __post_init__(self) -> None:
        self.kinds = self.kinds or self._all_kinds()

    def _all_kinds(self) -> list[str]:
        kinds = [
            "kill_service",
            "pause_service",
            "kill_store",
            "pause_store",
            "drop",
            "delay",
            "blackhole",
            "half_open",
        ]
        if self.topology.store_proxies:
            kinds += ["store_drop", "store_delay", "store_blackhole", "store_half_open"]
        if self.topology.disk:
            kinds.append("disk_full")
        return [*kinds, *self.topology.kinds]

    def run(self, until: float) -> None:
        """All kinds once, and again until this time of time.monotonic; all is mended afterwards."""
        queue: list[str] = []
        while True:
            if not queue:
                queue = self.draw.sample(self.kinds, len(self.kinds))
            self.do(queue.pop())
            if not queue and time.monotonic() >= until:
                return
            # For a random while all is well; a moment, not a condition, is what is wanted.
            time.sleep(self.draw.uniform(*PAUSE_SECONDS))

    def kill(self, count: int) -> None:
        """kill -9 of the service or of its store, one soon after the other, also while they start again."""
        probe = Raw("nemesis", self.topology.services[0].target, self.sink)
        for _ in range(count):
            self._write_once(probe, self.namespaces[0])
            # Writes go on for a random while; a moment, not a condition, is what is wanted here.
            time.sleep(self.draw.uniform(*KILL_SECONDS))
            begun, kind = now(), self.draw.choice(("kill_store", "kill_service"))
            try:
                if kind == "kill_store":
                    self.topology.kill_primary()
            except (LookupError, ProcessLookupError):
                kind = "kill_service"  # the store is being started: its service is killed in the middle of that
            if kind == "kill_service":
                self._kill_service()
            self.sink.add(Fault(kind=kind, start=begun, end=now()))
        self._write_once(probe, self.namespaces[0])
        probe.close()

    def begin(self) -> None:
        """Returns once each namespace has been written to: all that is broken from here on is in use."""
        probe = Raw("first", self.topology.services[0].target, self.sink)
        for namespace in self.namespaces:
            self._write_once(probe, namespace)
        probe.close()

    def _write_once(self, probe: Raw, namespace: str) -> None:
        """Returns once a write is acknowledged."""
        request_id, deadline = probe.request_id(), time.monotonic() + WRITE_SECONDS
        while probe.register(namespace, PROBE, f"{namespace} {request_id}", request_id).outcome != "ok":
            if time.monotonic() > deadline:
                raise RuntimeError(f"no write is acknowledged for {WRITE_SECONDS:g} s")
            time.sleep(0.02)

    def do(self, kind: str) -> None:
        begun = now()
        detail = getattr(self, f"_{kind}", None)
        said = detail() if detail else self._network(kind)
        ready(self.topology)
        self.sink.add(Fault(kind=kind, start=begun, end=now(), detail=said or ""))

    def _hold(self) -> None:
        time.sleep(self.draw.uniform(*self.hold_seconds))

    def _kill_service(self) -> None:
        service = self.draw.choice(self.topology.services)
        service.kill()
        service.start()

    def _pause_service(self) -> None:
        service = self.draw.choice(self.topology.services)
        pids = [service.process.pid, *_workers(service)]
        pid = self.draw.choice(pids)
        if send_signal(pid, signal.SIGSTOP):
            self._hold()
            send_signal(pid, signal.SIGCONT)

    def _kill_worker(self) -> str:
        """Of a service that runs several."""
        workers = _workers(self.draw.choice(self.topology.services))
        if workers:
            send_signal(self.draw.choice(workers), signal.SIGKILL)
        return f"of {len(workers)}"

    def _kill_store(self) -> None:
        self.topology.kill_primary()
        if self.draw.random() < 0.5:
            self._hold()
        self.topology.restart()

    def _pause_store(self) -> None:
        self.topology.pause_primary()
        self._hold()
        self.topology.resume_primary()

    def _replicas(self) -> Replicated:
        assert isinstance(self.topology, Replicated)
        return self.topology

    def _kill_primary(self) -> None:
        """Until another one has taken over; then it comes back."""
        replicas = self._replicas()
        replicas.kill_primary()
        replicas.failed_over()
        replicas.restart()

    def _pause_primary(self) -> None:
        """The same with one that then goes on where it was, as if nothing had been."""
        replicas = self._replicas()
        replicas.pause_primary()
        try:
            replicas.failed_over()
        finally:
            replicas.resume_primary()

    def _kill_replica(self) -> None:
        node = self._replicas().hit_replica()
        node.kill()
        self._hold()
        node.start()

    def _pause_replica(self) -> None:
        node = self._replicas().hit_replica()
        node.pause()
        self._hold()
        node.resume()

    def _failover(self) -> None:
        self._replicas().failover()

    def _move_slot(self) -> None:
        assert isinstance(self.topology, Cluster)
        self.topology.move_slot()

    def _roll(self) -> None:
        """Of all workers of a service, one after the other."""
        service = self.draw.choice(self.topology.services)
        before = set(_workers(service))
        service.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WRITE_SECONDS
        while before & set(_workers(service)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"the workers {before} are not all replaced within {WRITE_SECONDS:g} s")
            time.sleep(0.05)

    def _network(self, kind: str) -> str:
        """Of all connections through one proxy."""
        proxies, mode = self.topology.proxies, kind
        if kind.startswith("store_"):
            proxies, mode = self.topology.store_proxies, kind.removeprefix("store_")
        proxy = self.draw.choice(proxies)
        if mode == "drop":
            return f"{proxy.drop()} connections"
        modes: dict[str, Mode] = {"delay": "delay", "blackhole": "blackhole", "half_open": "half_open"}
        proxy.set(modes[mode])
        self._hold()
        proxy.set("pass")
        return ""

    def _disk_full(self) -> str:
        assert self.topology.disk is not None
        ballast = self.topology.disk / "ballast"
        size = _fill(ballast)
        self._hold()
        ballast.unlink()
        return f"{size} bytes"

    def _restore(self) -> str:
        """Goes back to a backup that is a little old: a declared loss."""
        backup = self._take_backup()
        self._hold()
        return self._go_back(backup)

    def _take_backup(self) -> _Backup:
        with contextlib.closing(self.topology.store()) as store:
            # One script: all of one moment.
            script = (
                "local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do r[#r + 1] = {k, redis.call('DUMP', k), "
            )
            rows = store.eval(script + "redis.call('PTTL', k)} end return r", 0)
            keys = [(key, dump, max(0, ttl)) for key, dump, ttl in rows]
            revisions = {}
            for namespace in self.namespaces:
                meta = next((dump for key, dump, _ in keys if key == _meta(namespace)), None)
                if meta is not None:
                    store.restore("promptwire-faults", 0, meta, replace=True)
                    revisions[namespace] = int(store.hget("promptwire-faults", "revision") or 0)
                    store.delete("promptwire-faults")
        return _Backup(keys, revisions)

    def _go_back(self, backup: _Backup) -> str:
        """Empties the store and restores each key, at once; what the namespaces' logs were is recorded."""
        if set(backup.revisions) != set(self.namespaces):
            return "nothing to restore"
        with contextlib.closing(self.topology.store()) as store:
            pipe = store.pipeline(transaction=True)
            for namespace in self.namespaces:
                pipe.hget(_meta(namespace), "id")
                pipe.xrange(_log(namespace))
            pipe.flushall()
            for key, dump, ttl in backup.keys:
                pipe.restore(key, ttl, dump)
            for namespace in self.namespaces:
                # As docs/guarantees.md says: keys that are restored into a running server need another identity.
                pipe.hset(_meta(namespace), "id", uuid.uuid4().hex[:16])
            begun = now()
            answers = pipe.execute()
            ended = now()
        for index, namespace in enumerate(self.namespaces):
            identity, rows = answers[2 * index], answers[2 * index + 1]
            self._keep(namespace, identity, rows, ended)
            self._lineages[namespace] = (begun, backup.revisions[namespace])
        return f"to revisions {backup.revisions}"

    def keep_logs(self) -> None:
        """Records what the logs are at the end."""
        for namespace in self.namespaces:
            with contextlib.closing(self.topology.store(namespace)) as store:
                identity = store.hget(_meta(namespace), "id")
                self._keep(namespace, identity, store.xrange(_log(namespace)), 0)

    def _keep(self, namespace: str, identity: Any, rows: Any, end: int) -> None:
        start, base = self._lineages.get(namespace, (0, 0))
        entries = tuple(entry_of(number, fields) for number, fields in rows)
        lineage = (identity or b"empty").decode()
        self.sink.add(
            Log(
                namespace=namespace,
                lineage=lineage,
                start=start,
                end=end,
                base=base,
                entries=entries,
                replicated=self.topology.replicated,
            )
        )


def entry_of(place: bytes, fields: dict[bytes, bytes]) -> Entry:
    """An entry of the log as the store has it."""
    changes = tuple(_change(one) for one in json.loads(fields[b"changes"]))
    number, request_id = int(place.partition(b"-")[0]), fields[b"request_id"].decode()
    return Entry(number=number, request_id=request_id, changes=changes)


def _change(plain: dict[str, Any]) -> Change:
    moves = plain["kind"] == "alias_set"
    return Change(
        plain["kind"],
        plain["name"],
        version=0 if moves else int(plain.get("version") or 0),
        alias=plain.get("alias", ""),
        target=_target(plain["version"]) if moves else "",
        previous=_target(plain.get("previous", "0")),
        tags=plain.get("tags") or {},
        keys=tuple(plain.get("keys") or ()),
    )


def _target(text: str) -> str:
    if not text.startswith("{"):
        return target_text(int(text))
    split = json.loads(text)
    return target_text(0, split["salt"], split["segments"])


def _meta(namespace: str) -> bytes:
    return f"pw:{{{namespace}}}:meta".encode()


def _log(namespace: str) -> str:
    return f"pw:{{{namespace}}}:log"


def _workers(service: ServiceProcess) -> list[int]:
    """Returns the Python processes that a service started: its workers, if it has any."""
    started = children(service.process.pid)
    return sorted(pid for pid, command in started.items() if command and "python" in command[0])


def _fill(path: Path) -> int:
    """Writes a file until the disk is full; its size."""
    size = 0
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            size += file.write(b"\0" * (1 << 20)) or 0
    return size
