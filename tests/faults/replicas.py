"""Stores whose servers fail over: behind Sentinels, and on a Cluster. Both in the mode `replicated`."""

import contextlib
import random
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.topology import proxied, started
from tests.support import topologies
from tests.support.proxy import Proxy
from tests.support.service import ServiceProcess
from tests.support.topologies import FSYNC, Node, wait_until

FAIL_OVER_SECONDS = 60.0
OPEN = ("--maxmemory-policy", "noeviction")


def meta_key(namespace: str) -> str:
    return f"pw:{{{namespace}}}:meta"


class Replicated:
    """Two services on servers with replicas."""

    name = ""
    disk = None
    replicated = True
    replicas = 0
    """How many have to have a write: all that a primary has, so that whichever is promoted has it. While one is away,
    writes are UNAVAILABLE."""
    kinds: tuple[str, ...] = ("kill_primary", "pause_primary", "kill_replica", "pause_replica", "failover")

    def __init__(self, directory: Path, python: list[str], stack: contextlib.ExitStack) -> None:
        self.servers = self._run(stack)
        self.store_proxies: list[Proxy] = []
        self._draw = random.Random(0)
        self._hit: Node | None = None
        self.services = [
            ServiceProcess(
                directory / f"service-{number}" / "data",
                *("--durability", "replicated", "--replicas", str(self.replicas)),
                store=self.servers.url,
                python=python,
            )
            for number in range(2)
        ]
        for service in self.services:
            started(service, stack)
        self.proxies = [proxied("127.0.0.1", service.port, stack) for service in self.services]

    def _run(self, stack: contextlib.ExitStack) -> topologies.Topology:
        raise NotImplementedError

    def primary(self, namespace: str = "") -> Node:
        """The one that has a namespace."""
        raise NotImplementedError

    def replicas_of(self, primary: Node) -> list[Node]:
        found = []
        for node in self.servers.nodes:
            if node is not primary and node.running:
                info = node.info()
                if info["role"] == "slave" and info["master_port"] == primary.port:
                    found.append(node)
        return found

    def store(self, namespace: str = "") -> redis.Redis:
        return redis.Redis(port=self.primary(namespace).port, retry=Retry(NoBackoff(), 0), socket_timeout=10)

    def whole(self) -> bool:
        """Replicas of which each has what its primary has: else one more fault would be two at a time."""
        for namespace in ("red", "blue"):
            primary = self.primary(namespace)
            replicas, at_primary = self.replicas_of(primary), primary.info()
            if at_primary["role"] != "master" or len(replicas) < self.replicas:
                return False
            for replica in replicas:
                info = replica.info()
                if info["master_link_status"] != "up" or _offset(info) < int(str(at_primary["master_repl_offset"])):
                    return False
        return True

    def kill_primary(self) -> None:
        self._hit = self.primary(self._draw.choice(("red", "blue")))
        self._hit.kill()

    def pause_primary(self) -> None:
        self._hit = self.primary(self._draw.choice(("red", "blue")))
        self._hit.pause()

    def resume_primary(self) -> None:
        assert self._hit is not None
        self._hit.resume()

    def restart(self) -> None:
        assert self._hit is not None
        self._hit.start()

    def failed_over(self) -> None:
        """Returns once another server is named primary instead of the one that was hit."""
        wait_until(
            lambda: self._hit not in (self.primary("red"), self.primary("blue")), "a fail-over", FAIL_OVER_SECONDS
        )

    def hit_replica(self) -> Node:
        return self._draw.choice(self.replicas_of(self.primary(self._draw.choice(("red", "blue")))))

    def failover(self) -> None:
        raise NotImplementedError


class Sentinel(Replicated):
    """A primary and two replicas; three Sentinels."""

    name = "sentinel"
    kinds: tuple[str, ...] = (*Replicated.kinds, "restore")
    replicas = 2

    def _run(self, stack: contextlib.ExitStack) -> topologies.Topology:
        return stack.enter_context(topologies.sentinel(*FSYNC, *OPEN, replicas=2, sentinels=3))

    def primary(self, namespace: str = "") -> Node:
        return self.servers.primary()

    def failover(self) -> None:
        self._hit = self.servers.primary()

        def asked() -> bool:
            with self.servers.sentinels[0].client() as client:
                return bool(client.execute_command("SENTINEL", "FAILOVER", topologies.SERVICE_NAME))

        # Refused while the last one is still being finished.
        wait_until(asked, "the Sentinel begins a fail-over", FAIL_OVER_SECONDS)
        self.failed_over()


class Cluster(Replicated):
    """Three primaries with a replica each."""

    name = "cluster"
    kinds: tuple[str, ...] = (*Replicated.kinds, "move_slot")
    replicas = 1

    def _run(self, stack: contextlib.ExitStack) -> topologies.Topology:
        return stack.enter_context(topologies.cluster(*FSYNC, *OPEN, primaries=3, replicas=1))

    def primary(self, namespace: str = "") -> Node:
        """As those say who think that they are primaries of something, the newest word of the nodes first."""
        return _owner(self.servers, meta_key(namespace or "red"))

    def failover(self) -> None:
        self._hit = self.primary(self._draw.choice(("red", "blue")))
        replica = self._draw.choice(self.replicas_of(self._hit))
        with replica.client() as client:
            client.execute_command("CLUSTER", "FAILOVER")
        self.failed_over()

    def move_slot(self) -> None:
        key = meta_key(self._draw.choice(("red", "blue")))

        def moved() -> bool:
            topologies.move_slot(self.servers, key)
            return True

        # On a machine that is busy a step may take too long; the next attempt goes on where it was.
        wait_until(moved, "a slot is moved", FAIL_OVER_SECONDS)


def _owner(servers: topologies.Topology, key: str) -> Node:
    """As most of the nodes that answer say: one that was paused does not know yet."""
    named: list[int] = []
    for node in servers.nodes:
        with contextlib.suppress(redis.RedisError, OSError), node.client() as client:
            slot = int(client.execute_command("CLUSTER", "KEYSLOT", key))
            rows = client.execute_command("CLUSTER", "SLOTS")
            named += [int(row[2][1]) for row in rows if int(row[0]) <= slot <= int(row[1])]
    if not named:
        raise LookupError(f"nobody knows who has {key}")
    port = max(set(named), key=named.count)
    return next(node for node in servers.nodes if node.port == port)


def _offset(info: dict[str, object]) -> int:
    return int(str(info.get("slave_repl_offset", -1)))
