"""Leaving a port that other processes go on serving, without a refused call. Linux only.

gRPC's `stop` closes its listener and refuses what comes after, both at once. Between the two ends of a connection that
is too soon: the kernel resets connections that were made and not accepted yet, and calls that were sent before the
client had heard of the end fail with CANCELLED. gRPC has no calmer way, so this looks for its sockets among the
process's descriptors and does what has to come before. See docs/adr/0006-workers.md.
"""

import asyncio
import ctypes
import fcntl
import os
import socket
import stat
import struct
import termios
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

HANDSHAKE_SECONDS: Final = 0.5
"""How long connections that are being made may take to come through: the slowest round trip that is catered for."""
_LOOK_SECONDS: Final = 0.01

_SO_ATTACH_FILTER: Final = 26
"""asm-generic/socket.h"""
_DROP_SYN: Final = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of TCP's flags
        (0x45, 0, 1, 0x02),  # if SYN is not among them, skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
)
"""linux/filter.h's classic BPF, which needs no privilege; a listener's filter sees segments from TCP's header on."""

_GOAWAY: Final = struct.pack(">I", 8)[1:] + struct.pack(">BBIII", 0x07, 0, 0, 0x7FFFFFFF, 0)
"""RFC 9113, 6.8: open no more streams; those that are open, and those on their way, are served."""
_SETTINGS_MIN_BYTES: Final = 9
_BYTES_ACKED: Final = slice(120, 128)
"""In linux/tcp.h's tcp_info: what the other side has received for sure."""


async def close_listeners(port: int) -> None:
    """No more connections: who asks for one asks again, within a second, and comes to another process.

    First requests for connections are ignored, then those that were being made come through and are accepted, and then
    there is nobody in the queue whom closing would hurt.
    """
    with ExitStack() as held:
        found = [(number, held.enter_context(one)) for number, one in _sockets(port) if _listens(one)]
        for _, listener in found:
            _ignore_newcomers(listener)
        await asyncio.sleep(HANDSHAKE_SECONDS if found else 0)
        for number, _ in found:
            # gRPC would log an error if its listener were shut down, and still wants a descriptor to close at its stop.
            with socket.socket() as unused:
                os.dup2(unused.fileno(), number, inheritable=False)


async def send_away(port: int) -> None:
    """Tells each client to make its next calls on another connection; returns once all have been told.

    The frame goes out between gRPC's own: only while all that was sent has arrived, so that it splits none.
    """
    told: set[object] = set()
    while True:
        waiting = False
        for _, connection in _sockets(port):
            with connection, suppress(OSError):  # it may end at any time
                if _listens(connection) or (peer := connection.getpeername()) in told:
                    continue
                if _is_quiet(connection) and connection.send(_GOAWAY, socket.MSG_DONTWAIT):
                    told.add(peer)
                else:
                    waiting = True
        if not waiting:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def all_left(port: int) -> None:
    """Returns once no client is connected."""
    while True:
        connected = False
        for _, connection in _sockets(port):
            with connection, suppress(OSError):
                connected |= bool(connection.getpeername())
        if not connected:
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _sockets(port: int) -> Iterator[tuple[int, socket.socket]]:
    """This process's TCP sockets of the port: the descriptor, and a copy, which is the caller's to close."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed meanwhile
            copy = _copy(int(name))
            if copy and _is_of(copy, port):
                yield int(name), copy
            elif copy:
                copy.close()


def _copy(descriptor: int) -> socket.socket | None:
    """The same socket by another descriptor, since the first may be closed, and be another's, at any time."""
    copy = os.dup(descriptor)
    if stat.S_ISSOCK(os.fstat(copy).st_mode):
        return socket.socket(fileno=copy)
    os.close(copy)
    return None


def _is_of(found: socket.socket, port: int) -> bool:
    internet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    return internet and bool(found.getsockname()[1] == port)


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _ignore_newcomers(listener: socket.socket) -> None:
    code = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    program = struct.pack("@HP", len(_DROP_SYN) // 8, ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _is_quiet(connection: socket.socket) -> bool:
    """Whether gRPC has begun to speak, and nothing of what it said is still on its way."""
    acked = struct.unpack("=Q", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)[_BYTES_ACKED])[0]
    (unacked,) = struct.unpack("=i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return bool(acked > _SETTINGS_MIN_BYTES and unacked == 0)
