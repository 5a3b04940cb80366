"""Random writes have the same outcome on the real store as on the one in memory, which folds the log it writes."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from promptwire.domain.content import Content, Include
from promptwire.domain.splits import Split
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteTags,
    DeleteVersion,
    Operation,
    Purge,
    Register,
    RollbackAlias,
    SetAlias,
    SetTags,
    UndeletePrompt,
    UndeleteVersion,
    Write,
)
from promptwire_service.storage.base import Store, StoreInfo
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.storage.redis.connection import connect
from promptwire_service.storage.redis.store import RedisStore
from promptwire_service.storage.redis.target import StoreTarget
from tests.support.topologies import Topology

_numbers = itertools.count(1)
NEVER_MS = 10**15
"""Later than any time."""

NAMES = ["p", "q", "folder/p"]
ALIASES = ["production", "staging", "a"]
names = st.sampled_from(["p", "p", "p", "q", "q", "folder/p"])
aliases = st.sampled_from(ALIASES)
versions = st.integers(1, 4)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
few_texts = st.sampled_from(["one", "two {{x}}", "\u00e9\0"])
splits = st.builds(
    lambda salt, end, pair: Split(salt, ((end, pair[0]), (10_000, pair[1]))),
    st.sampled_from(["", "s\u00e4lt\0"]),
    st.integers(1, 9_999),
    st.sampled_from([(1, 2), (2, 1), (3, 1)]),
)
targets = versions | versions | splits
or_newest = targets | st.none()
tags = st.dictionaries(
    st.one_of(st.sampled_from(["a", "1", "ключ"]), texts), texts | st.just(""), min_size=1, max_size=3
)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    name = draw(names)
    expected = draw(st.sampled_from([None, None, None, None, 0, 1, 2]))
    version = draw(st.none() | versions)
    match draw(st.integers(0, 4)):
        case 0:
            pins = tuple(
                Include(included, draw(versions), Content(draw(few_texts)).digest)
                for included in draw(st.lists(names, max_size=1))
            )
            content = Content(draw(few_texts), includes=pins)
            return Register(
                name=name,
                content=content,
                digest=content.digest,
                commit_message=draw(texts | st.just("")),
                tags=draw(tags | st.just({})),
                expected_latest=draw(st.sampled_from([None, None, None, None, 0, 3])),
            )
        case 1:
            return SetAlias(name=name, alias=draw(aliases), target=draw(or_newest), expected=expected)
        case 2:
            return DeleteAlias(name=name, alias=draw(aliases), expected=expected, allow_missing=draw(st.booleans()))
        case 3:
            return SetTags(name=name, version=version, tags=draw(tags))
    return DeleteTags(name=name, version=version, keys=tuple(draw(tags)))


deletions = st.one_of(
    st.builds(DeleteVersion, name=names, version=versions, drop_aliases=st.booleans()),
    st.builds(UndeleteVersion, name=names, version=versions),
    st.builds(DeletePrompt, name=names),
    st.builds(UndeletePrompt, name=names),
)
alone = st.one_of(
    deletions,
    deletions,
    st.builds(RollbackAlias, name=names, alias=aliases, expected=st.sampled_from([None, None, 0, 1, 2])),
    st.builds(Purge, before_ms=st.sampled_from([0, NEVER_MS]), limit=st.integers(1, 5)),
)
writes = st.lists(
    st.builds(
        Write,
        operations=st.lists(operations(), min_size=1, max_size=3).map(tuple) | st.tuples(alone),
        request_id=st.integers(0, 200).map("r{}".format),
        actor=st.just("ana@laptop"),
        reason=texts | st.just(""),
        expected_etag=st.sampled_from([None] * 15 + [0, 3, 5]),
        release=st.sampled_from([None, None, "", "Friday"]),
        undoes=st.sampled_from([None] * 15 + [1, 7]),
        dry_run=st.sampled_from([False, False, False, True]),
    ),
    max_size=25,
)


BEGINNING = [
    Write(operations=(operation,), request_id=f"begin-{number}", actor="ana@laptop", release="Begin")
    for number, operation in enumerate(
        [
            *(
                Register(name=name, content=Content("one"), digest=Content("one").digest, commit_message="", tags={})
                for name in ("p", "q", "p", "q", "p")
            ),
            *(SetAlias(name="p", alias="production", target=version) for version in (1, 2, 3)),
        ]
    )
]
"""So that most of what is drawn finds something to change."""


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
        for write in [*BEGINNING, *sequence]:
            assert await _outcome(real, namespace, write) == await _outcome(model, namespace, write)
        assert await _everything(real, namespace) == await _everything(model, namespace)
        assert await _kept(real, namespace) == await _kept(model, namespace)
    finally:
        await real.close()


async def _outcome(store: Store, namespace: str, write: Write) -> object:
    try:
        written = await store.write(namespace, write)
    except RegistryError as error:
        return error.reason, error.message, error.metadata
    finally:
        if isinstance(write.operations[0], DeleteVersion | DeletePrompt):
            _next_millisecond()
    results = [
        replace(one, problem=None) if one.problem is None else (one.problem.reason, one.problem.message)
        for one in written.results
    ]
    return written.revision.number, results, written.actor


def _next_millisecond() -> None:
    """Deletions are purged in the order of their times; those of one time in that of their names."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


async def _kept(store: Store, namespace: str) -> object:
    """What is kept for ever, but for times."""
    audit = (await store.read_audit(namespace, after=0, limit=100)).value
    releases = (await store.read_releases(namespace, before=NEVER_MS, limit=100)).value
    moves = [
        (name, alias, one.number, one.reason, one.request_id, one.target, one.previous, one.rollback)
        for name in NAMES
        for alias in ALIASES
        for one in (await store.read_history(namespace, name, alias, before=NEVER_MS, at_ms=None, limit=100)).value
    ]
    return (
        [
            (one.entry.number, one.entry.request_id, one.entry.changes, one.release, one.undoes, one.undone_by)
            for one in [*audit, *releases]
        ],
        moves,
        [(one.name, one.version) for one in (await store.list_deleted(namespace, skip=0, limit=100)).value],
        [
            (await store.read_dependents(namespace, name, version=None, after="", limit=100)).value.found
            for name in NAMES
        ],
    )


async def _everything(store: Store, namespace: str) -> object:
    listed = (await store.list_prompts(namespace, after="", prefix="", limit=100)).value
    read = (await store.read_prompts(namespace, NAMES)).value
    prompts = [prompt for prompt in read if prompt]
    assert [prompt.name for prompt in listed] == sorted(prompt.name for prompt in prompts if not prompt.deleted_ms)
    page = await store.read_log(namespace, after=0, limit=100)
    return (
        [
            replace(
                one,
                created_ms=0,
                updated_ms=0,
                deleted_versions=dict.fromkeys(one.deleted_versions, 0),
                deleted_ms=bool(one.deleted_ms),
            )
            for one in prompts
        ],
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
