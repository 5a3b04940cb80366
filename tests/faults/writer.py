"""The writers of a run: every kind of write, with request ids of their own, and strong reads in between."""

import random
import threading
from collections.abc import Callable
from typing import Final

from tests.faults.history import MOVES, Op, Sink, moves_of
from tests.faults.raw import Raw
from tests.faults.workload import ALIASES, DELETED, KEYS, NAMESPACES, PROMPTS, SPLIT

ATTEMPTS = 6
RECENT = 5
"""Of the newest versions aliases are pointed at, and deleted."""
CHOICES: Final = {
    "read": 40,
    "set": 14,
    "swap": 7,
    "delete": 4,
    "register": 11,
    "tag": 5,
    "untag": 3,
    "release": 6,
    "undo": 4,
    "rollback": 8,
    "split": 5,
    "delete_version": 3,
    "undelete_version": 2,
    "delete_prompt": 1,
}
"""What a writer does next, by weight."""


class Writer:
    """Writes with request ids of its own, repeats some of them, and reads strongly in between."""

    def __init__(self, client: str, targets: list[str], seed: int, pause_seconds: float, sink: Sink) -> None:
        self._draw = random.Random(seed)
        self._pause_seconds = pause_seconds
        self._raw = Raw(client, targets[0], sink)
        self._other = Raw(f"{client}.other", targets[-1], sink)
        self._known: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str, str], int] = {}
        self._releases: dict[tuple[str, str], int] = {}
        """By namespace and prompt: the revision of its newest release, or of the undo of one."""
        self._deleted: list[tuple[str, str, int]] = []
        """Versions that it deleted, with their prompts."""

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(self._draw.expovariate(1 / self._pause_seconds)):
            self._one(ended)
        self._raw.close()
        self._other.close()

    def _one(self, ended: threading.Event) -> None:
        draw = self._draw
        namespace, name, alias = draw.choice(NAMESPACES), draw.choice(PROMPTS), draw.choice((*ALIASES, SPLIT))
        known = self._known.get((namespace, name), 0)
        choice = draw.choices(tuple(CHOICES), tuple(CHOICES.values()))[0]
        request_id = self._raw.request_id()
        if choice == "read":
            self._read(namespace, name, alias)
        elif choice == "register" or not known:
            text = f"{namespace}:{name}:{request_id} for {{{{customer}}}}"
            self._write(ended, lambda raw: raw.register(namespace, name, text, request_id))
        elif choice in ("tag", "untag"):
            self._write_tags(ended, choice, namespace, name, draw.choice((0, draw.randint(1, known))))
        elif choice in ("delete_version", "undelete_version", "delete_prompt"):
            self._delete(ended, choice, namespace, name, self._recent(known))
        else:
            self._move(ended, choice, namespace, name, alias, known)

    def _recent(self, known: int) -> int:
        return self._draw.randint(max(1, known - RECENT), known)

    def _read(self, namespace: str, name: str, alias: str) -> None:
        draw = self._draw
        raw = draw.choice((self._raw, self._other))
        how = draw.random()
        selector = alias if how < 0.8 else draw.choice(("latest", "1"))
        strong, token, key = draw.random() < 0.5, draw.random() < 0.5, draw.choice((None, *KEYS))
        self._learn(raw.resolve(namespace, name, selector, strong=strong, token=token, key=key))

    def _write_tags(self, ended: threading.Event, choice: str, namespace: str, name: str, version: int) -> None:
        request_id, key = self._raw.request_id(), self._draw.choice("ab")
        if choice == "tag":
            self._write(ended, lambda raw: raw.set_tags(namespace, name, version, {key: request_id}, request_id))
        else:
            self._write(ended, lambda raw: raw.delete_tags(namespace, name, version, (key,), request_id))

    def _move(self, ended: threading.Event, choice: str, namespace: str, name: str, alias: str, known: int) -> None:
        draw, request_id = self._draw, self._raw.request_id()
        version, expected = self._recent(known), self._seen.get((namespace, name, alias), 0)
        if choice == "delete":
            expects = expected or None
            self._write(ended, lambda raw: raw.delete_alias(namespace, name, alias, request_id, expects))
        elif choice == "release":
            self._write(ended, lambda raw: raw.release(namespace, name, ALIASES, version, request_id))
        elif choice == "undo":
            if draw.random() < 0.5:
                release = self._raw.request_id()
                self._write(ended, lambda raw: raw.release(namespace, name, ALIASES, version, release))
            number = self._releases.get((namespace, name))
            if number:
                self._write(ended, lambda raw: raw.undo(namespace, name, number, request_id))
        elif choice == "rollback":
            to = version if draw.random() < 0.2 else 0
            self._write(ended, lambda raw: raw.rollback(namespace, name, alias, request_id, to))
        elif choice == "split":
            weights = {self._recent(known): 3.0, version: 1.0}
            self._write(ended, lambda raw: raw.set_split(namespace, name, SPLIT, weights, request_id))
        else:
            swaps = expected if choice == "swap" else None
            self._write(ended, lambda raw: raw.set_alias(namespace, name, alias, version, request_id, swaps))

    def _delete(self, ended: threading.Event, choice: str, namespace: str, name: str, version: int) -> None:
        """Versions mostly come back in the end, and prompts soon; what does not is purged."""
        draw, request_id = self._draw, self._raw.request_id()
        if choice == "delete_version":
            drops = draw.random() < 0.3
            op = self._write(ended, lambda raw: raw.delete_version(namespace, name, version, request_id, drop=drops))
            if op.outcome == "ok":
                self._deleted.append((namespace, name, version))
        elif choice == "undelete_version":
            if self._deleted:
                back = self._deleted.pop()
                self._write(ended, lambda raw: raw.undelete_version(*back, request_id))
        else:
            self._write(ended, lambda raw: raw.delete_prompt(namespace, DELETED, request_id))
            # Others find it deleted for a random while; a moment, not a condition, is what is wanted.
            if draw.random() < 0.8 and not ended.wait(draw.uniform(0.05, 0.3)):
                again = self._raw.request_id()
                self._write(ended, lambda raw: raw.undelete_prompt(namespace, DELETED, again))

    def _write(self, ended: threading.Event, attempt: Callable[[Raw], Op]) -> Op:
        """Until it is answered, with one request id; some are given up in doubt, some are asked again."""
        raw = self._raw
        for _ in range(ATTEMPTS):
            op = attempt(raw)
            if op.outcome != "unknown":
                break
            if self._draw.random() < 0.1 or ended.wait(self._draw.uniform(0.05, 0.4)):
                return op
            raw = self._draw.choice((self._raw, self._other))
        self._learn(op)
        if op.outcome == "ok" and self._draw.random() < 0.15:
            attempt(self._draw.choice((self._raw, self._other)))
        return op

    def _learn(self, op: Op) -> None:
        if op.outcome != "ok":
            return
        if op.kind == "register" or (op.kind == "read" and op.selector == "latest" and op.version):
            self._known[op.namespace, op.name] = max(op.version, self._known.get((op.namespace, op.name), 0))
        elif op.kind == "read":
            self._seen[op.namespace, op.name, op.selector] = op.version
        elif op.kind in ("release", "undo"):
            self._releases[op.namespace, op.name] = op.revision
        targets = {alias: target for alias, (target, _) in moves_of(op).items()} if op.kind in MOVES else {}
        for alias, target in targets.items():
            self._seen[op.namespace, op.name, alias] = int(target) if target.isdigit() else 0
