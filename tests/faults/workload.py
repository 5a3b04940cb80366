"""The traffic of a run: writers, strong readers, and agents that read through promptwire.Client.

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
from tests.faults.raw import Raw

NAMESPACES = ("red", "blue")
"""Both have the same prompts; nothing of one may appear in the other."""
PROMPTS = ("greeting", "folder/billing", "support")
ALIASES = ("production", "staging")
ATTEMPTS = 6
ABSENT_NS = 60_000_000_000
"""How old the service may let an answer get while the store is away; one that there is nothing carries no age."""


class Writer:
    """Writes with request ids of its own, repeats some of them, and reads strongly in between."""

    def __init__(self, client: str, targets: list[str], seed: int, pause_seconds: float, sink: Sink) -> None:
        self._draw = random.Random(seed)
        self._pause_seconds = pause_seconds
        self._raw = Raw(client, targets[0], sink)
        self._other = Raw(f"{client}.other", targets[-1], sink)
        self._known: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str, str], int] = {}

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(self._draw.expovariate(1 / self._pause_seconds)):
            self._one(ended)
        self._raw.close()
        self._other.close()

    def _one(self, ended: threading.Event) -> None:
        draw = self._draw
        namespace, name, alias = draw.choice(NAMESPACES), draw.choice(PROMPTS), draw.choice(ALIASES)
        known = self._known.get((namespace, name), 0)
        choice = draw.choices(
            ("read", "set", "swap", "delete", "register", "tag", "release"), (45, 18, 9, 4, 11, 7, 6)
        )[0]
        if choice == "read":
            self._read(namespace, name, alias)
        elif choice == "register" or not known:
            request_id = self._raw.request_id()
            text = f"{namespace}:{name}:{request_id} for {{{{customer}}}}"
            self._write(ended, lambda raw: raw.register(namespace, name, text, request_id))
        elif choice == "tag":
            request_id, version = self._raw.request_id(), draw.choice((0, draw.randint(1, known)))
            tags = {draw.choice("ab"): request_id}
            self._write(ended, lambda raw: raw.set_tags(namespace, name, version, tags, request_id))
        elif choice == "release":
            request_id, version = self._raw.request_id(), draw.randint(max(1, known - 5), known)
            self._write(ended, lambda raw: raw.release(namespace, name, ALIASES, version, request_id))
        else:
            self._write_alias(ended, choice, namespace, name, alias, known)

    def _read(self, namespace: str, name: str, alias: str) -> None:
        draw = self._draw
        raw = draw.choice((self._raw, self._other))
        how = draw.random()
        selector = alias if how < 0.8 else draw.choice(("latest", "1"))
        op = raw.resolve(namespace, name, selector, strong=draw.random() < 0.5, token=draw.random() < 0.5)
        self._learn(op)

    def _write_alias(
        self, ended: threading.Event, choice: str, namespace: str, name: str, alias: str, known: int
    ) -> None:
        request_id = self._raw.request_id()
        expected = self._seen.get((namespace, name, alias), 0)
        if choice == "delete":
            expects = expected or None
            self._write(ended, lambda raw: raw.delete_alias(namespace, name, alias, request_id, expects))
            return
        expects = expected if choice == "swap" else None
        version = self._draw.randint(max(1, known - 5), known)
        self._write(ended, lambda raw: raw.set_alias(namespace, name, alias, version, request_id, expects))

    def _write(self, ended: threading.Event, attempt: Callable[[Raw], Op]) -> None:
        """Until it is answered, with one request id; some are given up in doubt, some are asked again."""
        raw = self._raw
        for _ in range(ATTEMPTS):
            op = attempt(raw)
            if op.outcome != "unknown":
                break
            if self._draw.random() < 0.1 or ended.wait(self._draw.uniform(0.05, 0.4)):
                return
            raw = self._draw.choice((self._raw, self._other))
        self._learn(op)
        if op.outcome == "ok" and self._draw.random() < 0.15:
            attempt(self._draw.choice((self._raw, self._other)))

    def _learn(self, op: Op) -> None:
        if op.outcome != "ok":
            return
        if op.kind == "register" or (op.kind == "read" and op.selector == "latest"):
            self._known[op.namespace, op.name] = op.version
        elif op.selector in ALIASES or op.kind == "release":
            for alias in op.moves or [op.selector]:
                self._seen[op.namespace, op.name, alias] = op.version


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
            name, selector = self._draw.choice(PROMPTS), self._draw.choice((*ALIASES, "latest"))
            choice = self._draw.random()
            hits = self._draw.choice((1, 10, 500))
            if choice < 0.75:
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
        self._hits(name, selector, self.client, lambda: self._made.load_prompt(reference), hits)

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
        place, previous = change.revision, change.previous_version or 0
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
                await self._load(made, self._draw.choice(PROMPTS), self._draw.choice((*ALIASES, "latest")))
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
        start = now()
        try:
            value = await made.load_prompt(f"{name}@{selector}")
        except NotFoundError:
            self._sink.add(Op(start=start, end=now(), **{**what, "lease_ns": ABSENT_NS}))
            return
        except PromptwireError as error:
            self._sink.add(Op(start=start, end=now(), outcome="failed", reason=error.reason or error.code, **what))
            return
        what |= {"version": value.version, "text": value.template, "tags": dict(value.tags)}
        what |= {"aliases": tuple(value.aliases), "stale": value.stale}
        self._sink.add(Op(start=start, end=now(), **what))
