"""A real service on an embedded store, shared by the tests that do not break it; each test gets a namespace of its
own.
"""

import itertools
from collections.abc import Iterator

import grpc
import pytest

import promptwire
from tests.support.service import ServiceProcess, running_service

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("service") / "data") as running:
        yield running


@pytest.fixture
def namespace() -> str:
    return f"test-{next(_numbers)}"


@pytest.fixture
def client(service: ServiceProcess, namespace: str) -> Iterator[promptwire.Client]:
    with promptwire.Client(service.target, namespace=namespace, actor="ana@laptop") as made:
        yield made


@pytest.fixture
def channel(service: ServiceProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(service.target) as made:
        yield made
