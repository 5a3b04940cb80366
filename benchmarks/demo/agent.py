"""One agent of the demo, in a process of its own: loads its prompts over and over, and notes when one becomes another
version.

`python -m benchmarks.demo.agent OPTIONS`, a JSON object: {target, references, pause_seconds}. Prints a JSON line for
each change that `load_prompt` returned: {reference, version, at_ns}, of CLOCK_MONOTONIC; at the end of stdin one more:
{hits, ns_per_hit}.

A burst is a tight loop of hits, as fast as Python goes; after it comes a pause. Without pauses the agents alone would
take all processors of a small machine, and the service would show how long a process waits for its turn.
"""

import json
import statistics
import sys
import threading
import time
from typing import Final

import promptwire

HITS_IN_BURST: Final = 2_000
"""Over all references together; some 0.2 ms."""
_BURSTS_KEPT: Final = 20_000


class Agent:
    def __init__(self, client: promptwire.Client, references: list[str]) -> None:
        self._load = client.load_prompt
        self._seen: dict[str, promptwire.PromptVersion | None] = dict.fromkeys(references)
        self._rounds = HITS_IN_BURST // len(references)
        self.hits = 0
        self._ns_per_hit: list[float] = []

    def burst(self) -> None:
        """Every hit is looked at. Its price includes the loop and the comparison."""
        load, seen = self._load, self._seen
        began = time.perf_counter_ns()
        for _ in range(self._rounds):
            for reference, last in seen.items():
                prompt = load(reference)
                if prompt is not last:
                    self._changed(reference, prompt)
        took = time.perf_counter_ns() - began
        count = self._rounds * len(seen)
        self.hits += count
        if len(self._ns_per_hit) < _BURSTS_KEPT:
            self._ns_per_hit.append(took / count)

    def _changed(self, reference: str, prompt: promptwire.PromptVersion) -> None:
        at_ns = time.monotonic_ns()
        last, self._seen[reference] = self._seen[reference], prompt
        if last is None or prompt.version != last.version:
            print(json.dumps({"reference": reference, "version": prompt.version, "at_ns": at_ns}), flush=True)

    @property
    def ns_per_hit(self) -> float:
        """Median over the bursts: one that was interrupted does not count for more than another."""
        return statistics.median(self._ns_per_hit)


def main() -> None:
    options = json.loads(sys.argv[1])
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    with promptwire.Client(options["target"], timeout_seconds=30) as client:
        agent = Agent(client, options["references"])
        while not ended.wait(options["pause_seconds"]):
            agent.burst()
    print(json.dumps({"hits": agent.hits, "ns_per_hit": agent.ns_per_hit}), flush=True)


if __name__ == "__main__":
    main()
