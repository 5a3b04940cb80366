"""What test_fork runs: `python -m tests.unit.client.forking SCENARIO TARGET`. Fails by its exit code.

In a process of its own, since a fork copies whatever else a process has going.
"""

import os
import sys
import threading
import time
from collections.abc import Callable

from promptwire import Client, UnavailableError
from tests.unit.client.fakes import eventually

KEY = "a@production"


def in_child(run: Callable[[], None]) -> int:
    """Its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        run()
        os._exit(0)
    except BaseException as error:
        print(f"in the child: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)


def succeeded(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


def follow(client: Client) -> None:
    """Both processes go on: the child moves the alias, and both see it, without having asked for it."""
    parent_id = client.status().client_id
    handle = client.handle(KEY)

    def child() -> None:
        assert client.load_prompt(KEY).version == 1
        assert client.status().client_id != parent_id
        client.set_prompt_alias("a", "production", 2)
        assert client.load_prompt(KEY).version == 2
        eventually(lambda: handle.current.version == 2)
        eventually(lambda: client.status().fresh)
        client.close()

    assert succeeded(in_child(child))
    eventually(lambda: client.load_prompt(KEY).version == 2)
    eventually(lambda: handle.current.version == 2)
    assert client.get_prompt("a").aliases == {"production": 2}
    client.close()


def handle_alone(client: Client) -> None:
    """A child that only reads its handle is kept up to date too."""
    handle = client.handle(KEY)
    reader, writer = os.pipe()

    def child() -> None:
        os.write(writer, b".")
        eventually(lambda: handle.current.version == 2)

    pid = in_child(child)
    os.read(reader, 1)
    client.set_prompt_alias("a", "production", 2)
    assert succeeded(pid)


def locked(client: Client) -> None:
    """The parent's locks are held at the moment of the fork."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with client._core.live._lock, client._core.connection._lock:
            held.set()
            release.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()

    def child() -> None:
        assert client.status().entries == 0, "nothing is vouched for before this process has asked"
        assert client.load_prompt("a/2").version == 2
        assert client.load_prompt(KEY).version == 1

    pid = in_child(child)
    release.set()
    assert succeeded(pid)


def outage(client: Client) -> None:
    """The service goes before the child can ask: the last known good is served, and only the first load waits."""
    eventually(lambda: client.load_prompt(KEY).version == 1)
    print("stop", flush=True)
    sys.stdin.readline()

    def child() -> None:
        began = time.monotonic()
        assert client.load_prompt(KEY).version == 1
        first = time.monotonic() - began
        for _ in range(100):
            assert client.load_prompt(KEY).version == 1
        assert time.monotonic() - began < 2 * first
        try:
            client.load_prompt("a/2")
        except UnavailableError:
            return
        raise AssertionError("nobody can know this")

    assert succeeded(in_child(child))


if __name__ == "__main__":
    scenario = {"follow": follow, "handle_alone": handle_alone, "locked": locked, "outage": outage}[sys.argv[1]]
    client = Client(sys.argv[2], timeout_seconds=0.5 if scenario is outage else 10)
    client.load_prompt(KEY)
    eventually(lambda: client.status().fresh)
    scenario(client)
