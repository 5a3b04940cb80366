"""The store on Redis or Valkey. Each call is one script, so each is atomic and knows the revision it answers from.

A namespace's keys share the hash tag `{<namespace>}`: one slot is the unit of atomicity, order and sharding.
`pw:{ns}:meta` (revision, id of the data set), `:names` (index), `:p:<name>` (prompt), `:a:<name>` (aliases),
`:t:<name>` (tags), `:v:<name>:<n>` (version), `:vt:<name>:<n>` (its tags), `:log` (stream of changes), `:request:<id>`
(answers kept for repeats), and channels, such as `:bell`.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from promptwire.domain import limits
from promptwire_service.domain.changes import LogPage
from promptwire_service.domain.errors import (
    RegistryError,
    alias_conflict,
    alias_not_found,
    etag_conflict,
    prompt_not_found,
    request_id_reused,
    store_unavailable,
    too_many,
    version_not_found,
)
from promptwire_service.domain.operations import DeleteAlias, SetAlias, SetTags, Write, Written
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.storage.base import StoreInfo
from promptwire_service.storage.redis.connection import Connections
from promptwire_service.storage.redis.encoding import (
    entry_of,
    prompt_of,
    revision_of,
    version_of,
    write_json,
    written_of,
)
from promptwire_service.storage.redis.failures import translated
from promptwire_service.storage.redis.lineage import Lineage
from promptwire_service.storage.redis.scripts import Script

_log = structlog.get_logger(__name__)

REQUEST_KEPT_SECONDS = 24 * 3600
LOG_ENTRIES_KEPT = 100_000
LOG_PAGE_MAX_BYTES = 4 << 20

_WRITE = Script("write")
_READ_PROMPTS = Script("read_prompts")
_READ_VERSIONS = Script("read_versions")
_LIST_PROMPTS = Script("list_prompts")
_LIST_VERSIONS = Script("list_versions")
_READ_LOG = Script("read_log")
_RENEW_EPOCH = Script("renew_epoch")


def meta_key(namespace: str) -> str:
    return f"pw:{{{namespace}}}:meta"


def _fresh_id() -> str:
    return uuid.uuid4().hex[:16]


def channel(namespace: str, topic: str) -> str:
    return f"pw:{{{namespace}}}:{topic}"


class RedisStore:
    """Store on one Redis or Valkey server; see storage.base.Store. Takes over `connections` and closes them."""

    def __init__(self, connections: Connections, info: StoreInfo, *, log_entries_kept: int = LOG_ENTRIES_KEPT) -> None:
        self._connections = connections
        self._info = info
        self._log_entries_kept = log_entries_kept
        self._lineage = Lineage()

    async def write(self, namespace: str, write: Write) -> Written:
        _, encoded = await self._run(
            _WRITE,
            namespace,
            write_json(write),
            _fresh_id(),
            REQUEST_KEPT_SECONDS,
            self._log_entries_kept,
            self._connections.publish_command,
            writes=True,
        )
        answer = json.loads(encoded)
        if "error" in answer:
            raise _refusal(write, answer)
        return written_of(answer)

    async def read_prompts(self, namespace: str, names: Sequence[str]) -> Read[list[PromptRecord | None]]:
        head, rows = await self._run(_READ_PROMPTS, namespace, *names)
        return Read([prompt_of(row) if row else None for row in rows], revision_of(head))

    async def read_versions(self, namespace: str, keys: Sequence[tuple[str, int]]) -> Read[list[VersionRecord | None]]:
        head, rows = await self._run(_READ_VERSIONS, namespace, *(part for key in keys for part in key))
        return Read([version_of(row) if row else None for row in rows], revision_of(head))

    async def list_prompts(self, namespace: str, *, after: str, prefix: str, limit: int) -> Read[list[PromptRecord]]:
        lower = f"({after}" if after >= prefix and after else f"[{prefix}"
        # Names are ASCII: DEL comes after every character of a name.
        upper = f"[{prefix}\x7f" if prefix else "+"
        head, rows = await self._run(_LIST_PROMPTS, namespace, lower if lower != "[" else "-", upper, limit)
        return Read([prompt_of(row) for row in rows], revision_of(head))

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        head, rows = await self._run(_LIST_VERSIONS, namespace, name, before, limit, max_bytes)
        return Read([version_of(row) for row in rows], revision_of(head))

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        head, floor, rows, here = await self._run(_READ_LOG, namespace, after, limit, LOG_PAGE_MAX_BYTES)
        return LogPage(tuple(entry_of(row) for row in rows), revision_of(head), int(floor), here)

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        (head,) = await self._run(_RENEW_EPOCH, namespace, epoch, _fresh_id(), writes=True)
        return revision_of(head)

    def on_bell(self, namespace: str, ring: Callable[[int], None]) -> Callable[[], None]:
        return self.on_message(namespace, "bell", lambda text: ring(int(text or 0)))

    def on_message(self, namespace: str, topic: str, hear: Callable[[str], None]) -> Callable[[], None]:
        return self._connections.listen(channel(namespace, topic), hear)

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        with translated():
            return await self._connections.publish(channel(namespace, topic), text)

    async def info(self) -> StoreInfo:
        with translated():
            for primary in await self._connections.primaries():
                await primary.ping()
        return self._info

    async def close(self) -> None:
        await self._connections.aclose()

    async def _run(self, script: Script, namespace: str, *arguments: str | int, writes: bool = False) -> Any:
        """What the script returns. Every script returns the head first."""
        with translated():
            answer = await self._connections.run(script, meta_key(namespace), *arguments, writes=writes)
        if self._connections.left_for_good and not self._lineage.admits(namespace, revision_of(answer[0])):
            _log.warning("a primary that was replaced answers again, and is not believed", namespace=namespace)
            await self._connections.drop()
            raise store_unavailable("a primary that was replaced has answered")
        return answer


def _refusal(write: Write, answer: dict[str, Any]) -> RegistryError:
    operation = write.operation
    match answer["error"], operation:
        case "REQUEST_ID_REUSED", _:
            return request_id_reused(write.request_id)
        case "PROMPT_NOT_FOUND", _:
            return prompt_not_found(operation.name)
        case "ETAG_CONFLICT", _:
            return etag_conflict(operation.name, write.expected_etag or 0, int(answer["actual"]))
        case "VERSION_NOT_FOUND", _:
            version = getattr(operation, "version", 0)
            return version_not_found(operation.name, version, int(answer["latest"]))
        case "ALIAS_NOT_FOUND", DeleteAlias(alias=alias):
            return alias_not_found(operation.name, alias, sorted(answer["known"]))
        case "ALIAS_CONFLICT", SetAlias(alias=alias) | DeleteAlias(alias=alias):
            return alias_conflict(operation.name, alias, operation.expected_version or 0, int(answer["actual"]))
        case "TOO_MANY_ALIASES", SetAlias():
            return too_many("alias", limits.ALIASES_MAX_PER_PROMPT, operation.name)
        case "TOO_MANY_TAGS", SetTags():
            return too_many("tags", limits.TAGS_MAX, operation.name)
    raise AssertionError(f"the write script answered {answer['error']!r} to {type(operation).__name__}")
