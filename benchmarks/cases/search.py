"""A page of 100 out of 100,000 prompts of five versions each, against reading 100 known versions in one BatchResolve.

The goal is a time: the median of a page's calls is at most 10 ms, of a sorted one 50 ms, on the machine that it is
measured on. So the floor tells what of it is reading, sending and decoding 100 versions that need not be searched for.
Both sides are called by the blocking client, one call after the other; floor and search alternate in batches. What is
sorted is sorted by the first call: the others are pages of the list that is kept.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

import promptwire
from benchmarks.support.bench import Bench
from benchmarks.support.sampling import Comparison, interleave
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1 import prompt_service_pb2_grpc as pb_grpc

GOAL_MS: Final = 10.0
SORTED_GOAL_MS: Final = 50.0
NAMESPACE: Final = "search"
VERSIONS: Final = 5
_STEPS: Final = 1_000
_CALLS: Final = 5
_CALL_SECONDS: Final = 60.0

_SEARCHES: Final = {
    "tag =": ("tags.team = 'team-7'", ()),
    "tag = and name prefix": ("tags.team = 'team-7' AND name LIKE 'folder-7/prompt-0%'", ()),
    "name prefix": ("name LIKE 'folder-5/%'", ()),
    "alias =": ("alias = 'production'", ()),
    "everything": ("", ()),
    "newest first": ("", ("created_at DESC",)),
    "tag =, ordered by a tag": ("tags.rare = 'yes'", ("tags.cost", "name")),
}


def run(bench: Bench) -> Iterator[Comparison]:
    prompts = bench.pick(100_000, 2_000)
    with promptwire.Client(bench.service.target, namespace=NAMESPACE, timeout_seconds=_CALL_SECONDS) as client:
        _fill(client, prompts)
    with grpc.insecure_channel(bench.service.target) as channel:
        stub: Any = pb_grpc.PromptServiceStub(channel)
        for case, (filter, order) in _SEARCHES.items():
            request = pb.SearchVersionsRequest(namespace=NAMESPACE, filter=filter, order_by=order, page_size=100)
            page = stub.SearchVersions(request, timeout=_CALL_SECONDS)
            known = pb.BatchResolveRequest(
                namespace=NAMESPACE, references=[f"{one.name}/{one.version}" for one in page.versions]
            )
            ours, floor = interleave(
                _batch(stub.SearchVersions, request),
                _batch(stub.BatchResolve, known),
                repeats=bench.pick(15, 5),
                seconds=bench.seconds / 4,
            )
            median = statistics.median(ours)
            goal_ms = SORTED_GOAL_MS if order and order != ("created_at DESC",) else GOAL_MS
            yield Comparison(
                benchmark="search",
                case=f"{case}: {len(page.versions)} of {prompts:,} prompts",
                floor_is="BatchResolve of the same",
                unit="ms",
                ours=ours,
                floor=floor,
                notes=(f"p50 {median:.1f} ms, {'within' if median <= goal_ms else 'over'} the goal of {goal_ms:g} ms",),
            )


def _batch(call: Any, request: Any) -> Callable[[], float]:
    def measure() -> float:
        times = []
        for _ in range(_CALLS):
            began = time.perf_counter_ns()
            call(request, timeout=_CALL_SECONDS)
            times.append(time.perf_counter_ns() - began)
        return statistics.median(times) / 1e6

    return measure


def _fill(client: promptwire.Client, prompts: int) -> None:
    steps: list[promptwire.Register | promptwire.Move] = []
    for number in range(prompts):
        name = f"folder-{number % 10}/prompt-{number:06}"
        for version in range(1, VERSIONS + 1):
            tags = {"team": f"team-{number % 100}", "cost": str(version * number % 1_000)}
            if number % 50 == 0:
                tags["rare"] = "yes"
            aliases = ["production"] if version == 1 else []
            template = f"You help customers of team {number % 100}. {{{{question}}}}"
            steps.append(promptwire.Register(name=name, template=template, tags=tags, aliases=aliases))
            if len(steps) * 2 >= _STEPS:
                client.release("fill", steps)
                steps.clear()
    if steps:
        client.release("fill", steps)
