"""Why a store can't be used at start, and which error of the driver or the server means what.

One line for a person each. This is about starting. What fails later, during a call, is in `failures.py`.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import ClassVar

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

CONNECT_SECONDS = 2.0
"""How long making a connection may take."""
ANSWER_SECONDS = 5.0
"""How long the server may take to answer a command."""


class StoreStartError(Exception):
    """The service can't start on this store. Its message is one line for whoever starts it."""

    exit_code: ClassVar[int]


class StoreRefusedError(StoreStartError):
    """The store is there, or its place is known, but it will not do."""

    exit_code = 1


class StoreUnreachableError(StoreStartError):
    """The store could not be reached, or not in time; the same command may succeed later."""

    exit_code = 3


def location_of(client: Redis) -> str:
    """Where a client connects, in the form of `--store`, without credentials."""
    pool = client.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    scheme = "rediss" if issubclass(pool.connection_class, SSLConnection) else "redis"
    host = f"[{options['host']}]" if ":" in options["host"] else options["host"]
    return f"{scheme}://{host}:{options['port']}/{options.get('db') or 0}"


def explained(error: BaseException, where: str) -> StoreStartError:
    """The error as a line for a person. The innermost known cause decides: redis-py wraps its own errors."""
    for cause in _causes(error):
        for explain in (_of_the_answer, _of_the_network):
            if found := explain(cause, where):
                return found
    return StoreUnreachableError(f"{where} can't be reached: {_first_line(error)}")


def _of_the_answer(error: BaseException, where: str) -> StoreStartError | None:
    """The server answered, with an error."""
    message = _first_line(error)
    if isinstance(error, AuthenticationError):
        if "Authentication required" in message:
            return StoreRefusedError(
                f"{where} asks for a password (NOAUTH); give it in --store or PROMPTWIRE_STORE, "
                "as in redis://user:password@host:port/db"
            )
        return StoreRefusedError(f"{where} does not accept the user and password in --store: {message}")
    if isinstance(error, NoPermissionError):
        command = re.search(r"'([^']+)' (?:sub)?command", message)
        what = command[1].upper() if command else "what the store needs"
        return StoreRefusedError(f"{where} does not permit our user {what} (NOPERM); extend its ACL")
    if isinstance(error, (InvalidResponse, UnicodeDecodeError)):
        return StoreRefusedError(f"{where} does not speak the Redis protocol; check host and port")
    if "max number of clients" in message:
        return StoreUnreachableError(f"{where} has no connection free; raise its maxclients or close others")
    if not isinstance(error, ResponseError):
        return None
    if message.startswith("DENIED"):
        return StoreRefusedError(
            f"{where} is in protected mode and refuses connections from other machines; set a password there"
        )
    if "DB index" in message:
        return StoreRefusedError(f"{where}: the server has no database of this number")
    if message.startswith("MISCONF"):
        return StoreRefusedError(
            f"{where} refuses writes because it can't write to its disk (MISCONF); see its log and disk"
        )
    if message.startswith("NOREPLICAS"):
        return StoreRefusedError(
            f"{where} refuses writes because too few replicas are connected (NOREPLICAS); see its min-replicas-to-write"
        )
    if isinstance(error, ReadOnlyError):
        return StoreRefusedError(f"{where} is a read-only replica; give the primary")
    return StoreRefusedError(f"{where} refuses what the store needs: {message}")


def _of_the_network(error: BaseException, where: str) -> StoreStartError | None:
    """There was no answer."""
    match error:
        case socket.gaierror():
            problem = "the host name is not known"
        case ssl.SSLCertVerificationError():
            problem = f"its certificate is not accepted ({error.verify_message}); see ssl_ca_certs"
        case ssl.SSLError():
            problem = "it does not speak TLS as expected; is it redis:// and not rediss://?"
        case ConnectionRefusedError():
            problem = "connection refused; is the server running there?"
        case FileNotFoundError():
            problem = "there is no such socket; is the server running?"
        case PermissionError():
            problem = "permission denied"
        case ConnectionResetError():
            problem = "it closed the connection; is it a TLS port (rediss://)?"
        case TimeoutError() | RedisTimeoutError():
            problem = f"no answer ({CONNECT_SECONDS:g} s to connect, {ANSWER_SECONDS:g} s to answer a command)"
            if where.startswith("rediss:"):
                problem += "; is it a TLS port?"
        case RedisError() if "closed by server" in str(error):
            problem = "it closed the connection; is it a TLS port (rediss://)?"
        case OSError() if error.errno:
            problem = os.strerror(error.errno).lower()
        case OSError() if "Connect call failed" in str(error):
            # asyncio's sum of several, for a name with several addresses: localhost is ::1 and 127.0.0.1.
            problem = "no address of this host accepts connections; is the server running there?"
        case _:
            return None
    return StoreUnreachableError(f"{where} can't be reached: {problem}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, innermost first."""
    chain = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return reversed(chain)


def _first_line(problem: object) -> str:
    return str(problem).strip().partition("\n")[0]
