"""Many references in one call: each has its own outcome, and all share one freshness."""

import asyncio
from collections.abc import Collection

import pytest

from promptwire.domain import limits
from promptwire_service.commands import batch_resolve as module
from promptwire_service.commands.batch_resolve import BatchResolved, batch_resolve
from promptwire_service.commands.pairs import Resolved
from promptwire_service.domain.errors import Code, RegistryError, store_unavailable
from promptwire_service.domain.reads import CACHED, STRONG, Answer, Freshness
from promptwire_service.domain.records import Revision
from tests.unit.service.fakes import NOW, Below, a_prompt, a_version, fields


async def batch(
    below: Below, *references: str, freshness: Freshness = CACHED, held: Collection[bytes] = ()
) -> BatchResolved:
    return await batch_resolve(
        below.registry, namespace="default", references=references, freshness=freshness, held=held
    )


def told(answer: BatchResolved) -> list[int | str]:
    """The version of each outcome, or the reason why there is none."""
    return [
        outcome.result.version.version if isinstance(outcome.result, Resolved) else outcome.result.reason
        for outcome in answer.outcomes
    ]


@pytest.fixture(autouse=True)
def stored(below: Below) -> None:
    below.store.add(a_prompt(production=2), a_version(1), a_version(2), a_version(3))


async def test_bad_references_and_duplicates_have_outcomes_of_their_own_in_order(below: Below) -> None:
    references = ("team/greeting@production", "//", "team/nobody", "team/greeting@x", "team/greeting@production", "")
    answer = await batch(below, *references)
    assert tuple(outcome.reference for outcome in answer.outcomes) == references
    assert told(answer) == [2, "INVALID_ARGUMENT", "PROMPT_NOT_FOUND", "ALIAS_NOT_FOUND", 2, "INVALID_ARGUMENT"]


async def test_freshness_is_established_once_and_then_caches_do(below: Below) -> None:
    await batch(below, "team/greeting", "team/greeting/1", freshness=STRONG)
    assert below.reader.reached == [("default", STRONG)]
    assert {freshness for *_, freshness in below.reader.asked} == {CACHED}


async def test_the_revision_is_the_oldest_of_all(below: Below) -> None:
    prompt = a_prompt(production=2)
    below.reader.script.extend(
        Answer(value, Revision("epoch", number), age)
        for _ in range(3)  # read again, as long as the revisions differ
        for value, number, age in [
            (prompt, 35, 0.1),
            (a_version(2), 35, 0.1),
            (prompt, 31, 0.3),
            (a_version(1), 31, 0.1),
        ]
    )
    answer = await batch(below, "team/greeting@production", "team/greeting/1")
    assert answer.revision is not None
    assert (answer.revision.number, answer.max_age_seconds) == (31, 0.3)


async def test_a_batch_that_looked_nothing_up_has_no_revision(below: Below) -> None:
    assert (await batch(below, "no such name!")).revision is None
    assert (await batch(below, "nobody")).revision == NOW, "that there is nobody was so at some revision, too"
    assert (await batch(below, "team/greeting")).revision == NOW


async def test_an_empty_batch_is_refused(below: Below) -> None:
    with pytest.raises(RegistryError) as caught:
        await batch(below)
    assert fields(caught.value) == ["references"]


async def test_the_largest_batch_is_answered_whole(below: Below) -> None:
    answer = await batch(below, *(f"team/greeting/{number % 4}" for number in range(limits.BATCH_MAX)))
    assert len(answer.outcomes) == limits.BATCH_MAX
    assert told(answer)[:5] == ["INVALID_ARGUMENT", 1, 2, 3, "INVALID_ARGUMENT"]


async def test_freshness_that_cannot_be_had_fails_the_batch(below: Below) -> None:
    below.store.failure = store_unavailable("it is away")
    with pytest.raises(RegistryError) as caught:
        await batch(below, "team/greeting", freshness=STRONG)
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_batch_answers_as_many_as_fit_and_reads_little_more(
    below: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_MAX_BYTES", 2 * a_version(1).size_bytes)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    references = ["team/greeting/1", "nobody", "team/greeting/2", "team/greeting/3", "team/greeting/1"]
    answer = await batch(below, *references)
    assert told(answer) == [1, "PROMPT_NOT_FOUND", 2]
    reads = len(below.reader.asked)
    rest = await batch(below, *references[3:])
    assert told(rest) == [3, 1]
    assert len(below.reader.asked) < reads + 6


async def test_what_the_caller_holds_takes_up_no_room(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [a_version(number, text="x" * 10_000) for number in (1, 2, 3)]
    below.store.add(a_prompt(), *large)
    monkeypatch.setattr(limits, "ANSWER_MAX_BYTES", 12_000)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    references = [f"team/greeting/{number}" for number in (1, 2, 3)]
    assert told(await batch(below, *references)) == [1, 2]
    assert told(await batch(below, *references, held=[large[0].token, large[1].token])) == [1, 2, 3]


async def test_answers_of_several_revisions_are_read_again(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read finds the store at one revision, the next ones at a later one: as when what is not cached is read
    while others write.
    """
    read, reads = below.reader.prompt, 0

    async def moving(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        if reads == 2:
            below.store.revision = Revision("epoch", 41)
        return await read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(below.reader, "prompt", moving)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    answer = await batch(below, "team/greeting/1", "team/greeting/2")
    assert {outcome.result.revision for outcome in answer.outcomes} == {answer.revision} == {Revision("epoch", 41)}
    assert reads == 4


async def test_a_cold_batch_reads_a_bounded_number_at_once(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, most = 0, 0
    read = below.reader.prompt

    async def slow(*arguments: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(below.reader, "prompt", slow)
    await batch(below, *(f"team/p{number}x" for number in range(200)))
    assert 1 < most <= 32
