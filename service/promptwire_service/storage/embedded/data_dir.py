"""The data directory: what lies where, that it can be used, and that one owner uses it at a time."""

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from promptwire_service.storage.redis.problems import StoreRefusedError

LOCK_WAIT_SECONDS = 5.0
"""How long an owner waits for the one before, whose store may still be closing."""
_LOCK_LOOK_SECONDS = 0.05

SOCKET_PATH_MAX_BYTES = 100
"""sun_path holds 108 bytes on Linux and 104 on macOS, with the final zero; some are kept in hand."""


class DataDir:
    """What lies where in a data directory; `prepare` makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.lock_path = self.path / "lock"
        self.store_path = self.path / "store"
        """Where the server keeps its data and, if the path is short enough, its socket. Ours alone."""
        self.log_path = self.store_path / "valkey.log"
        """The server opens it by its path for each line: nobody else may be able to put a link there."""

    @property
    def socket_path(self) -> Path:
        """In the data directory. Where that path is too long for a socket, in a private directory under TMPDIR whose
        name is made of the user and a hash of the data directory."""
        path = self.store_path / "valkey.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
            return path
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"promptwire-{os.getuid()}-{digest}" / "valkey.sock"

    def prepare(self) -> None:
        """Makes what is missing. Raises StoreRefusedError, also where another user could exchange what lies there.

        A directory of root's is taken, since root may do everything anyway: volumes of containers belong to root.
        """
        user = os.geteuid()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.stat()
            if found.st_uid not in (user, 0):
                raise self._refused(f"it belongs to the user with id {found.st_uid}, not to {user}")
            if found.st_mode & stat.S_IWOTH:
                raise self._refused(f"everybody may write into it; run: chmod o-w {self.path}")
            self.store_path.mkdir(mode=0o700, exist_ok=True)
            found = self.store_path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != user:
                raise self._refused(f"{self.store_path} is not a directory of the user with id {user}")
            self.store_path.chmod(0o700)
        except OSError as error:
            raise self._unusable(error) from error

    def prepare_socket(self) -> None:
        """Makes the directory of the socket, if it is not the store's own. Raises StoreRefusedError."""
        directory = self.socket_path.parent
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_MAX_BYTES:
            raise StoreRefusedError(
                f"data directory {self.path} and TMPDIR {tempfile.gettempdir()} are both too long for the path of a "
                "socket; shorten one of them"
            )
        if directory == self.store_path:
            return
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            found = directory.lstat()
        except OSError as error:
            raise StoreRefusedError(f"can't make {directory} for the store's socket: {error.strerror}") from error
        # Anyone may make a directory of this name there, and could then stand between us and the store.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StoreRefusedError(f"{directory} is not a private directory of ours; remove it and start again")

    def remove_socket_directory(self) -> None:
        """Removes what `prepare_socket` made, once the server is gone."""
        if self.socket_path.parent != self.store_path:
            with suppress(OSError):
                self.socket_path.unlink(missing_ok=True)
                self.socket_path.parent.rmdir()

    async def lock(self) -> int:
        """The descriptor that holds the directory while it, or a copy that a child inherited, is open.

        The server inherits it: when an owner was killed, the next one waits until its store has closed too. Raises
        StoreRefusedError when the directory is still in use after LOCK_WAIT_SECONDS.
        """
        try:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            deadline = time.monotonic() + LOCK_WAIT_SECONDS
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    raise StoreRefusedError(f"data directory {self.path} is in use by {_owner(descriptor)}")
                await asyncio.sleep(_LOCK_LOOK_SECONDS)
            started = datetime.now(UTC).isoformat(" ", "seconds")
            # The file is never removed: a waiting process could then lock a file that has no name any more.
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "started": started}).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise self._unusable(error) from error
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _refused(self, problem: str) -> StoreRefusedError:
        return StoreRefusedError(f"data directory {self.path} can't be used: {problem}")

    def _unusable(self, error: OSError) -> StoreRefusedError:
        if isinstance(error, FileExistsError):
            problem = f"{error.filename} is a file, not a directory"
        elif isinstance(error, NotADirectoryError):
            problem = "a part of its path is a file, not a directory"
        elif error.errno == errno.ELOOP and error.filename == str(self.lock_path):
            problem = f"{self.lock_path} is a symbolic link"
        else:
            # errno's own words: the exception's would repeat the path.
            problem = os.strerror(error.errno or errno.EIO).lower()
        return self._refused(problem)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(descriptor: int) -> str:
    """Who has the lock, as far as its file tells."""
    try:
        note = json.loads(os.pread(descriptor, 1000, 0))
        pid, started = int(note["pid"]), note["started"]
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return f"the store of process {pid}, which has ended; wait until its store has too"
    except PermissionError:
        pass
    return f"process {pid} (started {started})"
