"""Open files: how many this process may have, how many of them are for clients, and a word when these are used up."""

import asyncio
import os
import resource
from typing import Final

import structlog

CONNECTIONS_MAX: Final = 20_000
"""Clients of a process, if nobody says otherwise."""
_MOST: Final = 1 << 20
_OWN: Final = 256
"""Kept for the store's connections, the log and whatever else is no client."""
_LOOK_SECONDS: Final = 10.0
_LOG_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


def raise_limit() -> int:
    """Raises the soft limit of open files to the hard one, as far as it may be; returns what it is then."""
    soft, hard = (_MOST if one == resource.RLIM_INFINITY else one for one in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = min(hard, _MOST)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        except (OSError, ValueError):  # macOS allows a process fewer than its hard limit says
            return soft
    return max(soft, wanted)


def most_connections(wanted: int, limit: int) -> int:
    """How many clients may be connected under a limit of open files. `wanted` 0 is "as many as usual"."""
    possible = max(1, limit - min(_OWN, limit // 4))
    return min(wanted or CONNECTIONS_MAX, possible)


async def warn_when_full(most: int) -> None:
    """Tells in the log, once a minute while it lasts, that new clients are refused. Runs until it is cancelled."""
    own = await asyncio.to_thread(_open)
    while True:
        connections = await asyncio.to_thread(_open) - own
        full = connections >= most
        if full:
            _log.warning(
                "new clients are refused: as many are connected as may be",
                connections=connections,
                most=most,
                hint="raise --max-connections, and the limit of open files (ulimit -n)",
            )
        await asyncio.sleep(_LOG_SECONDS if full else _LOOK_SECONDS)


def _open() -> int:
    return len(os.listdir("/dev/fd"))
