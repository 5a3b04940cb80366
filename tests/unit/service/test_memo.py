"""Answers given again: only while nothing happened, and never another's."""

import pytest

from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.pairs import Resolved
from promptwire_service.domain.reads import Answer
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord
from promptwire_service.rpc import translate
from promptwire_service.rpc.memo import ResolveMemo
from tests.unit.service.fakes import NOW, Below, a_prompt, a_version
from tests.unit.service.serving import call, serving

VERSION = a_version(2)


def a_pair(
    prompt: PromptRecord | None = None, version: VersionRecord = VERSION, at: Revision = NOW, age: float = 0.25
) -> Resolved:
    return Resolved(prompt or a_prompt(production=2), version, at, age)


def decoded(data: bytes | None) -> pb.ResolveResponse:
    assert data is not None
    return pb.ResolveResponse.FromString(data)


def known(number: int, age: float = 0.0, epoch: str = "epoch") -> Answer[None]:
    return Answer(None, Revision(epoch, number), age)


def test_parts_decode_as_the_message_they_make() -> None:
    pair = a_pair(age=61.0004)
    assert decoded(ResolveMemo().encode("default", "a", pair)) == pb.ResolveResponse(
        version=translate.resolved(pair), info=translate.read_info(pair.revision, pair.max_age_seconds)
    )


def test_an_answer_is_given_again_at_its_revision_only() -> None:
    memo = ResolveMemo()
    first = decoded(memo.encode("default", "a", a_pair()))
    again = decoded(memo.recall("default", "a", known(40, age=0.5)))
    assert (again.version, again.info.revision) == (first.version, first.info.revision)
    assert again.info.max_age.ToMilliseconds() == 500
    assert memo.recall("default", "a", known(41)) is None
    assert memo.recall("default", "a", known(39)) is None
    assert memo.recall("default", "a", known(40, epoch="another")) is None
    assert memo.recall("default", "a", None) is None


def test_an_answer_is_given_to_its_namespace_and_reference_only() -> None:
    memo = ResolveMemo()
    memo.encode("default", "a", a_pair())
    assert memo.recall("other", "a", known(40)) is None
    assert memo.recall("default", "b", known(40)) is None


def test_an_age_is_rounded_up() -> None:
    assert decoded(ResolveMemo().encode("default", "a", a_pair(age=0.0001))).info.max_age.ToMilliseconds() == 1
    assert not decoded(ResolveMemo().encode("default", "a", a_pair(age=0.0))).info.max_age.ToMilliseconds()


def test_a_version_is_encoded_anew_when_its_record_or_aliases_changed() -> None:
    memo = ResolveMemo()
    memo.encode("default", "a", a_pair())
    later = Revision("epoch", 41)
    assert decoded(memo.encode("default", "a", a_pair(at=later))).info.revision.number == 41
    renamed = a_pair(a_prompt(canary=2), at=later)
    assert decoded(memo.encode("default", "a", renamed)).version.aliases == ["canary"]
    tagged = a_pair(version=a_version(2, use="case"), at=later)
    assert decoded(memo.encode("default", "a", tagged)).version.tags == {"use": "case"}
    assert decoded(memo.recall("default", "a", known(41))).version.tags == {"use": "case"}


def test_what_is_kept_is_bounded() -> None:
    memo = ResolveMemo(max_bytes=10_000)
    for number in range(100):
        memo.encode("default", f"a{number}x", a_pair())
        assert memo._bytes <= 10_000
        assert memo._bytes == sum(kept.size_bytes for kept in memo._kept.values())
    large = a_pair(version=a_version(2, text="x" * 20_000))
    assert len(decoded(memo.encode("default", "large", large)).version.content.text) == 20_000
    assert memo.recall("default", "large", known(40)) is None


@pytest.mark.parametrize("is_known", [True, False])
async def test_over_the_wire_a_change_is_seen_at_once(below: Below, is_known: bool) -> None:
    below.reader.is_known = is_known
    below.store.add(a_prompt(production=2), a_version(2), a_version(3))
    request = pb.ResolveRequest(reference="team/greeting@production")

    async with serving(below) as channel:

        async def resolve() -> tuple[int, int]:
            answer = await call(channel, "PromptService/Resolve", request, pb.ResolveResponse)
            return answer.version.version, answer.info.revision.number

        assert [await resolve(), await resolve()] == [(2, 40), (2, 40)]
        reads = len(below.reader.asked)
        assert reads == (2 if is_known else 4)
        below.store.add(a_prompt(production=3, etag=41))
        below.store.revision = Revision("epoch", 41)
        assert await resolve() == (3, 41)


async def test_a_read_that_asks_for_freshness_is_always_read(below: Below) -> None:
    below.store.add(a_prompt(production=2), a_version(2))
    async with serving(below) as channel:
        for strong in (False, True):
            request = pb.ResolveRequest(reference="team/greeting@production")
            if strong:
                request.read.consistency = 2
            await call(channel, "PromptService/Resolve", request, pb.ResolveResponse)
    assert [freshness.strong for *_, freshness in below.reader.asked] == [False, False, True, True]
