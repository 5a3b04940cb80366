"""The two searches over a store in memory: pages, tokens, orders, and what is refused."""

import uuid

import pytest

from promptwire.domain.content import Content
from promptwire_service.commands.context import Registry
from promptwire_service.commands.search_prompts import search_prompts
from promptwire_service.commands.search_versions import FoundVersionsPage, search_versions
from promptwire_service.commands import searching
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import DeletePrompt, DeleteVersion, Operation, Register, SetAlias, SetTags, Write
from promptwire_service.storage.memory import MemoryStore
from tests.unit.service.fakes import Below, fields


@pytest.fixture
async def registry(below: Below) -> Registry:
    """Two prompts of the tour and one more, on a store in memory."""
    below.registry = with_store(below, MemoryStore())
    await write(below.registry, register("telco_support_technical", "Help", use_case="technical_support"))
    return below.registry
