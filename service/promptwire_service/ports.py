"""Taking a port, or saying in a line why not."""

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import ClassVar, Final, Self

_EVERY_IPV4: Final = "0.0.0.0"
_TURNS: Final = 100
_TURN_SECONDS: Final = 0.02
_REASONS: Final = {
    errno.EADDRINUSE: "address in use",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class ListenError(Exception):
    """The service can't listen there. The message is one line for whoever starts it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {join_address(host, port)}: {reason}")


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Says whether only this machine reaches every address of a host. One that is not known is not reached at all."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


@contextmanager
def ipv4_alone(host: str, port: int) -> Iterator[int]:
    """Yields the port, or a free one for 0; while the block binds 0.0.0.0, its IPv6 side is held.

    gRPC takes the wildcard address of IPv4 for that of both families, tries IPv6 first, and is content with IPv4
    where it cannot have it. The holder has to be the last socket that was bound to the port: Linux lets one with
    SO_REUSEPORT in without a look if the one before it has that, too. So each worker holds it for itself, in turn.
    """
    with ExitStack() as held:
        if host == _EVERY_IPV4:
            if not port:
                with socket.socket() as probe:
                    probe.bind((host, 0))
                    port = probe.getsockname()[1]
            with suppress(OSError):  # where there is no IPv6
                blocker = held.enter_context(socket.socket(socket.AF_INET6))
                blocker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                _bind_in_turn(blocker, ("::", port))
        yield port


def _bind_in_turn(blocker: socket.socket, address: tuple[str, int]) -> None:
    """Binds once no other worker has the address; gives up where somebody keeps it, since gRPC cannot have it then."""
    for _ in range(_TURNS):
        try:
            blocker.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            time.sleep(_TURN_SECONDS)
        else:
            return


def check_free(host: str, port: int) -> None:
    """Raises ListenError unless every address of the host can be bound.

    gRPC alone does not say why it could not bind, and is content with one address of several: `localhost` would be
    served on ::1 while another process answers on 127.0.0.1.
    """
    for probe in _bound(host, port):
        probe.close()


class HeldPort:
    """A port that is ours while processes that listen on it come and go; `close` lets go of it.

    The sockets are bound and never listen, so no connection comes to them. They let SO_REUSEPORT sockets of the same
    user in, which is what workers bind, and nobody who asks for the port alone, as every `promptwire serve` does first.
    """

    def __init__(self, host: str, port: int) -> None:
        """With port 0, takes one that is free on every address of the host. Raises ListenError."""
        self.port = port
        self._open = ExitStack()
        try:
            for first in _bound(host, port):
                self.port = first.getsockname()[1]
                self._open.enter_context(first)
                self._share(first)
                if port == 0:
                    break
            if port == 0:
                self._open.close()
                self._open.enter_context(HeldPort(host, self.port))
        except BaseException:
            self.close()
            raise

    def _share(self, first: socket.socket) -> None:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        # Linux notes of a port that all its sockets have SO_REUSEADDR, and lets others with it in until one listens; a
        # socket without it ends that. Connections in TIME_WAIT may forbid it one: then until the first worker listens.
        with suppress(OSError):
            second = self._open.enter_context(socket.socket(first.family, first.type, first.proto))
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            second.bind(first.getsockname())

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket for each address of the host, bound as if nobody else may have it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(host, port, f"the host name is not known ({error.strerror})") from error
    # An address that /etc/hosts has twice for a name comes twice.
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            bound = socket.socket(family, kind, protocol)
            try:
                # As gRPC binds: connections of an earlier process that linger in TIME_WAIT do not count.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind(address)
            except BaseException:
                bound.close()
                raise
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue
            number = error.errno or 0
            raise ListenError(host, port, _REASONS.get(number) or os.strerror(number).lower()) from error
        yield bound
