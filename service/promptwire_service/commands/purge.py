"""Removes for good what was deleted long enough ago. Nobody asks for it: the service does it now and then."""

import time
import uuid
from typing import Final

import structlog

from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.operations import Purge, Write
from promptwire_service.storage.base import Store

_log = structlog.get_logger(__name__)

ACTOR: Final = "promptwire"
_AT_ONCE: Final = 20
"""Prompts or versions: one script must not keep the store from others for long."""


async def purge_all(store: Store, retention_seconds: float) -> int:
    """Of all namespaces, those that nobody uses too, one after the other. What cannot be purged is left for later."""
    purged = 0
    async for namespace in store.namespaces_with_deletions():
        try:
            count = await purge(store, namespace, retention_seconds)
        except RegistryError as error:
            _log.warning("cannot purge what was deleted", namespace=namespace, problem=error.message)
            continue
        if count:
            _log.info("purged what was deleted long ago", namespace=namespace, purged=count)
        purged += count
    return purged


async def purge(store: Store, namespace: str, retention_seconds: float) -> int:
    """How many deletions were made final. Several services may do it at the same time."""
    before_ms = int((time.time() - retention_seconds) * 1_000)
    purged = 0
    while True:
        # A look first: with nothing due, nothing is to be written, nor remembered.
        oldest = (await store.list_deleted(namespace, skip=0, limit=1)).value
        if not oldest or oldest[0].deleted_ms >= before_ms:
            return purged
        operation = Purge(before_ms=before_ms, limit=_AT_ONCE)
        write = Write(operations=(operation,), request_id=uuid.uuid4().hex, actor=ACTOR, reason="deleted long ago")
        count = (await store.write(namespace, write)).results[0].purged
        if not count:  # another service was there first; whatever is left is for the next time
            return purged
        purged += count
