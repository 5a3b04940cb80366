"""Fixtures for tests of commands and the transport."""

import pytest

from tests.unit.service.fakes import Below


@pytest.fixture
def below() -> Below:
    return Below()
