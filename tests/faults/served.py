"""The real service with rare orders made frequent: `python -m tests.faults.served [OPTIONS] -- serve ...`.

Failpoints, `--failpoint NAME=PROBABILITY:SECONDS`, hold up a call at a place where another one may overtake it:
`read` (what a fill read, before anyone gets it), `log` (a page of the log, and where logs stand), `written` (a write's
answer).
`--purge SECONDS` makes deletions final that often, and soon: by a clock that jumps, half of the looks find them due.
`--lose-messages PROBABILITY` loses pub/sub messages. `--jump-clock` makes the wall clock jump all the time. The product
has no such code: it is wrapped from here.
"""

import argparse
import asyncio
import random
import runpy
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from promptwire.cli import main as promptwire
from promptwire_service import server
from promptwire_service.commands.purge import purge_all
from promptwire_service.storage.base import Store
from promptwire_service.storage.redis.notifications import Notifications
from promptwire_service.storage.redis.store import RedisStore

PLACES = {"read": ("read_prompts", "read_versions"), "log": ("read_log", "read_heads"), "written": ("write",)}
JUMP_SECONDS = 86_400.0
WORKER = "promptwire_service.workers.worker"


def install_failpoint(text: str, draw: random.Random) -> None:
    place, _, rule = text.partition("=")
    probability, _, seconds = rule.partition(":")
    for method in PLACES[place]:
        setattr(RedisStore, method, _held_up(getattr(RedisStore, method), float(probability), float(seconds), draw))


def _held_up(
    method: Callable[..., Awaitable[Any]], probability: float, seconds: float, draw: random.Random
) -> Callable[..., Awaitable[Any]]:
    async def held_up(*arguments: Any, **options: Any) -> Any:
        answer = await method(*arguments, **options)
        if draw.random() < probability:
            await asyncio.sleep(draw.uniform(0, seconds))
        return answer

    return held_up


def lose_messages(probability: float, draw: random.Random) -> None:
    deliver = Notifications._deliver

    def lossy(self: Notifications, text: str) -> None:
        if draw.random() >= probability:
            deliver(self, text)

    Notifications._deliver = lossy  # type: ignore[method-assign]


def purge_often(seconds: float) -> None:
    async def purge_soon(store: Store, retention_seconds: float) -> int:
        return await purge_all(store, seconds)

    server.purge_all = purge_soon  # type: ignore[attr-defined]
    server.PURGE_SECONDS = server.FIRST_PURGE_SECONDS = seconds  # type: ignore[misc]


def jump_clock(draw: random.Random) -> None:
    """Each look at the wall clock finds another day. What must be right goes by the monotonic one."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + draw.uniform(-JUMP_SECONDS, JUMP_SECONDS)
    time.time_ns = lambda: real_ns() + int(draw.uniform(-JUMP_SECONDS, JUMP_SECONDS) * 1e9)


def break_workers_too(options: list[str]) -> None:
    """Each is an interpreter of its own: it is started through this module."""
    start = asyncio.create_subprocess_exec

    async def start_broken(*command: Any, **settings: Any) -> Any:
        if WORKER in command:
            python, descriptor = command[0], command[-1]
            command = (python, "-m", "tests.faults.served", *options, "--worker", "--", descriptor)
        return await start(*command, **settings)

    asyncio.create_subprocess_exec = start_broken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--failpoint", action="append", default=[])
    parser.add_argument("--lose-messages", type=float, default=0.0)
    parser.add_argument("--jump-clock", action="store_true")
    parser.add_argument("--purge", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help="the arguments are those of a worker process")
    parser.add_argument("arguments", nargs="*")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    for failpoint in given.failpoint:
        install_failpoint(failpoint, draw)
    lose_messages(given.lose_messages, draw)
    if given.purge:
        purge_often(given.purge)
    if given.jump_clock:
        jump_clock(draw)
    options = sys.argv[1 : sys.argv.index("--")]
    if given.worker:
        sys.argv = [WORKER, *given.arguments]
        runpy.run_module(WORKER, run_name="__main__")
    else:
        break_workers_too(options)
        sys.argv = ["promptwire", *given.arguments]
        promptwire()


if __name__ == "__main__":
    main()
