"""Where the store is (`--store`), and the connections to it.

Reads and writes have connections of their own. A read may be repeated by the driver; a write is sent once,
whatever happens: whether to repeat it is for the client to say, with the same request id.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from promptwire_service.storage.redis.problems import ANSWER_SECONDS, CONNECT_SECONDS, StoreRefusedError

Scheme = Literal["embedded", "redis", "rediss", "unix"]

DEFAULT_PORT = 6379
MAX_CONNECTIONS = 64
"""Of each of the two clients, opened as needed. Many help writes: those that wait together share an fsync."""
POOL_WAIT_SECONDS = 5.0
"""How long a call waits for a free connection when all are taken."""

_FORMS = "embedded, redis://[user:password@]host:port/db, rediss://... or unix:///path"
_LATER = ("redis+sentinel", "redis+cluster")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "redis": (),
    "rediss": ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    "unix": ("db",),
}


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """A parsed `--store`. Neither its text nor its errors show credentials."""

    scheme: Scheme
    host: str = ""
    port: int = DEFAULT_PORT
    db: int = 0
    path: str = ""
    """Of the socket, for `unix`."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls_files: tuple[tuple[str, str], ...] = ()
    """`ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` of a `rediss` URL, as far as given."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises StoreRefusedError, which says what is wrong and how it is written."""
        if text == "embedded":
            return cls("embedded")
        scheme, separator, rest = text.partition("://")
        if not separator:
            raise StoreRefusedError(f"--store: expected {_FORMS}")
        if scheme in _LATER:
            raise StoreRefusedError(f"--store: {scheme}:// is not supported yet; give a primary, redis://")
        if scheme not in _OPTIONS:
            raise StoreRefusedError(f"--store: unknown scheme {scheme}://; expected {_FORMS}")
        return cls._parse_unix(rest) if scheme == "unix" else cls._parse_tcp(cast(Scheme, scheme), text)

    @classmethod
    def _parse_tcp(cls, scheme: Scheme, text: str) -> Self:
        try:
            url = urlsplit(text)
            port = DEFAULT_PORT if url.port is None else url.port
        except ValueError:
            # urlsplit's own words quote what it took for a port, which may be a piece of the password.
            raise StoreRefusedError(
                f"--store: the host or port is not valid; {_in_percent('user and password')}"
            ) from None
        if url.fragment:
            raise StoreRefusedError(f"--store: '#' is not expected; {_in_percent('user and password')}")
        if not url.hostname:
            raise StoreRefusedError(f"--store: the host is missing; expected {scheme}://host:port/db")
        options = _options(scheme, url.query)
        username, password = _credentials(url)
        return cls(
            scheme,
            host=unquote(url.hostname),
            port=port,
            db=_database(url.path.removeprefix("/")),
            username=username,
            password=password,
            tls_files=tuple(sorted(options.items())),
        )

    @classmethod
    def _parse_unix(cls, rest: str) -> Self:
        address, _, query = rest.partition("?")
        # Only what stands before the first slash can be credentials: a path may hold an '@'.
        authority, slash, path = address.partition("/")
        if not slash or (authority and not authority.endswith("@")):
            raise StoreRefusedError("--store: unix:// needs an absolute path, as in unix:///run/redis.sock")
        username, password = _credentials(urlsplit(f"unix://{authority}"))
        return cls(
            "unix",
            path="/" + unquote(path),
            db=_database(_options("unix", query).get("db", "")),
            username=username,
            password=password,
        )

    @property
    def location(self) -> str:
        """Where it is, without credentials, in the form of `--store`."""
        match self.scheme:
            case "embedded":
                return "embedded"
            case "unix":
                return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.db}"


@dataclass(frozen=True, slots=True)
class Connections:
    """Two clients of one store, each with a pool of its own; a call that finds its whole pool taken waits."""

    reads: Redis
    """Repeats a command once when the connection breaks. For what may happen twice, and for pub/sub."""
    writes: Redis
    """Sends a command once and never again."""

    async def aclose(self) -> None:
        try:
            await self.reads.aclose()
        finally:
            await self.writes.aclose()


def connect(target: StoreTarget) -> Connections:
    """Clients of a store that runs. Nothing is sent until the first command."""
    if target.scheme == "embedded":
        raise ValueError("an embedded store is started first and then reached by its socket")
    return Connections(
        # Connection errors only: after a time-out the caller has waited long enough.
        reads=_client(target, "promptwire-read", Retry(NoBackoff(), 1, (RedisConnectionError,))),
        writes=_client(target, "promptwire-write", Retry(NoBackoff(), 0)),
    )


def _client(target: StoreTarget, name: str, retry: Retry) -> Redis:
    connection_class: type[AbstractConnection]
    address: dict[str, Any]
    if target.scheme == "unix":
        connection_class, address = UnixDomainSocketConnection, {"path": target.path}
    else:
        connection_class = SSLConnection if target.scheme == "rediss" else Connection
        address = {"host": target.host, "port": target.port, **dict(target.tls_files)}
    pool = BlockingConnectionPool(
        connection_class=connection_class,
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_WAIT_SECONDS,
        db=target.db,
        username=target.username,
        password=target.password,
        retry=retry,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        health_check_interval=0,
        decode_responses=True,
        # RESP2 needs no HELLO: one round trip less per connection, and no right to HELLO in an ACL.
        protocol=2,
        redis_connect_func=_introduce(name),
        **address,
    )
    return Redis.from_pool(pool)


def _introduce(name: str) -> Any:
    """Names each new connection, for CLIENT LIST. redis-py's `client_name` fails where an ACL forbids it."""

    async def introduce(connection: AbstractConnection) -> None:
        await connection.on_connect()
        await connection.send_command("CLIENT", "SETNAME", name, check_health=False)
        with suppress(NoPermissionError):
            await connection.read_response()

    return introduce


def _credentials(url: SplitResult) -> tuple[str | None, str | None]:
    if url.username and not url.password:
        raise StoreRefusedError("--store: a user without a password; a password alone is ://:password@")
    return unquote(url.username or "") or None, unquote(url.password or "") or None


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise StoreRefusedError("--store: the database is a number, as in redis://host:6379/0")
    return int(text)


def _options(scheme: str, query: str) -> dict[str, str]:
    """What follows '?'. An unknown option is refused: ignored, it would be a setting that does not hold."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(_OPTIONS[scheme]))
    if unknown:
        known = ", ".join(_OPTIONS[scheme]) or "none"
        raise StoreRefusedError(f"--store: {scheme}:// has no option {unknown[0]!r}; options: {known}")
    return options


def _in_percent(what: str) -> str:
    return f"special characters in {what} are percent-encoded (@ is %40, / is %2F, # is %23)"
