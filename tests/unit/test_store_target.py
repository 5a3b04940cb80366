"""What `--store` means, and that connections made from it send a write once and a read at most twice."""

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.problems import StoreRefusedError
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.servers import fake_server

SECRET = "s3cret"


def test_embedded_needs_no_address() -> None:
    assert StoreTarget.parse("embedded") == StoreTarget("embedded")
    assert StoreTarget.parse("embedded").location == "embedded"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://db", StoreTarget("redis", host="db")),
        ("redis://db:7000/3", StoreTarget("redis", host="db", port=7000, db=3)),
        ("redis://[::1]:7000", StoreTarget("redis", host="::1", port=7000)),
        ("redis://:p%40ss%2F@db/", StoreTarget("redis", host="db", password="p@ss/")),
        ("redis://ann:pw@db/1", StoreTarget("redis", host="db", db=1, username="ann", password="pw")),
        ("rediss://db:7000", StoreTarget("rediss", host="db", port=7000)),
        (
            "rediss://db?ssl_ca_certs=/etc/ca.pem",
            StoreTarget("rediss", host="db", tls_files=(("ssl_ca_certs", "/etc/ca.pem"),)),
        ),
        (
            "redis+sentinel://ann:pw@a:7000,b/main/2?sentinel_password=s",
            StoreTarget(
                "redis",
                host="a",
                port=7000,
                db=2,
                username="ann",
                password="pw",
                kind="sentinel",
                hosts=(("a", 7000), ("b", 26379)),
                service_name="main",
                sentinel_password="s",
            ),
        ),
        (
            "rediss+cluster://a:7000,b?ssl_ca_certs=/etc/ca.pem",
            StoreTarget(
                "rediss",
                host="a",
                port=7000,
                tls_files=(("ssl_ca_certs", "/etc/ca.pem"),),
                kind="cluster",
                hosts=(("a", 7000), ("b", 6379)),
            ),
        ),
        ("unix:///run/redis.sock", StoreTarget("unix", path="/run/redis.sock")),
        ("unix:///run/a@b.sock?db=2", StoreTarget("unix", path="/run/a@b.sock", db=2)),
        ("unix://ann:pw@/run/s", StoreTarget("unix", path="/run/s", username="ann", password="pw")),
    ],
)
def test_a_store_url_is_read_part_by_part(text: str, expected: StoreTarget) -> None:
    assert StoreTarget.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected embedded, redis://"),
        ("localhost:6379", "expected embedded, redis://"),
        ("http://db", "unknown scheme http://"),
        ("redis+memcached://a", "unknown scheme redis+memcached://"),
        ("unix+cluster://a", "unknown scheme unix+cluster://"),
        ("redis+sentinel://a,b", "needs the Sentinels' name of the primary, as in host:26379/mymaster/0"),
        ("redis+sentinel://a,b/main/zero", "the database is a number"),
        ("redis+sentinel:///main", "the host is missing"),
        ("redis+sentinel://a,,b/main", "a host is missing"),
        ("redis+sentinel://a:99999/main", "the host or port is not valid"),
        ("redis+sentinel://a/main?ssl_ca_certs=x", "redis+sentinel:// has no option 'ssl_ca_certs'"),
        ("redis+cluster://a:1/0", "has no database and no path"),
        (f"redis+cluster://ann:{SECRET}#x@db", "percent-encoded"),
        ("redis+cluster://a?sentinel_password=x", "redis+cluster:// has no option 'sentinel_password'"),
        ("redis://", "the host is missing"),
        ("redis:///0", "the host is missing"),
        (f"redis://ann:{SECRET}/x@db", "percent-encoded"),
        (f"redis://ann:{SECRET}#x@db", "percent-encoded"),
        ("redis://db:99999", "the host or port is not valid"),
        ("redis://db/zero", "the database is a number"),
        ("redis://db/-1", "the database is a number"),
        (f"redis://{SECRET}@db", "a user without a password"),
        ("redis://db?db=2", "redis:// has no option 'db'"),
        ("redis://db?ssl_cert_reqs=none", "has no option 'ssl_cert_reqs'"),
        ("unix://redis.sock", "an absolute path"),
        ("unix://", "an absolute path"),
    ],
)
def test_a_store_url_that_does_not_hold_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(StoreRefusedError) as refusal:
        StoreTarget.parse(text)
    message = str(refusal.value)
    assert says in message
    assert "\n" not in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("text", "location"),
    [
        (f"redis://ann:{SECRET}@db", "redis://db:6379/0"),
        (f"rediss://:{SECRET}@db:7000/2", "rediss://db:7000/2"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        (f"unix://:{SECRET}@/run/s?db=2", "unix:///run/s?db=2"),
        (f"redis+sentinel://:{SECRET}@a,b:1/m?sentinel_password={SECRET}", "redis+sentinel://a:26379,b:1/m/0"),
        (f"rediss+cluster://ann:{SECRET}@a,b:1", "rediss+cluster://a:6379,b:1"),
        ("unix:///run/s", "unix:///run/s"),
    ],
)
def test_the_location_shows_no_credentials(text: str, location: str) -> None:
    target = StoreTarget.parse(text)
    assert target.location == location
    assert SECRET not in repr(target)


def test_the_location_of_a_target_is_read_as_the_same_place() -> None:
    for text in ("redis://[::1]:7000/3", "unix:///run/s?db=2", "redis+sentinel://a:1,b:2/m/1", "redis+cluster://a:1"):
        assert StoreTarget.parse(StoreTarget.parse(text).location) == StoreTarget.parse(text)


def close_on_data(command: list[str]) -> bytes | None:
    """Answers what a connection begins with, and dies when asked for anything else."""
    return b"+OK\r\n" if command[0] == "CLIENT" else None


async def test_a_write_is_sent_once_when_the_server_dies_before_it_answers() -> None:
    async with fake_server(close_on_data) as fake:
        connections = connect(StoreTarget.parse(fake.url))
        with pytest.raises(RedisConnectionError):
            await connections.writes.set("key", "value")
        with pytest.raises(RedisConnectionError):
            await connections.writes.evalsha("0" * 40, 1, "key")
        await connections.aclose()
    assert fake.count("SET") == 1
    assert fake.count("EVALSHA") == 1


async def test_a_write_is_sent_once_when_the_server_dies_on_a_connection_used_before() -> None:
    answered = iter([b"+OK\r\n"])
    async with fake_server(lambda command: close_on_data(command) or next(answered, None)) as fake:
        connections = connect(StoreTarget.parse(fake.url))
        await connections.writes.set("key", "1")
        with pytest.raises(RedisConnectionError):
            await connections.writes.set("key", "2")
        await connections.aclose()
    assert [command[2] for command in fake.commands if command[0] == "SET"] == ["1", "2"]


async def test_a_read_is_sent_once_more_when_the_connection_breaks() -> None:
    async with fake_server(close_on_data) as fake:
        connections = connect(StoreTarget.parse(fake.url))
        with pytest.raises(RedisConnectionError):
            await connections.reads.get("key")
        await connections.aclose()
    assert fake.count("GET") == 2


async def test_connections_are_named_but_do_not_depend_on_it() -> None:
    def forbid(command: list[str]) -> bytes:
        return b"-NOPERM this user may not\r\n" if command[0] == "CLIENT" else b"+OK\r\n"

    async with fake_server(forbid) as fake:
        connections = connect(StoreTarget.parse(fake.url))
        await connections.reads.set("key", "value")
        await connections.writes.set("key", "value")
        await connections.aclose()
    names = [command[2] for command in fake.commands if command[:2] == ["CLIENT", "SETNAME"]]
    assert names == ["promptwire-read", "promptwire-write"]


async def test_an_embedded_target_has_to_be_started_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="started first"):
        connect(StoreTarget("embedded"))
