"""Templates are checked off the event loop, for those who still wait."""

import asyncio
import threading

import pytest

from promptwire.domain.content import Content
from promptwire_service.commands import checking
from promptwire_service.commands.checking import TemplateChecks
from promptwire_service.domain import records
from promptwire_service.domain.errors import Code, RegistryError
from tests.unit.service.fakes import a_version

JINJA = Content("{% if a %}{{ b }}{% endif %}", syntax="jinja2")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds every check until it is set; `checked_texts` has what was checked."""
    gate = threading.Event()
    check = checking._check
    checked_texts.clear()

    def held(content: Content, field: str) -> object:
        assert gate.wait(30)
        checked_texts.append(content.text)
        return check(content, field)

    monkeypatch.setattr(checking, "_check", held)
    return gate


checked_texts: list[str] = []


async def test_what_is_checked_has_its_variables() -> None:
    checks = TemplateChecks()
    assert (await checks.checked(JINJA, "content")).variables == ("a", "b")
    assert (await checks.checked(Content("{{a}}" + "x" * 100_000), "content")).variables == ("a",)
    with pytest.raises(RegistryError, match=r"content\.text: in all: line 1, column 7"):
        await checks.checked(Content("{% if %}", syntax="jinja2"), "content", "in all: ")
    # With includes in it, it is no Jinja2 yet.
    assert (await checks.checked(Content("{{ a }}{{> b }}", syntax="jinja2"), "content")).variables == ()


async def test_the_loop_goes_on_while_a_template_is_checked(gate: threading.Event) -> None:
    checks = TemplateChecks()
    waiting = asyncio.create_task(checks.checked(JINJA, "content"))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    assert (await waiting).variables == ("a", "b")


async def test_who_is_gone_is_not_checked_for(gate: threading.Event) -> None:
    checks = TemplateChecks()
    texts = [f"{{{{ a{number} }}}}" for number in range(4)]
    tasks = [asyncio.create_task(checks.checked(Content(text, syntax="jinja2"), "content")) for text in texts]
    await asyncio.sleep(0)
    for gone in tasks[1:3]:
        gone.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert checked_texts == [texts[0], texts[3]]


async def test_no_more_wait_than_can_be_served_soon(gate: threading.Event) -> None:
    checks = TemplateChecks()
    tasks = [asyncio.create_task(checks.checked(JINJA, "content")) for _ in range(20)]
    await asyncio.sleep(0)
    with pytest.raises(RegistryError) as refused:
        await checks.checked(JINJA, "content")
    assert (refused.value.code, refused.value.reason) == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
    gate.set()
    assert len(await asyncio.gather(*tasks)) == 20
    assert (await checks.checked(JINJA, "content")).variables == ("a", "b")


def test_a_version_that_is_read_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "variables_of", lambda content: pytest.fail("parsed"))
    record = records.VersionRecord(
        **{**vars(a_version()), "content": Content("{{ a }}", syntax="jinja2", variables=("a",))}
    )
    assert record.variables == ("a",)
