"""A service in this process, with two prompts of two versions each, `production` at the first."""

from collections.abc import Iterator

import pytest

from tests.unit.client.fakes import FakeService, Registry, serving


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for name in ("a", "b"):
        registry.register(name)
        registry.register(name)
        registry.alias(name, "production", 1)
    return registry


@pytest.fixture
def service(registry: Registry) -> FakeService:
    return FakeService(registry)


@pytest.fixture
def target(service: FakeService) -> Iterator[str]:
    with serving(service) as target:
        yield target
