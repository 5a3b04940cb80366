"""Taking a port, or saying in a line why not."""

import errno
import os
import socket
from typing import ClassVar, Final

import grpc

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


def check_free(host: str, port: int) -> None:
    """Raises ListenError unless every address of the host can be bound.

    gRPC alone does not say why it could not bind, and is content with one address of several: `localhost` would be
    served on ::1 while another process answers on 127.0.0.1.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(host, port, f"the host name is not known ({error.strerror})") from error
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC binds: connections of an earlier process that linger in TIME_WAIT do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue
            number = error.errno or 0
            raise ListenError(host, port, _REASONS.get(number) or os.strerror(number).lower()) from error


def listen(server: grpc.aio.Server, host: str, port: int) -> int:
    """Binds a server that has not started yet; returns the port, which is a free one where 0 was asked for."""
    check_free(host, port)
    try:
        return server.add_insecure_port(join_address(host, port))
    except RuntimeError as error:
        raise ListenError(host, port, "gRPC could not bind the address") from error
