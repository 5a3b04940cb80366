"""What was deleted long enough ago goes for good, and nothing else."""

import time

import pytest

from promptwire.domain.content import Content
from promptwire_service.commands.purge import ACTOR, purge
from promptwire_service.domain.operations import DeletePrompt, Operation, Register, Write
from promptwire_service.storage.memory import MemoryStore

NS = "default"


@pytest.fixture
async def store() -> MemoryStore:
    """With 25 deleted prompts and one that is there."""
    store = MemoryStore()
    content = Content("hello")
    for number in range(26):
        name = f"p{number}"
        await _write(
            store, Register(name=name, content=content, digest=content.digest, commit_message="", tags={}), f"r{name}"
        )
        if number:
            await _write(store, DeletePrompt(name=name), f"d{name}")
    return store


async def _write(store: MemoryStore, operation: Operation, request_id: str) -> None:
    await store.write(NS, Write(operations=(operation,), request_id=request_id, actor="ana"))


async def test_what_is_within_its_retention_stays_and_nothing_is_written(store: MemoryStore) -> None:
    before = (await store.read_log(NS, after=0, limit=1)).head
    assert await purge(store, NS, retention_seconds=3_600.0) == 0
    assert (await store.read_log(NS, after=0, limit=1)).head == before


async def test_what_is_past_its_retention_goes_a_part_at_a_time(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = time.time() + 86_400.0
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    before = (await store.read_log(NS, after=0, limit=1)).head.number
    assert await purge(store, NS, retention_seconds=3_600.0) == 25
    entries = (await store.read_log(NS, after=before, limit=9)).entries
    assert [len(entry.changes) for entry in entries] == [20, 5]
    assert {entry.actor for entry in entries} == {ACTOR}
    assert [prompt.name for prompt in (await store.list_prompts(NS, after="", prefix="", limit=99)).value] == ["p0"]
    assert await purge(store, NS, retention_seconds=3_600.0) == 0
