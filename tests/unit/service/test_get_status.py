"""Status: what operators see, above all while the store is away."""

import asyncio

import pytest

from promptwire_service.commands import get_status as module
from promptwire_service.commands.get_status import get_status
from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.domain.status import NamespaceStatus
from tests.unit.service.fakes import INFO, NOW, Below, fields


async def test_status_gathers_store_and_namespace(below: Below) -> None:
    status = await get_status(below.registry, namespace="default")
    assert (status.store, status.problem, status.started_ms) == (INFO, "", 1_700_000_000_000)
    assert status.namespace == NamespaceStatus(revision=NOW, checked_ms=1_700_000_000_000)
    assert status.version


async def test_status_tells_why_the_store_is_away_and_what_it_was(below: Below) -> None:
    below.store.failure = store_unavailable("the connection is gone or refused")
    status = await get_status(below.registry, namespace="default")
    assert (status.store, status.problem) == (
        INFO,
        "the store is not available: the connection is gone or refused",
    )


async def test_status_does_not_wait_for_a_store_that_hangs(below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(below.store, "info", asyncio.Event().wait)
    assert "did not answer within 0.01 s" in (await get_status(below.registry, namespace="default")).problem


async def test_status_of_what_is_no_namespace_is_refused(below: Below) -> None:
    with pytest.raises(RegistryError) as caught:
        await get_status(below.registry, namespace="no way")
    assert fields(caught.value) == ["namespace"]
