"""The store behind Sentinels, on a Cluster, with replicas, over TLS: what is checked at start, and what faults do."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptwire.domain.content import Content
from promptwire_service.domain.changes import LogHead
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import Register, SetAlias, Write, Written
from promptwire_service.storage.base import StoreInfo
from promptwire_service.storage.durability import Durability
from promptwire_service.storage.opening import open_connections
from promptwire_service.storage.redis.checks import CLUSTER_COMMANDS, NEEDED_COMMANDS, NOTIFY_COMMANDS
from promptwire_service.storage.redis.connection import Replicas
from promptwire_service.storage.redis.notifications import notify_channel
from promptwire_service.storage.redis.problems import StoreStartError
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.store import RedisStore, meta_key
from tests.support import certificates, topologies
from tests.support.servers import REDIS_SERVER, until
from tests.support.topologies import FSYNC, Node, Topology, move_slot, wait_until

NS = "default"


@contextlib.asynccontextmanager
async def opened(url: str, durability: Durability = Durability.NONE, replicas: int = 1) -> AsyncIterator[RedisStore]:
    found = await open_connections(url, Path("unused"), durability, Replicas(replicas, 0.5))
    store = RedisStore(found.connections, StoreInfo(url, found.facts.text, durability))
    try:
        yield store
    finally:
        await store.close()


async def refusal(url: str, durability: Durability = Durability.NONE, replicas: int = 1) -> str:
    with pytest.raises(StoreStartError) as refused:
        async with opened(url, durability, replicas):
            pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def register(store: RedisStore, text: str, request_id: str = "", namespace: str = NS) -> Written:
    content = Content(text)
    operation = Register(name="p", content=content, digest=content.digest, commit_message="", tags={})
    write = Write(operations=(operation,), request_id=request_id or uuid.uuid4().hex, actor="t")
    return await store.write(namespace, write)


def notifications(store: RedisStore) -> list[tuple[str, int]]:
    """What the store notifies of from now on."""
    notified: list[tuple[str, int]] = []
    store.on_notify(lambda *notification: notified.append(notification))
    return notified


class Writer:
    """Registers versions one after the other, each until it is acknowledged, under one request id."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.acknowledged: dict[int, str] = {}
        self.refused = 0
        self.stopped = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self.stopped:
            request_id = uuid.uuid4().hex
            while True:
                try:
                    written = await register(self.store, request_id, request_id)
                    break
                except RegistryError as error:
                    if error.reason != "STORE_UNAVAILABLE":
                        raise
                    self.refused += 1
                    await asyncio.sleep(0.02)
            assert written.results[0].version not in self.acknowledged
            self.acknowledged[written.results[0].version] = request_id

    async def goes_on(self, writes: int = 20) -> None:
        """Returns once so many more are acknowledged."""
        goal = len(self.acknowledged) + writes
        await until(lambda: self.task.done() or len(self.acknowledged) >= goal, 30)
        if self.task.done():
            await self.task

    async def stop(self) -> None:
        self.stopped = True
        await self.task

    async def check(self) -> None:
        """Everything acknowledged is there, once, and revisions are contiguous."""
        page = await self.store.read_log(NS, after=0, limit=100_000)
        assert [entry.number for entry in page.entries] == list(range(1, page.head.number + 1))
        assert len({entry.request_id for entry in page.entries}) == len(page.entries)
        newest = max(self.acknowledged)
        read = await self.store.list_versions(NS, "p", before=newest + 9, limit=10**6, max_bytes=10**9)
        assert {record.version: record.content.text for record in read.value} == self.acknowledged


async def test_what_nobody_understands_on_a_channel_deafens_nobody() -> None:
    with topologies.standalone(*FSYNC) as topology:
        async with opened(topology.url, Durability.FSYNC) as store:
            notified = notifications(store)
            await until(lambda: notified == [("", 0)])
            with topology.nodes[0].client() as client:
                assert client.publish(notify_channel(0), "grüß dich") == 1
            await register(store, "one")
            await until(lambda: notified == [("", 0), (NS, 1)])


# Sentinel


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Topology]:
    with topologies.sentinel(*FSYNC) as topology:
        yield topology


async def test_a_fail_over_loses_nothing_that_replicas_had_and_repeats_nothing() -> None:
    with topologies.sentinel() as topology:
        async with opened(topology.url, Durability.REPLICATED, replicas=2) as store:
            notified = notifications(store)
            writer = Writer(store)
            await writer.goes_on()
            before = (await store.read_log(NS, after=0, limit=1)).head
            old = topology.primary()
            old.kill()
            # Of two replicas one is left: two are promised, so writes wait until the old primary is back as a replica.
            wait_until(lambda: topology.primary() is not old, "another primary is named")
            # As a replica from the start: Sentinels take 8 s to make one of a primary that comes back.
            old.arguments = (*old.arguments, "--replicaof", f"127.0.0.1 {topology.primary().port}")
            old.start()
            await writer.goes_on()
            await writer.stop()
            after = (await store.read_log(NS, after=0, limit=1)).head
            assert after.epoch != before.epoch
            await writer.check()
            received = len(notified)
            await register(store, "last")
            await until(lambda: len(notified) > received)


async def test_a_primary_that_was_paused_over_a_fail_over_is_not_believed_again() -> None:
    with topologies.sentinel(replicas=1) as topology:
        async with opened(topology.url) as store:
            await register(store, "one")
            old = topology.primary()
            old.pause()
            wait_until(lambda: topology.primary() is not old, "another primary is named")
            await until_served(store)
            new = (await store.read_log(NS, after=0, limit=1)).head
            # As if a connection to the old one had survived, and the Sentinels had not told it yet what it is.
            for sentinel in topology.sentinels:
                sentinel.pause()
            old.resume()
            wait_until(old.answers, "the old primary answers")
            assert old.info()["role"] == "master"
            locator = store._connections._locator
            locator.primary, locator._said_at = ("127.0.0.1", old.port), float("inf")
            await store._connections.drop()
            with pytest.raises(RegistryError, match="a primary that was replaced has answered"):
                await store.read_log(NS, after=0, limit=1)
            locator._said_at = -float("inf")
            for sentinel in topology.sentinels:
                sentinel.resume()
            await until_served(store)
            assert (await store.read_log(NS, after=0, limit=1)).head.epoch == new.epoch


async def until_served(store: RedisStore) -> None:
    """Returns once a write is acknowledged."""
    request_id = uuid.uuid4().hex
    for _ in range(500):
        try:
            await register(store, "probe", request_id)
            return
        except RegistryError:
            await asyncio.sleep(0.05)
    raise TimeoutError("no write is acknowledged")


async def test_sentinels_that_do_not_help_are_explained(sentinels: Topology) -> None:
    hosts = sentinels.url.partition("://")[2].partition("/")[0]
    assert "no Sentinel names a primary called 'nobody'" in await refusal(f"redis+sentinel://{hosts}/nobody")
    plain = sentinels.primary().address
    assert "that is no Sentinel; is it a server" in await refusal(f"redis+sentinel://{plain}/prompts")
    assert "is a Sentinel, which keeps no data; give redis+sentinel://" in await refusal(
        f"redis://{hosts.split(',')[0]}/0"
    )
    assert "connection refused" in await refusal("redis+sentinel://127.0.0.1:1/prompts")


async def test_fsync_behind_sentinels_says_what_a_fail_over_loses(sentinels: Topology) -> None:
    found = await open_connections(sentinels.url, Path("unused"), Durability.FSYNC)
    await found.aclose()
    assert any("a fail-over loses acknowledged writes" in warning for warning in found.facts.warnings)


# Replicas


async def test_replicated_refuses_to_start_without_replicas() -> None:
    with topologies.standalone() as alone:
        message = await refusal(alone.url, Durability.REPLICATED)
    assert "has 0 replicas in sync: --durability replicated wants 1" in message


async def test_a_write_that_replicas_do_not_confirm_is_in_doubt_and_a_repeat_waits_for_them() -> None:
    with topologies.replicated() as topology:
        async with opened(topology.url, Durability.REPLICATED) as store:
            await register(store, "one")
            (replica,) = topology.replicas()
            replica.pause()
            for _ in range(2):
                with pytest.raises(RegistryError, match="0 of 1 replicas have the write") as failed:
                    await register(store, "two", "the-same-id")
                assert failed.value.reason == "STORE_UNAVAILABLE"
            replica.resume()
            wait_until(lambda: topology.primary().info()["slave0"]["lag"] == 0, "the replica is back")  # type: ignore[index]
            written = await register(store, "two", "the-same-id")
            assert (written.results[0].version, written.revision.number) == (2, 2)
            with replica.client() as client:
                assert client.hget(meta_key(NS), "revision") == "2"


# Cluster


@pytest.fixture(scope="module")
def shards() -> Iterator[Topology]:
    with topologies.cluster(*FSYNC, replicas=1) as topology:
        yield topology


def other(topology: Topology, owner: Node) -> Node:
    return next(node for node in topology.primaries() if node is not owner)


async def test_a_slot_that_is_moved_under_writes_loses_and_doubles_nothing(shards: Topology) -> None:
    async with opened(shards.url, Durability.FSYNC) as store:
        notified = notifications(store)
        writer = Writer(store)
        await writer.goes_on()
        owner = shards.owner_of(meta_key(NS))
        for _ in range(2):
            refused = writer.refused

            def until_refused(refused: int = refused) -> None:
                wait_until(lambda: writer.refused > refused, "a write meets the slot half way")

            await asyncio.to_thread(move_slot, shards, meta_key(NS), until_refused)
            await writer.goes_on()
        assert shards.owner_of(meta_key(NS)) is owner, "there and back"
        await writer.stop()
        await writer.check()
        number = (await register(store, "last")).revision.number
        await until(lambda: (NS, number) in notified)


async def test_a_shard_may_fail_over_under_writes() -> None:
    with topologies.cluster(*FSYNC, replicas=1) as topology:
        async with opened(topology.url, Durability.REPLICATED) as store:
            notified = notifications(store)
            writer = Writer(store)
            await writer.goes_on()
            old = topology.owner_of(meta_key(NS))
            old.kill()
            wait_until(lambda: topology.owner_of(meta_key(NS)) is not old, "the replica has taken over")
            old.start()  # with one replica promised, writes wait for it
            await writer.goes_on()
            await writer.stop()
            await writer.check()
            received = len(notified)
            await register(store, "last")
            await until(lambda: len(notified) > received)


async def test_a_primary_of_a_shard_that_hangs_is_left_for_the_one_that_takes_over() -> None:
    with topologies.cluster(replicas=1) as topology:
        async with opened(topology.url) as store:
            await register(store, "one")
            old = topology.owner_of(meta_key(NS))
            stop = store.on_notify(lambda *_: None)  # as every service has
            old.pause()
            await until_served(store)
            assert topology.owner_of(meta_key(NS)) is not old
            old.resume()
            stop()


async def test_namespaces_are_spread_over_the_primaries_and_one_subscription_hears_of_all(shards: Topology) -> None:
    names = [f"team-{number}" for number in range(12)]
    assert len({shards.owner_of(meta_key(name)).port for name in names}) > 1
    async with opened(shards.url, Durability.FSYNC) as store, opened(shards.url, Durability.FSYNC) as other_store:
        notified, others = notifications(store), notifications(other_store)
        await until(lambda: notified == others == [("", 0)])
        for name in names:
            await register(store, name, namespace=name)
        await until(lambda: sorted(notified) == sorted(others) == [("", 0), *sorted((name, 1) for name in names)])
        assert await store.publish("team-1", "test", "hello") == 2, "all subscriptions, whatever node they are on"


async def test_heads_take_one_round_trip_for_each_primary(shards: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"group-{number}" for number in range(100)]
    owners = {shards.owner_of(meta_key(name)).port for name in names}
    async with opened(shards.url, Durability.FSYNC) as store:
        written = {name: (await register(store, "one", namespace=name)).revision for name in names[:10]}
        assert {store.partition(name)[1] for name in names} == owners  # type: ignore[index]
        calls = []
        run = Script.run

        async def counted(self: Script, *arguments: Any) -> Any:
            calls.append(arguments)
            return await run(self, *arguments)

        monkeypatch.setattr(Script, "run", counted)
        heads = await store.read_heads(names)
        assert len(calls) == len(owners)
    assert [head.revision for head in heads[:10]] == list(written.values())  # type: ignore[union-attr]
    assert {head.revision.number for head in heads[10:]} == {0}  # type: ignore[union-attr]


async def test_a_namespace_whose_slot_is_away_does_not_keep_others_from_being_read(shards: Topology) -> None:
    async with opened(shards.url, Durability.FSYNC) as store:
        await register(store, "one")
        owner = shards.owner_of(meta_key(NS))
        neighbour = next(name for name in map("n{}".format, range(1_000)) if shards.owner_of(meta_key(name)) is owner)
        assert store.partition(NS) == store.partition(neighbour)
        await asyncio.to_thread(move_slot, shards, meta_key(NS), lambda: None)
        away, there = await store.read_heads([NS, neighbour])
        assert isinstance(away, RegistryError), "the old owner was asked, which does not have it any more"
        assert isinstance(there, LogHead)
        async with asyncio.timeout(10):
            while not isinstance((await store.read_heads([NS]))[0], LogHead):  # noqa: ASYNC110 - the layout is read anew
                await asyncio.sleep(0.05)
        await asyncio.to_thread(move_slot, shards, meta_key(NS), lambda: None)


async def test_scripts_that_the_server_forgot_are_sent_again(shards: Topology) -> None:
    async with opened(shards.url, Durability.FSYNC) as store:
        await store.read_prompts(NS, ["p"])
        with shards.owner_of(meta_key(NS)).client() as client:
            client.script_flush()
        await store.read_prompts(NS, ["p"])
        written = await register(store, "again")
        assert written.revision.number > 0


async def test_what_is_no_cluster_is_refused_as_one(sentinels: Topology) -> None:
    assert "is not a Cluster" in await refusal(f"redis+cluster://{sentinels.primary().address}")


async def test_a_user_of_a_cluster_needs_just_these_rights() -> None:
    commands = {f"+{command.split()[0]}" for command in (*NEEDED_COMMANDS, *NOTIFY_COMMANDS, *CLUSTER_COMMANDS)} | {
        "+eval",
        "+config|get",
    }
    with topologies.cluster(*FSYNC) as topology:
        for node in topology.nodes:
            with node.client() as client:
                client.execute_command("ACL", "SETUSER", "service", "on", ">pw", "~pw:*", "&pw:*", *commands, "+ping")
        place = topology.url.partition("://")[2]
        async with opened(f"redis+cluster://service:pw@{place}", Durability.FSYNC) as store:
            await register(store, "one")
            notified = notifications(store)
            await until(lambda: notified == [("", 0)])
        assert "does not accept the user and password" in await refusal(f"redis+cluster://service:no@{place}")


# TLS

needs_tls = pytest.mark.skipif(
    REDIS_SERVER is None or certificates.OPENSSL is None,
    reason="needs Debian's redis-server, which has TLS, and openssl",
)


@needs_tls
@pytest.mark.redis
async def test_a_server_over_tls_is_used_if_its_certificate_is_accepted(tmp_path: Path) -> None:
    made = certificates.make(tmp_path / "tls")
    with topologies.standalone(
        "--tls-port", "{tls_port}", *made.server_arguments, *FSYNC, binary=REDIS_SERVER
    ) as found:
        node = found.nodes[0]
        async with opened(f"rediss://localhost:{node.tls_port}/0?ssl_ca_certs={made.ca}", Durability.FSYNC) as store:
            assert (await register(store, "one")).results[0].version == 1
            notified = notifications(store)
            await until(lambda: notified == [("", 0)])
        assert "its certificate is not accepted" in await refusal(f"rediss://localhost:{node.tls_port}/0")
        assert "is it a TLS port?" in await refusal(f"rediss://localhost:{node.port}/0?ssl_ca_certs={made.ca}")


@needs_tls
@pytest.mark.redis
async def test_a_cluster_over_tls(tmp_path: Path) -> None:
    made = certificates.make(tmp_path / "tls")
    tls = ("--tls-port", "{tls_port}", *made.server_arguments, "--tls-cluster", "yes")
    with topologies.cluster(*tls, binary=REDIS_SERVER) as topology:
        first = f"rediss+cluster://127.0.0.1:{topology.nodes[0].tls_port}?ssl_ca_certs={made.ca}"
        async with opened(first) as store:
            for name in ("a", "b", "c", "d"):
                assert (await store.read_prompts(name, ["p"])).value == [None]
            nodes = {address[1] for address in store._connections._nodes}
        assert nodes == {node.tls_port for node in topology.nodes}, "the others are reached over TLS too"


async def test_alias_writes_go_through_a_cluster_too(shards: Topology) -> None:
    async with opened(shards.url, Durability.FSYNC) as store:
        made = await register(store, "x")
        move = SetAlias(name="p", alias="production", target=made.results[0].version)
        moved = await store.write(NS, Write(operations=(move,), request_id=uuid.uuid4().hex, actor="t"))
        assert moved.revision.number == made.revision.number + 1
