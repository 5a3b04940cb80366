"""Where the store is: `--store`, taken apart. Neither its text nor its errors show credentials."""

from dataclasses import dataclass, field, replace
from typing import Literal, Self, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from promptwire_service.storage.redis.problems import StoreRefusedError

Scheme = Literal["embedded", "redis", "rediss", "unix"]
Kind = Literal["server", "sentinel", "cluster"]
Address = tuple[str, int]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

_FORMS = (
    "embedded, redis://[user:password@]host:port/db, rediss://..., unix:///path, "
    "redis+sentinel://[user:password@]host:port,.../name/db or redis+cluster://[user:password@]host:port,..."
)
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_USER = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """A parsed `--store`."""

    scheme: Scheme
    host: str = ""
    """Of a single server, or the first of `hosts`."""
    port: int = DEFAULT_PORT
    db: int = 0
    path: str = ""
    """Of the socket, for `unix`."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls_files: tuple[tuple[str, str], ...] = ()
    """`ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` of a URL with TLS, as far as given."""
    kind: Kind = "server"
    hosts: tuple[Address, ...] = ()
    """The Sentinels, or some of the Cluster's nodes."""
    service_name: str = ""
    """What the Sentinels call the primary."""
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises StoreRefusedError, which says what is wrong and how it is written."""
        if text == "embedded":
            return cls("embedded")
        written, separator, rest = text.partition("://")
        if not separator:
            raise StoreRefusedError(f"--store: expected {_FORMS}")
        scheme, plus, kind = written.partition("+")
        if written not in ("redis", "rediss", "unix") and not (
            plus and scheme in ("redis", "rediss") and kind in ("sentinel", "cluster")
        ):
            raise StoreRefusedError(f"--store: unknown scheme {written}://; expected {_FORMS}")
        if scheme == "unix":
            return cls._parse_unix(rest)
        if plus:
            return cls._parse_many(cast(Scheme, scheme), cast(Kind, kind), text)
        return cls._parse_tcp(cast(Scheme, scheme), text)

    @classmethod
    def _parse_tcp(cls, scheme: Scheme, text: str) -> Self:
        url = _split(text)
        ((host, port),) = _addresses(url, DEFAULT_PORT, one=True)
        username, password = _credentials(url)
        return cls(
            scheme,
            host=host,
            port=port,
            db=_database(url.path.removeprefix("/")),
            username=username,
            password=password,
            tls_files=tuple(sorted(_options(scheme, url.query, _TLS_FILES if scheme == "rediss" else ()).items())),
        )

    @classmethod
    def _parse_many(cls, scheme: Scheme, kind: Kind, text: str) -> Self:
        url = _split(text)
        written = f"{scheme}+{kind}"
        hosts = _addresses(url, SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT)
        allowed = (*(_TLS_FILES if scheme == "rediss" else ()), *(_SENTINEL_USER if kind == "sentinel" else ()))
        options = _options(written, url.query, allowed)
        username, password = _credentials(url)
        target = cls(
            scheme,
            host=hosts[0][0],
            port=hosts[0][1],
            username=username,
            password=password,
            tls_files=tuple(sorted((name, value) for name, value in options.items() if name in _TLS_FILES)),
            kind=kind,
            hosts=hosts,
            sentinel_username=options.get("sentinel_username"),
            sentinel_password=options.get("sentinel_password"),
        )
        name, _, db = url.path.removeprefix("/").partition("/")
        if kind == "cluster":
            if url.path.strip("/"):
                raise StoreRefusedError(f"--store: {written}:// has no database and no path; a Cluster has only one")
            return target
        if not name:
            raise StoreRefusedError(
                f"--store: {written}:// needs the Sentinels' name of the primary, as in host:{SENTINEL_PORT}/mymaster/0"
            )
        return replace(target, service_name=unquote(name), db=_database(db))

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
            db=_database(_options("unix", query, ("db",)).get("db", "")),
            username=username,
            password=password,
        )

    @property
    def location(self) -> str:
        """Where it is, without credentials, in the form of `--store`."""
        if self.scheme == "embedded":
            return "embedded"
        if self.scheme == "unix":
            return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        if self.kind == "server":
            return f"{self.scheme}://{join(self.host, self.port)}/{self.db}"
        hosts = ",".join(join(*address) for address in self.hosts)
        path = f"/{self.service_name}/{self.db}" if self.kind == "sentinel" else ""
        return f"{self.scheme}+{self.kind}://{hosts}{path}"


def join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        # urlsplit's own words quote what it took for a host, which may be a piece of the password.
        raise _no_address() from None


def _addresses(url: SplitResult, default_port: int, one: bool = False) -> tuple[Address, ...]:
    if url.fragment:
        raise StoreRefusedError(f"--store: '#' is not expected; {_in_percent('user and password')}")
    authority = url.netloc.rpartition("@")[2]
    if not authority:
        # An unencoded slash in a password ends the authority before its host.
        raise StoreRefusedError(f"--store: the host is missing; expected {url.scheme}://host:port")
    parts = [authority] if one else authority.split(",")
    found = []
    for part in parts:
        try:
            single = urlsplit(f"//{part}")
            host, port = single.hostname, single.port
        except ValueError:
            raise _no_address() from None
        if not host:
            raise StoreRefusedError(f"--store: a host is missing; expected {url.scheme}://host:port,host:port")
        found.append((unquote(host), default_port if port is None else port))
    return tuple(found)


def _no_address() -> StoreRefusedError:
    return StoreRefusedError(f"--store: the host or port is not valid; {_in_percent('user and password')}")


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


def _options(scheme: str, query: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """What follows '?'. An unknown option is refused: ignored, it would be a setting that does not hold."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        known = ", ".join(allowed) or "none"
        raise StoreRefusedError(f"--store: {scheme}:// has no option {unknown[0]!r}; options: {known}")
    return options


def _in_percent(what: str) -> str:
    return f"special characters in {what} are percent-encoded (@ is %40, / is %2F, # is %23)"
