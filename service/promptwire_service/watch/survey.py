"""Asking all services on one store what their agents have: a question and its answers go over the store's messages.

Nothing is stored. Messages may be lost: then the survey says how many services it has not heard.
"""

import asyncio
import json
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from typing import Any

import structlog

from promptwire_service.domain.convergence import AliasPoint, Lag, Part, Survey
from promptwire_service.storage.base import Store
from promptwire_service.storage.tasks import end
from promptwire_service.watch.hub import Hub

_log = structlog.get_logger(__name__)

QUESTIONS = "converge"
ANSWERS = "converged"
ANSWER_SECONDS = 1.0
"""How long after the time that a question gives its answers are waited for."""
_QUESTIONS_AT_ONCE = 1_000


class _Pending:
    """A question of ours. `heard` is who answered, by service; our own question coming back counts, too."""

    def __init__(self) -> None:
        self.heard: dict[str, list[Part] | None] = {}
        self.moved = asyncio.Event()

    def hear(self, service: str, parts: list[Part] | None) -> None:
        self.heard.setdefault(service, parts)
        self.moved.set()


class Surveyor:
    """Asks, and answers what others ask, for all namespaces. A service that follows none of it answers, too."""

    def __init__(
        self, store: Store, hub_of: Callable[[str], Hub | None], answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._store = store
        self._hub_of = hub_of
        self._answer_seconds = answer_seconds
        self._id = uuid.uuid4().hex
        self._pending: dict[str, _Pending] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._stops = [
            store.on_message(QUESTIONS, self._hear_question),
            store.on_message(ANSWERS, self._hear_answer),
        ]

    async def close(self) -> None:
        for stop in self._stops:
            stop()
        for task in tuple(self._answering):
            await end(task)

    async def ask(self, namespace: str, epoch: str, points: Sequence[AliasPoint], wait_seconds: float) -> Survey:
        """Answers once all services' agents have these changes, or the time is over. Raises the store's error."""
        question = uuid.uuid4().hex
        pending = self._pending[question] = _Pending()
        try:
            text = json.dumps(
                {
                    "id": question,
                    "from": self._id,
                    "epoch": epoch,
                    "points": [astuple(point) for point in points],
                    "wait_seconds": wait_seconds,
                }
            )
            expected = await self._store.publish(namespace, QUESTIONS, text)
            own = asyncio.create_task(self._settled(namespace, epoch, points, wait_seconds))
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds + self._answer_seconds):
                        while len(pending.heard) < expected:
                            pending.moved.clear()
                            await pending.moved.wait()
                totals = await own
            finally:
                own.cancel()
        finally:
            del self._pending[question]
        for parts in pending.heard.values():
            for total, part in zip(totals, parts or (), strict=False):
                total.add(part)
        return Survey(totals, max(0, expected - len(pending.heard)))

    async def _settled(
        self, namespace: str, epoch: str, points: Sequence[AliasPoint], wait_seconds: float
    ) -> list[Part]:
        hub = self._hub_of(namespace)
        if hub is None:
            return [Part() for _ in points]
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while wait_seconds and not all(part.complete for part in hub.parts(epoch, points)):
                    await hub.convergence.wait_moved()
        return hub.parts(epoch, points)

    def _hear_question(self, namespace: str, text: str) -> None:
        question = json.loads(text)
        if question["from"] == self._id:
            if pending := self._pending.get(question["id"]):
                pending.hear(self._id, None)
        elif len(self._answering) < _QUESTIONS_AT_ONCE:
            task = asyncio.create_task(self._answer(namespace, question))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, namespace: str, question: dict[str, Any]) -> None:
        points = [AliasPoint(*point) for point in question["points"]]
        parts = await self._settled(namespace, question["epoch"], points, question["wait_seconds"])
        answer = {"id": question["id"], "from": self._id, "parts": [asdict(part) for part in parts]}
        try:
            await self._store.publish(namespace, ANSWERS, json.dumps(answer))
        except Exception as error:
            # The asker counts us as unheard.
            _log.warning("cannot tell who has a change", namespace=namespace, error=str(error))

    def _hear_answer(self, namespace: str, text: str) -> None:
        if not self._pending:
            return  # somebody else's, and it need not be read
        answer = json.loads(text)
        if pending := self._pending.get(answer["id"]):
            pending.hear(answer["from"], [_part(part) for part in answer["parts"]])


def _part(fields: dict[str, Any]) -> Part:
    return Part(**{**fields, "lagging": [Lag(**lag) for lag in fields["lagging"]]})
