"""What a run is made of: service processes, their store, proxies in between; and how each part is broken and mended."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from promptwire_service.storage.embedded.data_dir import DataDir
from tests.support.proxy import Proxy
from tests.support.servers import RunningServer, running_server, valkey_server
from tests.support.service import ServiceProcess

READY_SECONDS = 30.0
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

    def store(self) -> redis.Redis:
        """A blocking client of the primary, for binary answers."""
        ...

    def kill_primary(self) -> None: ...

    def pause_primary(self) -> None: ...

    def resume_primary(self) -> None: ...

    def restart(self) -> None:
        """Sees to it that the primary runs, after it was killed."""
        ...

    def failover(self) -> None:
        """Makes a replica the primary; only where `fails_over`."""
        ...

    @property
    def fails_over(self) -> bool: ...

    @property
    def disk(self) -> Path | None:
        """A small disk of the store's own, to be filled; None where there is none."""
        ...


class Embedded:
    """One service with its own store, on a small disk where we may mount one."""

    name = "embedded"
    fails_over = False
    store_proxies: list[Proxy] = []  # noqa: RUF012 - a socket in the file system: nothing to put a proxy into

    def __init__(self, directory: Path, python: list[str], stack: contextlib.ExitStack) -> None:
        data_dir = directory / "data"
        self.disk = _small_disk(data_dir, stack)
        service = ServiceProcess(data_dir, python=python)
        self.services = [service]
        _start(service, stack)
        self.proxies = [_proxy("127.0.0.1", service.port, stack)]

    def store(self) -> redis.Redis:
        return _client(DataDir(self.services[0].data_dir).socket_path)

    def kill_primary(self) -> None:
        self.services[0].kill_store()

    def pause_primary(self) -> None:
        os.kill(self.services[0].store_pid(), signal.SIGSTOP)

    def resume_primary(self) -> None:
        os.kill(self.services[0].store_pid(), signal.SIGCONT)

    def restart(self) -> None:
        """Its service does."""

    def failover(self) -> None:
        raise NotImplementedError("there is one store")


class Standalone:
    """Two services on one Valkey, each behind a proxy on either side."""

    name = "standalone"
    fails_over = False
    disk = None

    def __init__(self, directory: Path, python: list[str], stack: contextlib.ExitStack) -> None:
        self._directory = directory / "valkey"
        self._directory.mkdir(parents=True)
        self._running = stack.enter_context(contextlib.ExitStack())
        self._server: RunningServer
        self.store_proxies = []
        self._run()
        self.store_proxies = [_proxy("127.0.0.1", self._server.port, stack) for _ in range(2)]
        self.services = [
            ServiceProcess(directory / f"service-{number}" / "data", store=f"redis://{proxy.address}/0", python=python)
            for number, proxy in enumerate(self.store_proxies)
        ]
        for service in self.services:
            _start(service, stack)
        self.proxies = [_proxy("127.0.0.1", service.port, stack) for service in self.services]

    def _run(self) -> None:
        self._server = self._running.enter_context(running_server(valkey_server(), *FSYNC, directory=self._directory))
        for proxy in self.store_proxies:
            proxy.redirect(self._server.port)

    def store(self) -> redis.Redis:
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

    def failover(self) -> None:
        raise NotImplementedError("there is one store")


TOPOLOGIES: dict[str, Callable[[Path, list[str], contextlib.ExitStack], Topology]] = {
    "embedded": Embedded,
    "standalone": Standalone,
}


@contextlib.contextmanager
def running(name: str, directory: Path, python: list[str]) -> Iterator[Topology]:
    """Runs one; `python` is how the interpreter is told to run the service's command line."""
    with contextlib.ExitStack() as stack:
        yield TOPOLOGIES[name](directory, python, stack)


def ready(topology: Topology) -> None:
    """Returns once the store answers and each service runs."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with contextlib.closing(topology.store()) as store:
                store.ping()
            return
        except (redis.RedisError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _client(socket_path: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_path), retry=Retry(NoBackoff(), 0), socket_timeout=10)


def _start(service: ServiceProcess, stack: contextlib.ExitStack) -> None:
    service.start()

    def end() -> None:
        if service.process.poll() is None:
            service.process.send_signal(signal.SIGCONT)
            service.stop()

    stack.callback(end)


def _proxy(host: str, port: int, stack: contextlib.ExitStack) -> Proxy:
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
