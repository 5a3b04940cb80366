"""How the service, its store, its caches and its watchers are. It answers also while the store does not."""

import asyncio
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from promptwire.domain.names import check_namespace
from promptwire_service.commands.context import Registry
from promptwire_service.domain.errors import RegistryError, refuse
from promptwire_service.domain.reads import CACHED
from promptwire_service.domain.status import NamespaceStatus
from promptwire_service.storage.base import StoreInfo

STORE_WAIT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """`problem` says in a sentence why the store did not answer, and is empty when it did."""

    version: str
    started_ms: int
    store: StoreInfo
    problem: str
    namespace: NamespaceStatus


async def get_status(registry: Registry, *, namespace: str) -> ServiceStatus:
    refuse(check_namespace(namespace))
    store, problem, at = registry.store_info, "", None
    try:
        async with asyncio.timeout(STORE_WAIT_SECONDS):
            store = await registry.store.info()
            # A namespace that is not followed is read here.
            at = await registry.reader.reach(namespace, CACHED)
    except RegistryError as error:
        problem = error.message
    except TimeoutError:
        problem = f"the store did not answer within {STORE_WAIT_SECONDS:g} s"
    status = await registry.observer.status(namespace)
    if at and status.revision is None:
        checked_ms = time.time_ns() // 1_000_000 - int(at.max_age_seconds * 1000)
        status = replace(status, revision=at.revision, checked_ms=checked_ms)
    return ServiceStatus(
        version=service_version(),
        started_ms=registry.started_ms,
        store=store,
        problem=problem,
        namespace=status,
    )


def service_version() -> str:
    try:
        return version("promptwire")
    except PackageNotFoundError:
        return "0.0.0+source"
