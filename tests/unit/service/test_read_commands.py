"""Commands that read one prompt or version: references, freshness, and pairs that were never torn apart."""

from typing import Any

import pytest

from promptwire_service.commands.get_prompt import get_prompt
from promptwire_service.commands.get_prompt_version import get_prompt_version
from promptwire_service.commands.pairs import Resolved
from promptwire_service.commands.resolve import resolve
from promptwire_service.domain.errors import Code, RegistryError
from promptwire_service.domain.reads import CACHED, STRONG, Answer, Freshness
from promptwire_service.domain.records import Revision
from tests.unit.service.fakes import NOW, Below, a_prompt, a_version, fields

PROMPT = a_prompt(production=2, staging=3, canary=2)


@pytest.fixture(autouse=True)
def stored(below: Below) -> None:
    below.store.add(PROMPT, a_version(1), a_version(2), a_version(3))


async def resolved(below: Below, reference: str, freshness: Freshness = CACHED) -> Resolved:
    return await resolve(below.registry, namespace="default", reference=reference, freshness=freshness)


async def refusal(below: Below, command: Any = resolve, **changed: Any) -> RegistryError:
    arguments = {"namespace": "default", "freshness": CACHED, **changed}
    with pytest.raises(RegistryError) as caught:
        await command(below.registry, **arguments)
    return caught.value


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("prompts:/team/greeting@production", 2),
        ("team/greeting@staging", 3),
        ("prompts:/team/greeting/1", 1),
        ("team/greeting", 3),
        ("team/greeting@latest", 3),
    ],
)
async def test_a_reference_means_a_version(below: Below, reference: str, version: int) -> None:
    assert (await resolved(below, reference)).version.version == version


async def test_a_version_comes_with_the_aliases_that_point_at_it(below: Below) -> None:
    pair = await resolved(below, "team/greeting@production")
    assert pair.prompt.aliases_of(pair.version.version) == ["canary", "production"]


async def test_an_answer_tells_how_good_it_is(below: Below) -> None:
    pair = await resolved(below, "team/greeting")
    assert (pair.revision, pair.max_age_seconds) == (NOW, 0.25)


@pytest.mark.parametrize(
    ("reference", "reason", "message"),
    [
        ("team/nobody", "PROMPT_NOT_FOUND", "no prompt 'team/nobody'"),
        ("team/greeting/4", "VERSION_NOT_FOUND", "no version 4; its newest is 3"),
        ("team/greeting@prod", "ALIAS_NOT_FOUND", "no alias 'prod'; it has canary, production, staging"),
    ],
)
async def test_what_is_not_there_is_named(below: Below, reference: str, reason: str, message: str) -> None:
    error = await refusal(below, reference=reference)
    assert (error.code, error.reason) == (Code.NOT_FOUND, reason)
    assert message in error.message


async def test_every_violation_of_a_read_comes_back_at_once(below: Below) -> None:
    error = await refusal(below, namespace="no way", reference="a//b")
    assert sorted(fields(error)) == ["namespace", "reference"]
    error = await refusal(below, get_prompt_version, namespace="", name="", version=0, freshness=CACHED)
    assert fields(error) == ["namespace", "name", "version"]


async def test_freshness_is_asked_for_of_both_reads(below: Below) -> None:
    freshness = Freshness(strong=True, min_revision=Revision("epoch", 7))
    await resolved(below, "team/greeting@production", freshness)
    assert below.reader.asked == [
        ("prompt", "default", "team/greeting", freshness),
        ("version", "default", "team/greeting/2", freshness),
    ]


async def test_get_prompt_answers_the_record(below: Below) -> None:
    answer = await get_prompt(below.registry, namespace="default", name="team/greeting", freshness=CACHED)
    assert answer == Answer(PROMPT, NOW, 0.25)


async def test_get_prompt_of_none_is_not_found(below: Below) -> None:
    assert (await refusal(below, get_prompt, name="team/nobody")).reason == "PROMPT_NOT_FOUND"


async def test_get_prompt_version_reads_by_number(below: Below) -> None:
    pair = await get_prompt_version(
        below.registry, namespace="default", name="team/greeting", version=2, freshness=CACHED
    )
    assert (pair.version.version, pair.prompt) == (2, PROMPT)


def at(value: Any, number: int, epoch: str = "epoch", age: float = 0.0) -> Answer[Any]:
    return Answer(value, Revision(epoch, number), age)


async def test_a_pair_read_at_two_revisions_is_told_as_of_the_older(below: Below) -> None:
    below.reader.script.extend([at(PROMPT, 30, age=0.5), at(a_version(2, etag=20), 35, age=0.1)])
    pair = await resolved(below, "team/greeting@production")
    assert (pair.revision.number, pair.max_age_seconds) == (30, 0.5)
    below.reader.script.extend([at(PROMPT, 35), at(a_version(2, etag=20), 30)])
    assert (await resolved(below, "team/greeting@production")).revision.number == 30


async def test_tags_set_between_the_two_reads_are_read_with_their_prompt(below: Below) -> None:
    older, newer = a_prompt(etag=17, production=2), a_prompt(etag=35, production=3)
    below.reader.script.extend(
        [at(older, 30), at(a_version(2, etag=33), 33), at(newer, 35), at(a_version(3, etag=17), 35)]
    )
    pair = await resolved(below, "team/greeting@production")
    assert (pair.prompt, pair.version.version, pair.revision.number) == (newer, 3, 35)
    assert [freshness for *_, freshness in below.reader.asked] == [CACHED, CACHED, STRONG, STRONG]


async def test_a_prompt_newer_than_its_version_record_is_read_again(below: Below) -> None:
    below.reader.script.extend([at(a_prompt(etag=33, production=2), 33), at(a_version(2, etag=17), 30)])
    assert (await resolved(below, "team/greeting@production")).revision == NOW
    assert len(below.reader.asked) == 4


async def test_a_version_that_vanished_in_between_is_read_again(below: Below) -> None:
    below.reader.script.extend([at(PROMPT, 30), at(None, 31)])
    assert (await resolved(below, "team/greeting@production")).version.version == 2


async def test_a_version_that_stays_away_is_not_found(below: Below) -> None:
    del below.store.versions["team/greeting", 2]
    assert (await refusal(below, reference="team/greeting@production")).reason == "VERSION_NOT_FOUND"
    assert len(below.reader.asked) == 6


async def test_a_pair_across_two_epochs_is_read_again(below: Below) -> None:
    below.reader.script.extend([at(PROMPT, 30), at(a_version(2), 3, epoch="another")])
    assert (await resolved(below, "team/greeting@production")).revision == NOW


async def test_epochs_that_keep_changing_are_unavailable(below: Below) -> None:
    for number in range(3):
        below.reader.script.extend([at(PROMPT, 30), at(a_version(2), 3, epoch=f"another {number}")])
    error = await refusal(below, reference="team/greeting@production")
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")


async def test_a_prompt_that_never_rests_is_answered_with_the_older_revision(below: Below) -> None:
    for number in range(20, 26, 2):
        below.reader.script.extend([at(PROMPT, number), at(a_version(2, etag=number + 1), number + 1)])
    assert (await resolved(below, "team/greeting@production")).revision.number == 24
