"""What test_fork runs: `python -m tests.integration.forking SCENARIO TARGET DIRECTORY`. Fails by its exit code.

In a process of its own, since a fork copies whatever else a process has going.
"""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import promptwire
from promptwire import Client
from tests.unit.client.fakes import eventually
from tests.unit.client.forking import in_child, succeeded

KEY = "p@production"


def follows_a_flip(client: Client, told: int, tell: int) -> None:
    """In a worker: says that it follows, and goes on until it sees the alias move."""
    assert client.load_prompt(KEY).version == 1
    client.wait_for_ready([KEY], timeout=30)
    os.write(tell, b"x")
    os.read(told, 1)
    eventually(lambda: client.load_prompt(KEY).version == 2)
    assert client.load_prompt("p/1").version == 1


def prefork(client: Client) -> None:
    """As gunicorn does with an application that was loaded before: a master with a live client, workers replaced."""
    told, goes_on = os.pipe()
    ready, tell = os.pipe()
    workers = [in_child(lambda: follows_a_flip(client, told, tell)) for _ in range(3)]
    for _ in workers:
        os.read(ready, 1)
    os.kill(workers[0], signal.SIGKILL)
    assert not succeeded(workers.pop(0))
    workers.append(in_child(lambda: follows_a_flip(client, told, tell)))
    os.read(ready, 1)
    client.set_prompt_alias("p", "production", 2)
    os.write(goes_on, b"xxx")
    assert [succeeded(worker) for worker in workers] == [True] * 3
    eventually(lambda: client.load_prompt(KEY).version == 2 and not client.load_prompt(KEY).stale)


def report(client: Client, answers: Connection) -> None:
    client.wait_for_ready([KEY], timeout=30)
    answers.send((client.status().client_id, client.load_prompt(KEY)))


def forked(client: Client) -> None:
    """multiprocessing with fork: the child inherits the client, and is a watcher of its own."""
    context = multiprocessing.get_context("fork")
    for _ in range(2):
        answers, theirs = context.Pipe()
        child = context.Process(target=report, args=(client, theirs))
        child.start()
        client_id, prompt = answers.recv()
        child.join(30)
        assert child.exitcode == 0
        assert client_id != client.status().client_id
        assert prompt == client.load_prompt(KEY)


def report_of(target: str, answers: Connection) -> None:
    with Client(target, timeout_seconds=30) as client:
        report(client, answers)


def spawned(client: Client) -> None:
    """multiprocessing with spawn: a client cannot be handed over, and says what to do; its target can."""
    context = multiprocessing.get_context("spawn")
    answers, theirs = context.Pipe()
    refused = context.Process(target=report, args=(client, theirs))
    with pytest.raises(TypeError, match=r"make a new promptwire\.Client in the process that needs one"):
        refused.start()
    child = context.Process(target=report_of, args=(sys.argv[2], theirs))
    child.start()
    client_id, prompt = answers.recv()
    child.join(30)
    assert child.exitcode == 0
    assert client_id != client.status().client_id
    assert prompt == client.load_prompt(KEY)


def threads(client: Client) -> None:
    """Threads use the client while others are forked; no calls, since grpc does not get a child ready during one."""
    handle = client.handle(KEY)
    stopping = threading.Event()
    failures: list[BaseException] = []

    def use() -> None:
        try:
            while not stopping.is_set():
                assert client.load_prompt(KEY).version == 1
                assert handle.current.version == 1
                assert client.status().entries > 0
        except BaseException as error:
            failures.append(error)

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()

    def child() -> None:
        assert client.load_prompt(KEY).version == 1
        assert client.load_prompt("p").version == 2
        client.wait_for_ready([KEY], timeout=30)

    children = [in_child(child) for _ in range(3)]
    assert [succeeded(one) for one in children] == [True] * 3
    stopping.set()
    for user in users:
        user.join()
    assert not failures, failures


SCENARIOS = {scenario.__name__: scenario for scenario in (prefork, forked, spawned, threads)}

if __name__ == "__main__":
    _, name, target, directory = sys.argv
    with promptwire.Client(target, timeout_seconds=30, snapshot_dir=Path(directory)) as client:
        client.wait_for_ready([KEY], timeout=30)
        SCENARIOS[name](client)
