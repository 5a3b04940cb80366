"""Writes that are worked out from what the store holds: a repeat would come to others, and has to be known before."""

import hashlib
import json

from promptwire_service.commands.options import WriteOptions
from promptwire_service.domain.operations import Written
from promptwire_service.storage.base import Store


def asked_for(*parts: object) -> str:
    """What was asked for, in short: the same for every repeat. Who asks may call himself otherwise by then."""
    told = [[part.reason, part.expected_etag] if isinstance(part, WriteOptions) else part for part in parts]
    text = json.dumps(told, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


async def earlier_answer(store: Store, namespace: str, options: WriteOptions, asked: str) -> Written | None:
    """The answer that this request got before, if it was written; nothing is looked up without `asked`.

    Raises REQUEST_ID_REUSED when its id was another request's.
    """
    if not asked:
        return None
    written = await store.write(namespace, options.write(asked=asked, dry_run=True))
    return written if written.results else None
