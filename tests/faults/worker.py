"""One process of a run's traffic: `python -m tests.faults.worker SPEC`, where SPEC is JSON; see Spec.

Says `started` on stdout, and reads its orders from stdin: `quiet` stops writers and readers, `finish` lets watchers
come to the end; a line `quiet` or `finished` answers each.
"""

import json
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tests.faults.history import Recorder
from tests.faults.raw import Raw
from tests.faults.streams import FeedReader, Watcher
from tests.faults.workload import ALIASES, NAMESPACES, PROMPTS, SPLIT, Agent, AsyncAgent
from tests.faults.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a worker does."""

    name: str
    kind: Literal["write", "read", "watch"]
    targets: list[str]
    """Addresses of the service, as gRPC names them; each client takes one, or two in turn."""
    seed: int
    clients: int
    path: str
    """Where its history goes."""
    pause_seconds: float = 0.05
    """A writer's mean pace: the service needs the processors too."""

    def text(self) -> str:
        return json.dumps(asdict(self))


def main() -> None:
    spec = Spec(**json.loads(sys.argv[1]))
    recorder = Recorder(Path(spec.path))
    ended = threading.Event()
    workers = list(_clients(spec, recorder)) if spec.kind != "watch" else []
    streams = list(_streams(spec, recorder)) if spec.kind == "watch" else []
    threads = [threading.Thread(target=_run, args=(one, ended), daemon=True) for one in workers]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    for order in sys.stdin:
        if order.strip() == "quiet":
            ended.set()
            for thread in threads:
                thread.join(60)
            print("quiet", flush=True)
        elif order.strip() == "finish":
            finishing = [threading.Thread(target=stream.finish) for stream in streams]
            for thread in finishing:
                thread.start()
            for thread in finishing:
                thread.join()
            if spec.kind == "watch":
                read_everything(spec, recorder)
            recorder.close()
            print("finished", flush=True)


def read_everything(spec: Spec, recorder: Recorder) -> None:
    """Each version and alias, strongly: all that was acknowledged is to be there."""
    raw = Raw(f"{spec.name}.end", spec.targets[0], recorder)
    for namespace in NAMESPACES:
        for prompt in PROMPTS:
            newest = raw.resolve(namespace, prompt, "latest", strong=True).version
            for selector in (*ALIASES, SPLIT, *map(str, range(1, newest + 1))):
                raw.resolve(namespace, prompt, selector, strong=True)
    raw.close()


def _run(client: Any, ended: threading.Event) -> None:
    """A client that fails in a way it should not must not look like a quiet one."""
    try:
        client.run(ended)
    except BaseException as error:
        print(f"failed {client!r}: {error!r}", flush=True)
        raise


def _clients(spec: Spec, recorder: Recorder) -> Any:
    for index in range(spec.clients):
        name, seed = f"{spec.name}-{index}", spec.seed * 1_000 + index
        turned = spec.targets[index % len(spec.targets) :] + spec.targets[: index % len(spec.targets)]
        if spec.kind == "write":
            yield Writer(name, turned, seed, spec.pause_seconds, recorder)
            continue
        namespace = NAMESPACES[index % len(NAMESPACES)]
        # Two processes of the service: a client goes to the next one when its own is gone.
        target = "ipv4:" + ",".join(turned)
        if index % 4 >= 2:
            yield AsyncAgent(name, target, namespace, seed, recorder)
        else:
            yield Agent(name, target, namespace, seed, recorder, **({"on_stale": "fail"} if index % 4 == 1 else {}))


def _streams(spec: Spec, recorder: Recorder) -> Any:
    for index in range(spec.clients):
        name, seed = f"{spec.name}-{index}", spec.seed * 1_000 + index
        target = spec.targets[index % len(spec.targets)]
        namespace = NAMESPACES[index % len(NAMESPACES)]
        follows = {prompt: [*ALIASES[: 1 + index % 2], SPLIT, "latest"] for prompt in (*PROMPTS, "not/there")}
        yield Watcher(f"{name}.watch", target, namespace, follows, seed, recorder)
        if index < len(NAMESPACES):
            yield FeedReader(f"{name}.feed", target, namespace, recorder)


if __name__ == "__main__":
    main()
