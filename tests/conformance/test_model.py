"""Random writes have the same outcome on the real store as on the one in memory, which folds the log it writes."""

import asyncio
import itertools
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from promptwire.domain.content import Content
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import DeleteAlias, DeleteTags, Register, SetAlias, SetTags, Write
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.topologies import Topology

_numbers = itertools.count(1)

names = st.sampled_from(["p", "q", "folder/p"])
aliases = st.sampled_from(["production", "staging", "a"])
versions = st.integers(1, 4)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
tags = st.dictionaries(
    st.one_of(st.sampled_from(["a", "1", "ключ"]), texts), texts | st.just(""), min_size=1, max_size=3
)


@st.composite
def operations(draw: st.DrawFn) -> Register | SetAlias | DeleteAlias | SetTags | DeleteTags:
    name = draw(names)
    expected = draw(st.none() | st.integers(0, 3))
    version = draw(st.none() | versions)
    match draw(st.integers(0, 4)):
        case 0:
            content = Content(draw(texts))
            return Register(
                name=name,
                content=content,
                digest=content.digest,
                commit_message=draw(texts | st.just("")),
                tags=draw(tags | st.just({})),
            )
        case 1:
            return SetAlias(name=name, alias=draw(aliases), version=draw(versions), expected_version=expected)
        case 2:
            return DeleteAlias(
                name=name, alias=draw(aliases), expected_version=expected, allow_missing=draw(st.booleans())
            )
        case 3:
            return SetTags(name=name, version=version, tags=draw(tags))
    return DeleteTags(name=name, version=version, keys=tuple(draw(tags)))


writes = st.lists(
    st.builds(
        lambda operation, request, etag, reason: Write(
            operation=operation, request_id=f"r{request}", actor="ana@laptop", reason=reason, expected_etag=etag
        ),
        operations(),
        st.integers(0, 30),
        st.sampled_from([None, None, None, None, 0, 1, 2, 3]),
        texts | st.just(""),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(sequence=writes)
def test_the_real_store_and_the_one_in_memory_agree(
    start_topology: Callable[[str], Topology], sequence: list[Write]
) -> None:
    asyncio.run(_compare(start_topology("valkey").url, sequence))


async def _compare(url: str, sequence: list[Write]) -> None:
    namespace = f"model-{next(_numbers)}"
    real = RedisStore(connect(StoreTarget.parse(url)), StoreInfo(url, "valkey", "none"))
    model = MemoryStore()
    try:
        for write in sequence:
            assert await _outcome(real, namespace, write) == await _outcome(model, namespace, write)
        assert await _everything(real, namespace) == await _everything(model, namespace)
    finally:
        await real.close()


async def _outcome(store: Store, namespace: str, write: Write) -> object:
    try:
        written = await store.write(namespace, write)
    except RegistryError as error:
        return error.reason, error.message, error.metadata
    return written.revision.number, written.version, written.previous_version, written.actor


async def _everything(store: Store, namespace: str) -> object:
    prompts = (await store.list_prompts(namespace, after="", prefix="", limit=100)).value
    page = await store.read_log(namespace, after=0, limit=100)
    return (
        [(one.name, one.latest_version, one.aliases, one.tags, one.author, one.etag) for one in prompts],
        [
            (
                record.name,
                record.version,
                record.content,
                record.digest,
                record.commit_message,
                record.tags,
                record.etag,
            )
            for prompt in prompts
            for record in (
                await store.list_versions(namespace, prompt.name, before=100, limit=100, max_bytes=1 << 20)
            ).value
        ],
        [(entry.number, entry.actor, entry.reason, entry.request_id, entry.changes) for entry in page.entries],
    )
