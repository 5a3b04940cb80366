"""What single callers see of a service: `python -m benchmarks.peers.probes TARGET`.

One resolves every 20 ms with a deadline of a second, one moves an alias ten times a second, one watches that alias;
each has a connection of its own. Prints a line once the watcher has its first update, and at the end of stdin a JSON
object: `resolve` and `write`, lists of [when, milliseconds, status], and `flip`, of [when, milliseconds] from an
acknowledgement to its update. Times are of CLOCK_MONOTONIC, in seconds.
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import grpc

from benchmarks.support.bench import PROMPT
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceStub

ALIAS: Final = "probed"
_RESOLVE_SECONDS: Final = 0.02
_WRITE_SECONDS: Final = 0.1
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1),)


class Probes:
    """The three callers, each in a thread."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._stop = threading.Event()
        self.resolve: list[tuple[float, float, str]] = []
        self.write: list[tuple[float, float, str]] = []
        self._acknowledged: dict[int, float] = {}
        self._seen: dict[int, float] = {}
        self._watching = threading.Event()

    def run(self) -> None:
        """Returns at the end of stdin."""
        threading.Thread(target=self._watch, daemon=True).start()
        self._watching.wait()
        callers = [threading.Thread(target=call) for call in (self._resolve, self._write)]
        for caller in callers:
            caller.start()
        print("ready", flush=True)
        sys.stdin.read()
        self._stop.set()
        for caller in callers:
            caller.join()

    def flips(self) -> list[tuple[float, float]]:
        """A revision counts as seen with the first update that holds it or a later one."""
        flips, seen = [], sorted(self._seen.items())
        for number, at in sorted(self._acknowledged.items()):
            while seen and seen[0][0] < number:
                seen.pop(0)
            if seen:
                flips.append((at, max(0.0, seen[0][1] - at) * 1000))
        return flips

    def _stub(self) -> PromptServiceStub:
        return PromptServiceStub(grpc.insecure_channel(self._target, _OPTIONS))

    def _resolve(self) -> None:
        stub, request = self._stub(), pb.ResolveRequest(reference=f"{PROMPT}@production")
        while not self._stop.wait(_RESOLVE_SECONDS):
            self._timed(self.resolve, lambda: stub.Resolve(request, timeout=1))

    def _write(self) -> None:
        stub, version = self._stub(), 1
        while not self._stop.wait(_WRITE_SECONDS):
            version = 3 - version
            write = common.WriteOptions(request_id=uuid.uuid4().hex, actor="benchmark")
            request = pb.SetAliasRequest(name=PROMPT, alias=ALIAS, version=version, write=write)
            answer = self._timed(self.write, partial(stub.SetAlias, request, timeout=10))
            if answer is not None:
                self._acknowledged[answer.revision.number] = time.monotonic()

    def _timed(self, results: list[tuple[float, float, str]], call: Callable[[], Any]) -> Any:
        began, answer, status = time.monotonic(), None, "OK"
        try:
            answer = call()
        except grpc.RpcError as error:
            status = error.code().name
        results.append((began, (time.monotonic() - began) * 1000, status))
        return answer

    def _watch(self) -> None:
        def requests() -> Iterator[pb.WatchRequest]:
            subscription = pb.Subscription(name=PROMPT, aliases=[ALIAS])
            yield pb.WatchRequest(hello=pb.WatchHello(client_id="probe", subscriptions=[subscription]))
            self._stop.wait()

        for message in self._stub().Watch(requests()):
            if message.WhichOneof("message") == "update":
                self._seen[message.update.revision.number] = time.monotonic()
                self._watching.set()


if __name__ == "__main__":
    probes = Probes(sys.argv[1])
    probes.run()
    print(json.dumps({"resolve": probes.resolve, "write": probes.write, "flip": probes.flips()}), flush=True)
