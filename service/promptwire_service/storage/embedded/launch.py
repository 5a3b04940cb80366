"""Starts a server that does not outlive its owner, even when the owner is killed with -9.

Run by path, `python -I -S launch.py OWNER_PID [--guard] -- SERVER ARGUMENT...`; it may use the standard library only.

On Linux this process becomes the server, after asking the kernel for a SIGTERM when its parent ends. With `--guard`,
for systems without that, it stays: the server is its child, and its standard input is a pipe whose other end only the
owner has. Inheritable descriptors, such as the lock of the data directory, reach the server.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""
LOOK_SECONDS = 0.2
"""How often the guard looks whether the server ended or a SIGTERM came; the owner's end wakes it at once."""
END_SECONDS = 10.0
"""How long the guard gives the server to end before it kills it, which loses nothing that was acknowledged."""


def main(arguments: list[str]) -> int:
    separator = arguments.index("--")
    owner, options, command = int(arguments[0]), arguments[1:separator], arguments[separator + 1 :]
    # A mask survives exec: an owner that blocks SIGTERM in order to wait for it would make the server deaf to it.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if "--guard" in options:
        return guard(owner, command)
    end_with_parent()
    # The owner may have ended before the kernel was asked; then the parent is another process by now.
    if os.getppid() != owner:
        return 1
    os.execv(command[0], command)


def end_with_parent() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def guard(owner: int, command: list[str]) -> int:
    asked = False

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    # Before the server is there: a SIGTERM in between would end the guard alone.
    signal.signal(signal.SIGTERM, on_sigterm)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    while server.poll() is None:
        # Nobody writes to the pipe: readable means that the owner's end is closed. The parent is looked at too, since a
        # process that the owner forked without exec may hold that end open.
        readable, _, _ = select.select([0], [], [], LOOK_SECONDS)
        if readable or asked or os.getppid() != owner:
            return end(server)
    return server.returncode


def end(server: subprocess.Popen[bytes]) -> int:
    server.terminate()
    try:
        return server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
