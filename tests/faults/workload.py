"""The traffic of a run: what it is about, and agents that read through promptwire.Client; see writer.py for writers.

Values are unique: a version's text names its namespace, prompt and request. Each client draws from a seed of its own.
"""

import asyncio
import itertools
import random
import threading
from collections.abc import Callable
from typing import Any

import promptwire
from promptwire.errors import ConflictError, NotFoundError, PromptwireError, StaleError
from promptwire.v1 import common_pb2 as common
from tests.faults.history import Op, Sink, now
from tests.faults.raw import target_of

NAMESPACES = ("red", "blue")
"""Both have the same prompts; nothing of one may appear in the other."""
PROMPTS = ("greeting", "folder/billing", "support")
DELETED = "support"
"""The one of them that is deleted and purged now and then."""
ALIASES = ("production", "staging")
SPLIT = "ab"
"""An alias that is mostly split."""
KEYS = ("ann", "bob", "cleo", "dan")
"""Whose versions of a split are asked for."""
ABSENT_NS = 60_000_000_000
"""How old the service may let an answer get while the store is away; one that there is nothing carries no age."""


class Agent:
    """Reads through promptwire.Client in bursts of hits, by handle too, and now and then writes."""

    def __init__(self, client: str, target: str, namespace: str, seed: int, sink: Sink, **options: Any) -> None:
        self.client = client
        self._namespace = namespace
        self._draw = random.Random(seed)
        self._sink = sink
        self._numbers = itertools.count(1)
        self._options = {"timeout_seconds": 3.0, "lease_seconds": 3.0, "renew_seconds": 1.0, **options}
        self._fails_stale = self._options.get("on_stale") == "fail"
        self._made = promptwire.Client(target, namespace=namespace, actor="faults", **self._options)
        self._request_id = ""
        # The request id of a write has to be known to find it in the log.
        self._made._core.operations._write = self._write_options  # type: ignore[method-assign]
        self._handles: dict[str, promptwire.Handle] = {}

    def _write_options(self, reason: str = "") -> common.WriteOptions:
        return common.WriteOptions(request_id=self._request_id, actor="faults", reason=reason)

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(self._draw.expovariate(1 / 0.03)):
            name, selector = self._draw.choice(PROMPTS), self._draw.choice((*ALIASES, SPLIT, "latest"))
            choice = self._draw.random()
            hits = self._draw.choice((1, 10, 500))
            if choice < 0.75 or selector == SPLIT:
                self.load(name, selector, hits)
            elif choice < 0.93:
                self._load_by_handle(name, selector, hits)
            elif self.write(name, self._draw.choice(ALIASES)):
                self.load(name, selector, hits)
        self.close()

    def close(self) -> None:
        self._made.close()

    @property
    def watched(self) -> bool:
        """Whether its stream has vouched for what it has loaded."""
        return self._made.status().fresh

    def load(self, name: str, selector: str, hits: int = 1) -> None:
        reference = f"{name}@{selector}"
        key = self._draw.choice(KEYS) if selector == SPLIT else None
        self._hits(name, selector, self.client, lambda: self._made.load_prompt(reference, key=key), hits)

    def _load_by_handle(self, name: str, selector: str, hits: int) -> None:
        reference = f"{name}@{selector}"
        handle = self._handles.get(reference)
        if handle is None:
            try:
                handle = self._handles[reference] = self._made.handle(reference)
            except PromptwireError:
                return
        self._hits(name, selector, f"{self.client}.handle", lambda: handle.current, hits)

    def _hits(
        self, name: str, selector: str, client: str, load: Callable[[], promptwire.PromptVersion], hits: int
    ) -> None:
        """A burst, as one record for each run of hits that returned the same object."""
        held, first, last, count = None, now(), 0, 0
        for _ in range(hits):
            try:
                value = load()
            except NotFoundError:
                value = None
            except (StaleError, PromptwireError) as error:
                self._absent(name, selector, client, first, "failed", error.reason or error.code)
                break
            at = now()
            if count and value is not held:
                self._loaded(name, selector, client, held, first, last, count)
                count = 0
            if not count:
                held, first = value, at
            last, count = at, count + 1
        if count:
            self._loaded(name, selector, client, held, first, last, count)

    def _loaded(
        self,
        name: str,
        selector: str,
        client: str,
        value: promptwire.PromptVersion | None,
        first: int,
        last: int,
        count: int,
    ) -> None:
        if value is None:
            self._absent(name, selector, client, first, "ok", "")
            return
        fails = self._fails_stale and not client.endswith(".handle")
        self._sink.add(
            Op(
                client=client,
                namespace=self._namespace,
                kind="load",
                name=name,
                selector=selector,
                start=first,
                end=last,
                count=count,
                version=value.version,
                text=value.template,
                tags=dict(value.tags),
                aliases=tuple(value.aliases),
                lease_ns=int(self._options["lease_seconds"] * 1e9),
                stale=value.stale,
                fails_stale=fails,
            )
        )

    def _absent(self, name: str, selector: str, client: str, start: int, outcome: Any, reason: str) -> None:
        """An error, or NOT_FOUND, which the service is asked for each time."""
        self._sink.add(
            Op(
                client=client,
                namespace=self._namespace,
                kind="load",
                name=name,
                selector=selector,
                start=start,
                end=now(),
                outcome=outcome,
                reason=reason,
                lease_ns=ABSENT_NS,
            )
        )

    def write(self, name: str, alias: str, version: int = 0) -> bool:
        """Points an alias at a version, or at the newest one; whether it was acknowledged."""
        self._request_id = f"{self.client}.{next(self._numbers)}"
        try:
            version = version or self._made.load_prompt(f"{name}@latest").version
        except PromptwireError:
            return False
        asked: dict[str, Any] = {
            "client": self.client,
            "namespace": self._namespace,
            "kind": "set_alias",
            "name": name,
            "selector": alias,
            "version": version,
            "target": target_of(version),
            "request_id": self._request_id,
            "start": now(),
        }
        try:
            change = self._made.set_prompt_alias(name, alias, version)
        except (NotFoundError, ConflictError) as error:
            self._sink.add(Op(end=now(), outcome="failed", reason=error.reason, **asked))
            return False
        except PromptwireError as error:
            self._sink.add(Op(end=now(), outcome="unknown", reason=error.reason or error.code, **asked))
            return False
        place, previous = change.revision, target_of(change.previous_version or 0)
        self._sink.add(Op(end=now(), previous=previous, epoch=place.epoch, revision=place.number, **asked))
        return True


class AsyncAgent:
    """The same hits through promptwire.AsyncClient, in a loop of its own."""

    def __init__(self, client: str, target: str, namespace: str, seed: int, sink: Sink) -> None:
        self.client = client
        self._target = target
        self._namespace = namespace
        self._draw = random.Random(seed)
        self._sink = sink

    def run(self, ended: threading.Event) -> None:
        asyncio.run(self._run(ended))

    async def _run(self, ended: threading.Event) -> None:
        made = promptwire.AsyncClient(
            self._target, namespace=self._namespace, timeout_seconds=3.0, lease_seconds=3.0, renew_seconds=1.0
        )
        async with made:
            while not ended.is_set():
                await self._load(made, self._draw.choice(PROMPTS), self._draw.choice((*ALIASES, SPLIT, "latest")))
                await asyncio.sleep(self._draw.expovariate(1 / 0.03))

    async def _load(self, made: promptwire.AsyncClient, name: str, selector: str) -> None:
        what: dict[str, Any] = {
            "client": self.client,
            "namespace": self._namespace,
            "kind": "load",
            "name": name,
            "selector": selector,
            "lease_ns": 3_000_000_000,
        }
        key = self._draw.choice(KEYS) if selector == SPLIT else None
        start = now()
        try:
            value = await made.load_prompt(f"{name}@{selector}", key=key)
        except NotFoundError:
            self._sink.add(Op(start=start, end=now(), **{**what, "lease_ns": ABSENT_NS}))
            return
        except PromptwireError as error:
            self._sink.add(Op(start=start, end=now(), outcome="failed", reason=error.reason or error.code, **what))
            return
        what |= {"version": value.version, "text": value.template, "tags": dict(value.tags)}
        what |= {"aliases": tuple(value.aliases), "stale": value.stale}
        self._sink.add(Op(start=start, end=now(), **what))
