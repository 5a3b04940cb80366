"""One real agent: a `promptwire.Client` in a process of its own, and beside it a bare stream to the floor.

`python -m benchmarks.peers.agent OPTIONS`, a JSON object: {ours, floor, reference}. Prints 0 when the client's
`load_prompt` has come to return another version, and 1 when the stream has received a message; at the end of stdin
prints the times of both, as benchmarks.peers.streams does.

No loop asks for the prompt again and again: twenty of them would leave no processor to those who are measured. Instead
the prompt is loaded, as any agent would load it, at each moment when the client has just changed its table: not before
that moment could any load have returned the new version, and no load after it can return the old one.
"""

import json
import sys
import threading
import time
from typing import Any

import grpc

import promptwire
from benchmarks.peers import floor
from benchmarks.support.flips import FLOOR, OURS
from benchmarks.support.processes import READY_SECONDS


class Times:
    """When each message came, of both sides."""

    def __init__(self) -> None:
        self.of: tuple[list[list[int]], list[list[int]]] = [], []
        self._lock = threading.Lock()

    def note(self, side: int, at_ns: int) -> None:
        with self._lock:
            self.of[side].append([at_ns])
            print(side, flush=True)


def follow_ours(client: promptwire.Client, reference: str, times: Times) -> None:
    """Notes each change of what `load_prompt` returns, the first version included."""
    seen = client.load_prompt(reference).version
    live: Any = client._live
    apply = live.apply

    def apply_and_look(*arguments: Any) -> None:
        nonlocal seen
        apply(*arguments)
        version = client.load_prompt(reference).version
        at_ns = time.monotonic_ns()
        if version != seen:
            seen = version
            times.note(OURS, at_ns)

    live.apply = apply_and_look
    deadline = time.monotonic() + READY_SECONDS
    while not client.status().fresh:  # until the stream is open
        if time.monotonic() > deadline:
            raise TimeoutError("the client's stream did not confirm its prompt")
        time.sleep(0.01)
    times.note(OURS, time.monotonic_ns())


def follow_floor(channel: Any, times: Times, ended: threading.Event) -> None:
    def requests() -> Any:
        yield b""
        ended.wait()

    try:
        for _ in channel.stream_stream(floor.FOLLOW)(requests()):
            times.note(FLOOR, time.monotonic_ns())
    except grpc.RpcError:
        if not ended.is_set():
            raise


def main() -> None:
    options = json.loads(sys.argv[1])
    times, ended = Times(), threading.Event()
    with promptwire.Client(options["ours"]) as client, grpc.insecure_channel(options["floor"]) as channel:
        follow_ours(client, options["reference"], times)
        threading.Thread(target=follow_floor, args=(channel, times, ended), daemon=True).start()
        sys.stdin.read()
        ended.set()
    print(json.dumps({"times": times.of}), flush=True)


if __name__ == "__main__":
    main()
