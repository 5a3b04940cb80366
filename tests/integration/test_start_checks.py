"""What is said at start about a server that will not do, on real servers as far as they can be made to misbehave."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from promptwire_service.storage.durability import Durability
from promptwire_service.storage.redis import checks
from promptwire_service.storage.redis.checks import ServerFacts, check_server
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.problems import StoreRefusedError, StoreStartError, StoreUnreachableError
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.servers import (
    REDIS_SERVER,
    RunningServer,
    bulk,
    fake_server,
    free_port,
    have_redis_server,
    running_server,
    until,
    valkey_server,
)

FSYNC = ("--appendonly", "yes", "--appendfsync", "always")
LUA = Path(checks.__file__).with_name("lua")

needs_redis = pytest.mark.skipif(not have_redis_server(), reason="Debian's redis-server is not installed")


@pytest.fixture(params=["valkey", pytest.param("redis", marks=[pytest.mark.redis, needs_redis])])
def binary(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs on Valkey and, where it is installed, on Redis."""
    return str(valkey_server()) if request.param == "valkey" else str(REDIS_SERVER)


async def check(url: str, durability: Durability = Durability.FSYNC, *, loading_seconds: float = 10.0) -> ServerFacts:
    connections = connect(StoreTarget.parse(url))
    try:
        return await check_server(connections.reads, durability, loading_seconds=loading_seconds)
    finally:
        await connections.aclose()


async def refusal(url: str, durability: Durability = Durability.FSYNC) -> str:
    return await failure(url, StoreRefusedError, durability)


async def failure(url: str, kind: type[StoreStartError], durability: Durability = Durability.FSYNC) -> str:
    with pytest.raises(kind) as failed:
        await check(url, durability)
    message = str(failed.value)
    assert "\n" not in message
    return message


@contextlib.contextmanager
def user_server(binary: str, *rules: str) -> Iterator[str]:
    """A server in fsync mode and the URL of a user there who has these ACL rules."""
    with running_server(binary, *FSYNC) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "ann", "on", ">pw", *rules)
        yield server.url.replace("redis://", "redis://ann:pw@")


async def test_a_server_that_fsyncs_is_accepted_and_named(binary: str) -> None:
    with running_server(binary, *FSYNC) as server:
        facts = await check(server.url)
    assert re.fullmatch(r"(redis 7\.0\.\d+|valkey 9\.\d+\.\d+)", facts.text)
    assert facts.warnings == ()


async def test_a_server_is_accepted_over_its_unix_socket(binary: str) -> None:
    with running_server(binary, *FSYNC) as server:
        await check(f"unix://{server.socket_path}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "appendonly is no and must be yes; appendfsync is everysec and must be always"),
        (("--appendonly", "yes"), "fsync: appendfsync is everysec and must be always;"),
        ((*FSYNC, "--no-appendfsync-on-rewrite", "yes"), "no-appendfsync-on-rewrite is yes and must be no"),
        ((*FSYNC, "--maxmemory-policy", "allkeys-lru"), "maxmemory-policy is allkeys-lru and must be noeviction"),
    ],
)
async def test_fsync_is_refused_when_the_configuration_does_not_hold_it(
    binary: str, arguments: tuple[str, ...], says: str
) -> None:
    with running_server(binary, *arguments) as server:
        message = await refusal(server.url)
    assert says in message
    assert "pick another --durability" in message


@pytest.mark.parametrize("rules", [("+@all", "-config"), ("+@all", "-config|get")])
async def test_fsync_is_refused_when_it_cannot_be_verified(binary: str, rules: tuple[str, ...]) -> None:
    with user_server(binary, "~*", "&*", *rules) as url:
        message = await refusal(url)
        assert (await check(url, Durability.NONE)).warnings
    assert "--durability fsync can't be verified; permit it or pick another --durability" in message
    assert "pw@" not in message


async def test_durability_none_warns_that_writes_may_be_lost(binary: str) -> None:
    with running_server(binary) as server:
        (warning,) = (await check(server.url, Durability.NONE)).warnings
    assert "acknowledged writes may be lost" in warning


@pytest.mark.parametrize(
    ("policy", "says"), [("allkeys-lru", "prompts may vanish"), ("volatile-lru", "may forget the answer to a write")]
)
async def test_durability_none_warns_of_eviction(binary: str, policy: str, says: str) -> None:
    with running_server(binary, "--maxmemory-policy", policy) as server:
        _, warning = (await check(server.url, Durability.NONE)).warnings
    assert policy in warning
    assert says in warning


@pytest.mark.parametrize("over_socket", [False, True], ids=["tcp", "socket"])
async def test_a_password_is_asked_for_and_verified(binary: str, over_socket: bool) -> None:
    def url(credentials: str, server: RunningServer) -> str:
        place = server.socket_path if over_socket else f"127.0.0.1:{server.port}/0"
        return f"{'unix' if over_socket else 'redis'}://{credentials}{place}"

    with running_server(binary, *FSYNC, "--requirepass", "right") as server:
        none = await refusal(url("", server))
        wrong = await refusal(url(":wrong@", server))
        await check(url(":right@", server))
    assert "asks for a password (NOAUTH)" in none
    assert "does not accept the user and password" in wrong
    assert "wrong@" not in wrong


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (("~*", "&*", "+@all", "-info"), "does not permit our user INFO"),
        (("~*", "&*", "+@all", "-eval"), "does not permit our user EVAL"),
        (("~*", "&*", "+@all", "-xadd", "-evalsha"), "does not permit our user xadd, evalsha "),
        (("~other:*", "&*", "+@all"), "does not permit our user exists, expire, "),
        (("~*", "resetchannels", "+@all"), "does not permit our user publish, subscribe "),
    ],
)
async def test_a_user_without_the_needed_rights_is_refused(binary: str, rules: tuple[str, ...], says: str) -> None:
    with user_server(binary, *rules) as url:
        assert says in await refusal(url)


async def test_a_user_with_exactly_the_needed_rights_is_accepted(binary: str) -> None:
    commands = (*checks.NEEDED_COMMANDS, *checks.NOTIFY_COMMANDS)
    needed = {f"+{command.split()[0]}" for command in commands} | {"+eval", "+config|get"}
    with user_server(binary, "~pw:*", "&pw:*", *needed) as url:
        await check(url)


def test_the_needed_commands_are_those_that_the_scripts_call() -> None:
    called = {
        name.lower()
        for script in LUA.glob("*.lua")
        for name in re.findall(r"(?:redis\.p?call|defer|call_in_parts)\(\s*['\"](\w+)['\"]", script.read_text())
    }
    needed = {command.split()[0] for command in (*checks.NEEDED_COMMANDS, *checks.NOTIFY_COMMANDS)}
    assert called
    assert needed - called == {"evalsha", "scan", "subscribe"}
    assert called <= needed


async def test_a_replica_is_refused_and_names_its_primary(binary: str) -> None:
    port = free_port()
    with running_server(binary, "--replicaof", f"127.0.0.1 {port}") as server:
        assert f"is a replica of 127.0.0.1:{port}; give the primary" in await refusal(server.url)


async def test_a_full_server_is_refused(binary: str) -> None:
    with running_server(binary, *FSYNC, "--maxmemory", "1kb") as server:
        message = await refusal(server.url)
    assert "is full" in message
    assert "maxmemory 1.00K" in message


async def test_a_server_that_waits_for_replicas_is_refused(binary: str) -> None:
    with running_server(binary, *FSYNC, "--min-replicas-to-write", "1") as server:
        assert "too few replicas" in await refusal(server.url)


async def test_a_server_that_cannot_save_is_refused(binary: str) -> None:
    with running_server(binary, "--save", "3600 1000") as server, server.client() as client:
        # A directory in the place of the file it saves to.
        (server.directory / "dump.rdb").mkdir()
        client.bgsave()
        await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        assert "can't write to its disk (MISCONF)" in await refusal(server.url, Durability.NONE)
        # Otherwise it would try to save when it is told to end, and refuse to.
        client.config_set("save", "")


async def test_a_node_of_a_cluster_is_refused_as_a_server_by_itself(binary: str) -> None:
    with running_server(binary, "--cluster-enabled", "yes") as server:
        assert "is a node of a Cluster; give redis+cluster://host:port" in await refusal(server.url)


async def test_a_sentinel_is_refused(binary: str) -> None:
    with running_server(binary, "--sentinel") as server:
        assert "is a Sentinel" in await refusal(server.url)


async def test_a_database_that_is_not_there_is_refused(binary: str) -> None:
    with running_server(binary, *FSYNC) as server:
        assert "no database of this number" in await refusal(f"redis://127.0.0.1:{server.port}/99")


@pytest.fixture
def loading_server(binary: str, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that takes a second to read its data."""
    with running_server(binary, *FSYNC, directory=tmp_path) as server, server.client() as client:
        client.mset({f"key:{number}": "value" for number in range(1000)})
        client.bgrewriteaof()
        done = "aof_rewrite_in_progress"
        while client.info("persistence")[done] or client.info("persistence")["aof_rewrite_scheduled"]:
            pass
    # Microseconds a key; and answers are given in between after each so many bytes read.
    slow = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    with running_server(binary, *FSYNC, *slow, directory=tmp_path, until_loaded=False) as server:
        yield server


async def test_a_server_that_loads_its_data_is_waited_for(loading_server: RunningServer) -> None:
    with loading_server.client() as client:
        assert client.info("persistence")["loading"] == 1
        await check(loading_server.url, loading_seconds=60)
        assert client.dbsize() == 1000


async def test_a_server_that_loads_for_too_long_is_given_up(loading_server: RunningServer) -> None:
    with pytest.raises(StoreUnreachableError, match=r"still loading its data after 0.01 s \(at .*%\)"):
        await check(loading_server.url, loading_seconds=0.01)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ("redis_version:6.2.14\r\n", "is redis 6.2.14, which is too old; use Redis >= 7.0 or Valkey >= 7.2"),
        ("redis_version:6.0.16\r\nvalkey_version:7.0.0\r\n", "is valkey 7.0.0, which is too old"),
        ("version:1\r\n", "answers, but not as Redis or Valkey do"),
    ],
)
async def test_a_server_that_is_too_old_is_refused(info: str, says: str) -> None:
    async with fake_server(lambda command: bulk(info) if command[0] == "INFO" else b"+OK\r\n") as fake:
        assert says in await refusal(fake.url)


async def test_a_server_without_a_free_connection_cannot_be_reached() -> None:
    # A real one may reset the connection before its answer has arrived.
    async with fake_server(lambda command: b"-ERR max number of clients reached\r\n") as fake:
        assert "has no connection free" in await failure(fake.url, StoreUnreachableError)


async def test_protected_mode_is_named() -> None:
    async with fake_server(lambda command: b"-DENIED Redis is running in protected mode because ...\r\n") as fake:
        assert "is in protected mode" in await refusal(fake.url)


@contextlib.asynccontextmanager
async def speaking(answer: bytes) -> AsyncIterator[str]:
    """A URL at which something answers whatever is sent with these bytes, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def test_another_protocol_is_told_from_redis() -> None:
    async with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as url:
        assert "does not speak the Redis protocol" in await refusal(url)


async def test_a_server_that_hangs_up_cannot_be_reached() -> None:
    async with speaking(b"") as url:
        assert "it closed the connection; is it a TLS port" in await failure(url, StoreUnreachableError)


async def test_a_server_that_does_not_speak_tls_cannot_be_reached_with_it(binary: str) -> None:
    with running_server(binary, *FSYNC) as server:
        message = await failure(server.url.replace("redis://", "rediss://"), StoreUnreachableError)
    assert message.startswith("rediss://127.0.0.1")
    assert "no answer" in message
    assert "is it a TLS port?" in message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_is_named(host: str) -> None:
    message = await failure(f"redis://{host}:{free_port()}/0", StoreUnreachableError)
    assert "is the server running there?" in message


async def test_a_host_that_is_not_known_is_named() -> None:
    assert "host name is not known" in await failure("redis://no-such-host.invalid", StoreUnreachableError)


async def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no such socket" in await failure(f"unix://{tmp_path}/socket", StoreUnreachableError)


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptwire_service.storage.redis.connection.ANSWER_SECONDS", 0.05)
    # Connections are made by the kernel, and nobody accepts them.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert "no answer" in await failure(url, StoreUnreachableError)
