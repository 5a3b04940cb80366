"""What a run is made of: service processes, their store, proxies in between; and how each part is broken and mended."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from promptwire_service.storage.embedded.data_dir import DataDir
from tests.support.processes import send_signal
from tests.support.proxy import Proxy
from tests.support.servers import RunningServer, running_server, valkey_server
from tests.support.service import ServiceProcess

READY_SECONDS = 90.0
FSYNC = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
_DISK_BYTES = 48 << 20


class Topology(Protocol):
    """A way to run the registry. `primary` is the store that takes writes."""

    name: str
    services: list[ServiceProcess]
    proxies: list[Proxy]
    """Between clients and services, one for each service."""
    store_proxies: list[Proxy]
    """Between services and store, where there is a network in between."""

    kinds: tuple[str, ...]
    """Faults that it has besides those that all have."""
    replicated: bool
    """Whether acknowledged means that replicas have it; what was not acknowledged may vanish when one takes over."""

    def store(self, namespace: str = "") -> redis.Redis:
        """A blocking client of the primary that has a namespace, or of any, for binary answers."""
        ...

    def whole(self) -> bool:
        """Whether all servers run, and are in sync."""
        ...

    def kill_primary(self) -> None: ...

    def pause_primary(self) -> None: ...

    def resume_primary(self) -> None: ...

    def restart(self) -> None:
        """Sees to it that the primary runs, after it was killed."""
        ...

    @property
    def disk(self) -> Path | None:
        """A small disk of the store's own, to be filled; None where there is none."""
        ...


class Embedded:
    """One service with its own store, on a small disk where we may mount one."""

    name = "embedded"
    kinds: tuple[str, ...] = ("restore",)
    replicated = False
    store_proxies: list[Proxy] = []  # noqa: RUF012 - a socket in the file system: nothing to put a proxy into

    def __init__(self, directory: Path, python: list[str], stack: contextlib.ExitStack) -> None:
        data_dir = directory / "data"
        self.disk = _small_disk(data_dir, stack)
        self._paused = 0
        service = ServiceProcess(data_dir, python=python)
        self.services = [service]
        started(service, stack)
        self.proxies = [proxied("127.0.0.1", service.port, stack)]

    def store(self, namespace: str = "") -> redis.Redis:
        return _client(DataDir(self.services[0].data_dir).socket_path)

    def kill_primary(self) -> None:
        self.services[0].kill_store()

    def pause_primary(self) -> None:
        self._paused = self.services[0].store_pid()
        send_signal(self._paused, signal.SIGSTOP)

    def resume_primary(self) -> None:
        send_signal(self._paused, signal.SIGCONT)

    def restart(self) -> None:
        """Its service does."""

    def whole(self) -> bool:
        return _answers(self)


class Standalone:
    """Two services on one Valkey, each behind a proxy on either side."""

    name = "standalone"
    kinds: tuple[str, ...] = ("restore",)
    replicated = False
    disk = None
    options: tuple[str, ...] = ()
    """Of `serve`."""

    def __init__(self, directory: Path, python: list[str], stack: contextlib.ExitStack) -> None:
        self._directory = directory / "valkey"
        self._directory.mkdir(parents=True)
        self._running = stack.enter_context(contextlib.ExitStack())
        self._server: RunningServer
        self.store_proxies = []
        self._run()
        self.store_proxies = [proxied("127.0.0.1", self._server.port, stack) for _ in range(2)]
        self.services = [
            ServiceProcess(
                directory / f"service-{number}" / "data",
                *self.options,
                store=f"redis://{proxy.address}/0",
                python=python,
            )
            for number, proxy in enumerate(self.store_proxies)
        ]
        for service in self.services:
            started(service, stack)
        self.proxies = [proxied("127.0.0.1", service.port, stack) for service in self.services]

    def _run(self) -> None:
        self._server = self._running.enter_context(running_server(valkey_server(), *FSYNC, directory=self._directory))
        for proxy in self.store_proxies:
            proxy.redirect(self._server.port)

    def store(self, namespace: str = "") -> redis.Redis:
        return _client(self._server.socket_path)

    def kill_primary(self) -> None:
        self._server.process.kill()
        self._server.process.wait()

    def pause_primary(self) -> None:
        self._server.process.send_signal(signal.SIGSTOP)

    def resume_primary(self) -> None:
        self._server.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self._run()

    def whole(self) -> bool:
        return _answers(self)


class Workers(Standalone):
    """The same with two worker processes in each service."""

    name = "workers"
    kinds: tuple[str, ...] = ("restore", "kill_worker", "roll")
    options = ("--workers", "2")


def ready(topology: Topology) -> None:
    """Returns once the store is whole."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if topology.whole():
                return
        except (redis.RedisError, OSError, LookupError):
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topology.name}: not all servers are in sync within {READY_SECONDS:g} s")
        time.sleep(0.05)


def _answers(topology: Topology) -> bool:
    with contextlib.closing(topology.store()) as store:
        return bool(store.ping())


def _client(socket_path: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_path), retry=Retry(NoBackoff(), 0), socket_timeout=10)


def started(service: ServiceProcess, stack: contextlib.ExitStack) -> None:
    service.start()

    def end() -> None:
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGCONT)
            service.stop()

    stack.callback(end)


def proxied(host: str, port: int, stack: contextlib.ExitStack) -> Proxy:
    proxy = Proxy(host, port)
    stack.callback(proxy.close)
    return proxy


def _small_disk(path: Path, stack: contextlib.ExitStack) -> Path | None:
    """Mounts a disk at a directory, if we may."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "promptwire-faults", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return None
    stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
    return path
