"""Several real servers that belong together, on loopback: replication, Sentinel, Cluster. All of one binary.

Each server may be killed, paused, and started again in the same directory on the same port; all end with the block, or
with the process.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from promptwire_service.storage.embedded import launch
from tests.support.servers import free_port, valkey_server

START_SECONDS = 20.0
STOP_SECONDS = 5.0
SERVICE_NAME = "prompts"
"""What the Sentinels call the primary."""
FSYNC = ("--appendonly", "yes", "--appendfsync", "always")


def wait_until(condition: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    """Tried again as long as it is false, or fails because a server is not there."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def port_with_bus() -> int:
    """Below the ports that the kernel gives to clients, with the port of the bus, 10,000 higher."""
    while True:
        port = random.randrange(20_000, 22_000)
        with contextlib.suppress(OSError):
            for number in (port, port + 10_000):
                socket.create_server(("127.0.0.1", number)).close()
            return port


@dataclass
class Node:
    """One server on a port of its own."""

    directory: Path
    arguments: tuple[str, ...] = ()
    binary: str | Path = field(default_factory=valkey_server)
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=port_with_bus)
    """Stands in `arguments` as `{tls_port}`, where a node is to have one."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    @property
    def bus_base_port(self) -> int:
        """The one by which a Cluster's nodes know each other."""
        return self.tls_port if "--tls-cluster" in self.arguments else self.port

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def client(self) -> redis.Redis:
        """Tries everything once."""
        return redis.Redis(
            port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=2, protocol=2
        )

    def start(self) -> "Node":
        """Begins to start; `wait_until(node.answers, ...)` tells when it has."""
        self.directory.mkdir(exist_ok=True)
        # Through the launcher of the embedded store, so that a killed test run leaves no servers behind.
        command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), "--", str(self.binary)]
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(*command, *self._configuration(), *settings),
                    *(argument.replace("{tls_port}", str(self.tls_port)) for argument in self.arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def _configuration(self) -> list[str]:
        """Sentinel and Cluster write theirs; what they wrote is what a restart goes on with."""
        return []

    def answers(self) -> bool:
        with self.client() as client:
            return bool(client.ping())

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.resume()
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def info(self, section: str = "replication") -> dict[str, object]:
        with self.client() as client:
            found: dict[str, object] = client.info(section)
            return found


@dataclass
class Sentinel(Node):
    """Watches one primary. Its settings live in a file that it rewrites."""

    primary: Node | None = None
    down_after_ms: int = 600

    def _configuration(self) -> list[str]:
        path = self.directory / "sentinel.conf"
        if not path.exists():
            assert self.primary is not None
            path.write_text(
                f"sentinel monitor {SERVICE_NAME} 127.0.0.1 {self.primary.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE_NAME} {self.down_after_ms}\n"
                f"sentinel failover-timeout {SERVICE_NAME} 3000\n"
                f"sentinel parallel-syncs {SERVICE_NAME} 5\n"
            )
        return [str(path), "--sentinel"]


@dataclass
class Topology:
    """The servers of one store, and the `--store` that names them."""

    nodes: list[Node]
    url: str
    sentinels: list[Sentinel] = field(default_factory=list)

    def primaries(self) -> list[Node]:
        """Servers that run and think that they are primaries."""
        found = []
        for node in self.nodes:
            with contextlib.suppress(redis.RedisError, OSError):
                if node.running and node.info()["role"] == "master":
                    found.append(node)
        return found

    def primary(self) -> Node:
        """The one whom the Sentinels name, or the only one."""
        if not self.sentinels:
            return self.primaries()[0]
        port = _named_port(self.sentinels)
        return next(node for node in self.nodes if node.port == port)

    def replicas(self) -> list[Node]:
        primary = self.primary()
        return [node for node in self.nodes if node is not primary]

    def owner_of(self, key: str) -> Node:
        """Of a Cluster: the primary that has a key's slot."""
        for node in self.nodes:
            with contextlib.suppress(redis.RedisError, OSError), node.client() as client:
                slot = int(client.execute_command("CLUSTER", "KEYSLOT", key))
                for row in client.execute_command("CLUSTER", "SLOTS"):
                    if int(row[0]) <= slot <= int(row[1]):
                        port = int(row[2][1])
                        return next(one for one in self.nodes if one.port == port)
        raise LookupError(f"nobody knows who has {key}")


def _named_port(sentinels: Sequence[Sentinel]) -> int:
    for sentinel in sentinels:
        with contextlib.suppress(redis.RedisError, OSError), sentinel.client() as client:
            address = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE_NAME)
            if address:
                return int(address[1])
    raise LookupError("no Sentinel names a primary")


@contextlib.contextmanager
def _home(nodes: list[Node]) -> Iterator[Path]:
    """A directory for all of them, who end with it."""
    path = Path(tempfile.mkdtemp(prefix="pw-", dir="/tmp"))
    try:
        yield path
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(path, ignore_errors=True)


def _started(nodes: Sequence[Node]) -> None:
    for node in nodes:
        node.start()
    for node in nodes:
        wait_until(node.answers, f"the server on {node.address} answers")


@contextlib.contextmanager
def standalone(*arguments: str, binary: str | Path | None = None) -> Iterator[Topology]:
    """One server."""
    nodes: list[Node] = []
    with _home(nodes) as home:
        nodes.append(Node(home / "0", arguments, binary or valkey_server()))
        _started(nodes)
        yield Topology(nodes, nodes[0].url)


@contextlib.contextmanager
def replicated(*arguments: str, replicas: int = 1, binary: str | Path | None = None) -> Iterator[Topology]:
    """A primary, and replicas that are connected."""
    nodes: list[Node] = []
    with _home(nodes) as home:
        nodes += _replicated(home, arguments, replicas, binary)
        yield Topology(nodes, nodes[0].url)


def _replicated(home: Path, arguments: tuple[str, ...], replicas: int, binary: str | Path | None) -> list[Node]:
    quick = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "5")
    primary = Node(home / "0", (*arguments, *quick), binary or valkey_server())
    following = (*arguments, *quick, "--replicaof", f"127.0.0.1 {primary.port}")
    others = [Node(home / str(number + 1), following, primary.binary) for number in range(replicas)]
    _started([primary, *others])
    for node in others:
        wait_until(lambda node=node: node.info()["master_link_status"] == "up", "a replica is in sync")  # type: ignore[misc]
    return [primary, *others]


@contextlib.contextmanager
def sentinel(
    *arguments: str, replicas: int = 2, sentinels: int = 3, binary: str | Path | None = None
) -> Iterator[Topology]:
    """A primary with replicas, and Sentinels that know all of them and each other."""
    nodes: list[Node] = []
    everybody: list[Node] = []
    with _home(everybody) as home:
        nodes += _replicated(home, arguments, replicas, binary)
        everybody += nodes
        watchers = [
            Sentinel(home / f"sentinel-{number}", binary=nodes[0].binary, primary=nodes[0])
            for number in range(sentinels)
        ]
        everybody += watchers
        _started(watchers)
        for watcher in watchers:
            wait_until(lambda watcher=watcher: _knows_all(watcher, replicas, sentinels), "the Sentinels know of all")  # type: ignore[misc]
        hosts = ",".join(watcher.address for watcher in watchers)
        yield Topology(nodes, f"redis+sentinel://{hosts}/{SERVICE_NAME}/0", watchers)


def _knows_all(watcher: Sentinel, replicas: int, sentinels: int) -> bool:
    with watcher.client() as client:
        state = client.execute_command("SENTINEL", "MASTER", SERVICE_NAME)
        known = state if isinstance(state, dict) else dict(zip(state[::2], state[1::2], strict=True))
        return int(known["num-slaves"]) >= replicas and int(known["num-other-sentinels"]) >= sentinels - 1


@contextlib.contextmanager
def cluster(
    *arguments: str, primaries: int = 3, replicas: int = 0, binary: str | Path | None = None
) -> Iterator[Topology]:
    """Primaries that share the slots evenly, each with so many replicas."""
    nodes: list[Node] = []
    with _home(nodes) as home:
        settings = (
            *arguments,
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000"),
            *("--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"),
        )
        nodes += [
            Node(home / str(number), settings, binary or valkey_server(), port_with_bus())
            for number in range(primaries * (1 + replicas))
        ]
        _started(nodes)
        _join(nodes, primaries)
        yield Topology(nodes, f"redis+cluster://{nodes[0].address},{nodes[-1].address}")


def move_slot(topology: Topology, key: str, paused: Callable[[], None] = lambda: None) -> None:
    """Moves a key's slot to another primary as redis-cli does: key by key, and then by name. `paused` runs half way."""
    source = topology.owner_of(key)
    target = next(node for node in topology.primaries() if node is not source)
    with source.client() as at_source, target.client() as at_target:
        slot = at_source.execute_command("CLUSTER", "KEYSLOT", key)
        ids = [client.execute_command("CLUSTER", "MYID") for client in (at_source, at_target)]
        at_target.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        at_source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        keys = sorted(at_source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100_000))
        # The meta key goes first: from then on its old owner says ASK, and the new one has only a part of the rest.
        keys.sort(key=lambda found: found != key)
        for index, found in enumerate(keys):
            at_source.execute_command("MIGRATE", "127.0.0.1", target.port, found, 0, 5000)
            if index == len(keys) // 2:
                paused()
        for client in (at_target, at_source):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])


def _join(nodes: list[Node], primaries: int) -> None:
    share = 16384 // primaries
    ids = {}
    for number, node in enumerate(nodes):
        with node.client() as client:
            ids[node.port] = client.execute_command("CLUSTER", "MYID")
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < primaries:
                last = 16383 if number == primaries - 1 else (number + 1) * share - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            for other in nodes[:number]:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.bus_base_port)
    for node in nodes:
        wait_until(lambda node=node: _nodes_known(node) == len(nodes), "the nodes know each other")  # type: ignore[misc]
    for number, node in enumerate(nodes[primaries:]):
        with node.client() as client:
            client.execute_command("CLUSTER", "REPLICATE", ids[nodes[number % primaries].port])
    for node in nodes:
        wait_until(lambda node=node: node.info("cluster") and _is_whole(node), "the cluster is whole")  # type: ignore[misc]
    for node in nodes[primaries:]:
        wait_until(lambda node=node: node.info().get("master_link_status") == "up", "a replica is in sync")  # type: ignore[misc]


def _nodes_known(node: Node) -> int:
    with node.client() as client:
        lines = client.execute_command("CLUSTER", "NODES")
        return len(lines) if isinstance(lines, dict) else len(lines.strip().splitlines())


def _is_whole(node: Node) -> bool:
    with node.client() as client:
        state = client.execute_command("CLUSTER", "INFO")
        return state["cluster_state"] == "ok" if isinstance(state, dict) else "cluster_state:ok" in state
