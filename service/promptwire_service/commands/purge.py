"""Removes for good what was deleted long enough ago. Nobody asks for it: the service does it now and then."""

import time
import uuid
from typing import Final

from promptwire_service.domain.operations import Purge, Write
from promptwire_service.storage.base import Store

ACTOR: Final = "promptwire"
_AT_ONCE: Final = 20
"""Prompts or versions: one script must not keep the store from others for long."""


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
        purged += (await store.write(namespace, write)).results[0].purged
