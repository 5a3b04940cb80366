"""Comparing two versions: which they are, and that both are of one revision."""

from typing import Any

import pytest

from promptwire_service.commands.diff_versions import Compared, diff_versions
from promptwire_service.domain.errors import Code, RegistryError
from promptwire_service.domain.reads import CACHED, STRONG, Answer
from promptwire_service.domain.records import Revision
from tests.unit.service.fakes import NOW, Below, a_prompt, a_version, fields


@pytest.fixture(autouse=True)
def stored(below: Below) -> None:
    below.store.add(
        a_prompt(production=2),
        a_version(1, text="one"),
        a_version(2, text="two", cost="low"),
        a_version(3, text="three", cost="high"),
    )


async def compared(below: Below, before: str = "1", after: str = "latest", **changed: Any) -> Compared:
    given: dict[str, Any] = {"context_lines": None, "freshness": CACHED, **changed}
    return await diff_versions(
        below.registry, namespace="default", name="team/greeting", before=before, after=after, **given
    )


def at(value: Any, number: int, epoch: str = "epoch") -> Answer[Any]:
    return Answer(value, Revision(epoch, number), 0.0)


@pytest.mark.parametrize(
    ("before", "after", "numbers"), [("1", "2", (1, 2)), ("production", "latest", (2, 3)), ("3", "production", (3, 2))]
)
async def test_a_side_is_a_number_or_an_alias(below: Below, before: str, after: str, numbers: tuple[int, int]) -> None:
    found = await compared(below, before, after)
    assert (found.before.version, found.after.version) == numbers
    assert (found.revision, found.max_age_seconds) == (NOW, 0.25)


async def test_content_and_tags_are_compared(below: Below) -> None:
    assert [(part.name, part.kind) for part in (await compared(below)).parts] == [
        ("template", "changed"),
        ("tags.cost", "added"),
    ]
    assert (await compared(below, "3", "latest")).parts == ()


async def test_an_alias_that_moves_between_the_reads_is_read_again_with_the_other_side(below: Below) -> None:
    older, newer = a_prompt(etag=17, production=1), a_prompt(etag=35, production=2)
    first = [at(older, 30), at(a_version(1), 30), at(newer, 36), at(a_version(3), 36)]
    again = [at(newer, 36), at(a_version(2), 36), at(newer, 36), at(a_version(3), 36)]
    below.reader.script.extend([*first, *again])
    found = await compared(below, "production", "3")
    assert (found.before.version, found.revision.number) == (2, 36)
    assert [freshness for *_, freshness in below.reader.asked] == [CACHED] * 4 + [STRONG] * 4


async def test_sides_read_at_two_revisions_without_a_change_are_of_the_older(below: Below) -> None:
    prompt = a_prompt(etag=17, production=1)
    below.reader.script.extend([at(prompt, 30), at(a_version(1), 30), at(prompt, 36), at(a_version(3), 36)])
    assert (await compared(below, "production", "3")).revision.number == 30
    assert len(below.reader.asked) == 4


async def test_sides_of_two_histories_are_not_compared(below: Below) -> None:
    prompt = a_prompt(etag=17, production=1)
    for _ in range(3):
        below.reader.script.extend([at(prompt, 30, "a"), at(a_version(1), 30, "a")])
        below.reader.script.extend([at(prompt, 30, "b"), at(a_version(3), 30, "b")])
    with pytest.raises(RegistryError) as caught:
        await compared(below)
    assert caught.value.code == Code.UNAVAILABLE


async def test_every_violation_comes_back_at_once(below: Below) -> None:
    with pytest.raises(RegistryError) as caught:
        await diff_versions(
            below.registry,
            namespace="no way",
            name="",
            before="0",
            after="9" * 5_000,
            context_lines=-1,
            freshness=CACHED,
        )
    assert fields(caught.value) == [
        "namespace", "name", "before", "after", "context_lines"
    ]  # fmt: skip
