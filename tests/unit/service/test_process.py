"""SIGHUP: somebody's wish, or the end of a terminal."""

import asyncio
import fcntl
import os
import pty
import signal
import sys
import termios

import pytest

from promptwire_service.process import Process

SECONDS = 10.0


class Waiting:
    """Work that does nothing."""

    started = True

    def __init__(self) -> None:
        self.reloads = 0
        self.running = asyncio.Event()
        self.reloaded = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        self.running.set()
        await stop.wait()

    async def cut_short(self) -> None:
        raise AssertionError

    def reload(self) -> None:
        self.reloads += 1
        self.reloaded.set()


async def test_a_sighup_is_told_to_the_work_which_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptwire_service.process._has_terminal", lambda: False)
    work = Waiting()
    running = asyncio.create_task(Process(work, 0.0).run())
    async with asyncio.timeout(SECONDS):
        await work.running.wait()
        os.kill(os.getpid(), signal.SIGHUP)
        await work.reloaded.wait()
        assert not running.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
    assert work.reloads == 1


PROGRAM = """
import asyncio
from promptwire_service.process import Process

class Work:
    started = True
    async def run(self, stop):
        print("runs", flush=True)
        await stop.wait()
    async def cut_short(self): ...
    def reload(self):
        print("reloads", flush=True)

raise SystemExit(asyncio.run(Process(Work(), 0.0).run()))
"""


@pytest.mark.parametrize("nohup", [False, True])
async def test_what_runs_in_a_terminal_ends_with_it_in_order_unless_it_was_told_not_to(nohup: bool) -> None:
    terminal, theirs = pty.openpty()

    def settle() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM),
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=settle,
    )
    os.close(theirs)
    assert process.stdout
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline() == b"runs\n"
        # By hand first: the terminal is still there.
        process.send_signal(signal.SIGHUP)
        assert await process.stdout.readline() == b"reloads\n"
        os.close(terminal)
        if nohup:
            assert await process.stdout.readline() == b"reloads\n"
            process.terminate()
        assert await process.wait() == 0
        assert b"reloads" not in await process.stdout.read()
