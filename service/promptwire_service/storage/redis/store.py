"""The store on Redis or Valkey. Each call is one script, so each is atomic and knows the revision it answers from.

A namespace's keys share the hash tag `{<namespace>}`: one slot is the unit of atomicity, order and sharding.
`pw:{ns}:meta` (revision, its request id, id of the data set), `:names` (index), `:p:<name>` (prompt), `:a:<name>`
(aliases), `:t:<name>` (tags), `:d:<name>` (deleted versions), `:v:<name>:<n>` (version), `:vt:<name>:<n>` (its tags),
`:i:<name>` (what includes its versions), `:x:...` (indexes, see lua/indexes.lua), `:log` (stream of changes),
`:request:<id>` (answers kept for repeats). Kept for ever: `:h:<name>:<alias>` (how an alias moved), `:u:<name>:<alias>`
(its undo stack, see lua/history.lua), `:audit` (every write), `:releases` (those that were one), `:undone` (by what),
`:numbers` (where purged prompts ended). `:deleted` is what waits to be purged. All namespaces share one channel, see
`notifications`.
"""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any, cast

import structlog
from redis.exceptions import ResponseError

from promptwire.domain import limits
from promptwire_service.domain.changes import LogHead, LogPage
from promptwire_service.domain.errors import RegistryError, store_unavailable
from promptwire_service.domain.kept import AliasMoved, Deleted, Dependent, Dependents, KeptWrite
from promptwire_service.domain.metrics import Group, ObservedPart, Recorded, Wanted
from promptwire_service.domain.operations import DeletePrompt, DeleteVersion, Purge, Write, Written
from promptwire_service.domain.records import PromptRecord, Read, Revision, VersionRecord
from promptwire_service.domain.search.planning import Plan
from promptwire_service.domain.search.rows import Candidates, Contents, VersionRow
from promptwire_service.storage.base import StoreInfo
from promptwire_service.storage.redis import metrics
from promptwire_service.storage.redis.connection import Connections
from promptwire_service.storage.redis.encoding import (
    Looked,
    deleted_of,
    entry_of,
    head_of,
    kept_of,
    moved_of,
    pairs,
    prompt_of,
    revision_of,
    server_of,
    version_of,
    write_json,
    written_of,
)
from promptwire_service.storage.redis.failures import registry_error, translated
from promptwire_service.storage.redis.lineage import Lineage
from promptwire_service.storage.redis.refusals import refusal
from promptwire_service.storage.redis.scripts import Script
from promptwire_service.storage.redis.searching import Searching

_log = structlog.get_logger(__name__)

REQUEST_KEPT_SECONDS = 24 * 3600
LOG_ENTRIES_KEPT = 100_000
LOG_PAGE_MAX_BYTES = 4 << 20

DEPENDENTS_AT_ONCE = 500
"""Dependents that one script looks at, while others wait, when a prompt or version is deleted."""
_SWEPT_AT_ONCE = 500
"""Versions, tags and includes that one script takes away."""
_LOOKS_MAX = 20
_SCANNED_AT_ONCE = 1_000
"""Keys, of whatever kind, that one step of a pass over all namespaces goes past."""

_WRITE = Script("write", "indexes", "history")
_SWEEP = Script("sweep", "indexes")
_READ_PROMPTS = Script("read_prompts")
_READ_VERSIONS = Script("read_versions")
_LIST_PROMPTS = Script("list_prompts")
_LIST_VERSIONS = Script("list_versions")
_READ_HISTORY = Script("read_history", "history")
_READ_KEPT = Script("read_kept")
_LIST_DELETED = Script("list_deleted")
_READ_DEPENDENTS = Script("read_dependents")
_READ_LOG = Script("read_log")
_READ_HEADS = Script("read_heads")
_RENEW_EPOCH = Script("renew_epoch")


def meta_key(namespace: str) -> str:
    return f"pw:{{{namespace}}}:meta"


def _fresh_id() -> str:
    return uuid.uuid4().hex[:16]


class RedisStore:
    """Store on one Redis or Valkey server; see storage.base.Store. Takes over `connections` and closes them."""

    def __init__(self, connections: Connections, info: StoreInfo, *, log_entries_kept: int = LOG_ENTRIES_KEPT) -> None:
        self._connections = connections
        self._info = info
        self._log_entries_kept = log_entries_kept
        self._lineage = Lineage()
        self._searching = Searching(self._run)

    async def write(self, namespace: str, write: Write) -> Written:
        operation = write.operations[0] if write.operations else None  # none: whether it was answered before
        if isinstance(operation, Purge) and not write.dry_run:
            await self._sweep(namespace, operation)
        for _ in range(_LOOKS_MAX):
            looked = None
            if isinstance(operation, DeleteVersion | DeletePrompt):
                looked = await self._look_for_dependents(namespace, operation)
            _, encoded = await self._run(
                _WRITE,
                namespace,
                write_json(write, looked),
                _fresh_id(),
                REQUEST_KEPT_SECONDS,
                self._log_entries_kept,
                self._connections.notifications.channel,
                limits.ROLLBACKS_MAX,
                writes=True,
            )
            answer = json.loads(encoded)
            if _look_again(answer):
                continue
            if "error" in answer:
                raise refusal(write, answer)
            return written_of(answer, lambda refused: refusal(write, refused))
        raise store_unavailable("others change what includes the prompt too fast; nothing was written, try again")

    async def _sweep(self, namespace: str, operation: Purge) -> None:
        """Takes away the versions of prompts that a purge is to remove, a bounded number at a time."""
        more = 1
        while more:
            _, more = await self._run(
                _SWEEP, namespace, operation.before_ms, operation.limit, _SWEPT_AT_ONCE, writes=True
            )

    async def _look_for_dependents(self, namespace: str, operation: DeleteVersion | DeletePrompt) -> Looked:
        """Some that would refuse a deletion, and from which revision on there may be others."""
        version, leave_out = (operation.version, "") if isinstance(operation, DeleteVersion) else (None, operation.name)
        since: Revision | None = None
        after = ""
        while True:
            read = await self._dependents(namespace, operation.name, version, after, DEPENDENTS_AT_ONCE, leave_out)
            since = since or read.revision
            after = read.value.next_position
            if read.value.found or not after:
                return Looked(since, read.value.found)

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
        head, rows, cut = await self._run(_LIST_PROMPTS, namespace, lower if lower != "[" else "-", upper, limit)
        return Read([prompt_of(row) for row in rows], revision_of(head), bool(cut))

    async def list_versions(
        self, namespace: str, name: str, *, before: int, limit: int, max_bytes: int
    ) -> Read[list[VersionRecord]]:
        head, rows = await self._run(_LIST_VERSIONS, namespace, name, before, limit, max_bytes)
        return Read([version_of(row) for row in rows], revision_of(head))

    async def find_versions(
        self, namespace: str, plan: Plan, *, after: str, limit: int, content: Contents
    ) -> Read[Candidates[VersionRow]]:
        return await self._searching.find_versions(namespace, plan, after=after, limit=limit, content=content)

    async def find_prompts(
        self, namespace: str, plan: Plan, *, after: str, limit: int
    ) -> Read[Candidates[PromptRecord]]:
        return await self._searching.find_prompts(namespace, plan, after=after, limit=limit)

    async def read_rows(
        self, namespace: str, keys: Sequence[tuple[str, int]], *, max_bytes: int
    ) -> Read[list[VersionRow | None]]:
        return await self._searching.read_rows(namespace, keys, max_bytes=max_bytes)

    async def read_prompt_rows(
        self, namespace: str, names: Sequence[str], *, max_bytes: int
    ) -> Read[list[PromptRecord | None]]:
        return await self._searching.read_prompt_rows(namespace, names, max_bytes=max_bytes)

    async def read_history(
        self, namespace: str, name: str, alias: str, *, before: int, at_ms: int | None, limit: int
    ) -> Read[list[AliasMoved]]:
        at = "" if at_ms is None else at_ms
        head, rows, cut = await self._run(_READ_HISTORY, namespace, name, alias, before, limit, at)
        return Read([moved_of(row) for row in rows], revision_of(head), bool(cut))

    async def read_audit(self, namespace: str, *, after: int, limit: int) -> Read[list[KeptWrite]]:
        return await self._read_kept(namespace, "audit", "XRANGE", f"({after}-0", "+", limit)

    async def read_releases(self, namespace: str, *, before: int, limit: int) -> Read[list[KeptWrite]]:
        return await self._read_kept(namespace, "releases", "XREVRANGE", f"({before}-0", "-", limit)

    async def _read_kept(self, namespace: str, *arguments: str | int) -> Read[list[KeptWrite]]:
        head, rows, undone, cut = await self._run(_READ_KEPT, namespace, *arguments)
        return Read([kept_of(row, by) for row, by in zip(rows, undone, strict=True)], revision_of(head), bool(cut))

    async def list_deleted(self, namespace: str, *, skip: int, limit: int) -> Read[list[Deleted]]:
        last = min(skip + limit - 1, limits.VERSION_MAX)
        head, flat = await self._run(_LIST_DELETED, namespace, skip, last)
        return Read([deleted_of(*row) for row in pairs(flat).items()], revision_of(head))

    async def namespaces_with_deletions(self) -> AsyncIterator[str]:
        begin, end = meta_key("*").split("*")[0], "}:deleted"
        with translated():
            primaries = await self._connections.primaries()
        for primary in primaries:
            cursor = 0
            while True:
                with translated():
                    cursor, keys = await primary.scan(cursor, match=f"{begin}*{end}", count=_SCANNED_AT_ONCE)
                for key in keys:
                    yield str(key).removeprefix(begin).removesuffix(end)
                if not cursor:
                    break

    async def read_dependents(
        self, namespace: str, name: str, *, version: int | None, after: str, limit: int
    ) -> Read[Dependents]:
        return await self._dependents(namespace, name, version, after, limit, "")

    async def _dependents(
        self, namespace: str, name: str, version: int | None, after: str, limit: int, leave_out: str
    ) -> Read[Dependents]:
        if version is None:
            lower, upper = "-", "+"
        else:
            prefix = Dependent(version, "", 0).position.partition(":")[0]
            lower, upper = f"[{prefix}:", f"[{prefix};"  # `;` comes after `:`
        lower = f"({after}" if after else lower
        head, members, last = await self._run(_READ_DEPENDENTS, namespace, name, lower, upper, limit, leave_out)
        return Read(Dependents(tuple(map(Dependent.at, members)), last), revision_of(head))

    async def record_metrics(
        self, namespace: str, groups: Sequence[Group], request_id: str, asked: str = ""
    ) -> Recorded:
        return await metrics.record(self._run, namespace, groups, request_id, asked, REQUEST_KEPT_SECONDS)

    async def read_metrics(self, namespace: str, name: str, wanted: Wanted, *, after: str) -> Read[ObservedPart]:
        return await metrics.read(self._run, namespace, name, wanted, after)

    async def read_log(self, namespace: str, *, after: int, limit: int) -> LogPage:
        head, floor, rows, here = await self._run(_READ_LOG, namespace, after, limit, LOG_PAGE_MAX_BYTES)
        return LogPage(tuple(entry_of(row) for row in rows), revision_of(head), int(floor), here)

    async def renew_epoch(self, namespace: str, epoch: str) -> Revision:
        (head,) = await self._run(_RENEW_EPOCH, namespace, epoch, _fresh_id(), writes=True)
        return revision_of(head)

    async def read_heads(self, namespaces: Sequence[str]) -> list[LogHead | RegistryError]:
        with translated():
            answers = await self._connections.run_for_keys(_READ_HEADS, [meta_key(one) for one in namespaces])
        heads: list[LogHead | RegistryError | None] = [None] * len(namespaces)
        for positions, answer in answers:
            if isinstance(answer, Exception):
                failed = registry_error(answer)
                for position in positions:
                    heads[position] = failed
                continue
            server, *rows = answer
            await self._refuse_replaced(server)
            for position, row in zip(positions, rows, strict=True):
                heads[position] = head_of(server, *row) if isinstance(row, list) else registry_error(ResponseError(row))
        return cast(list[LogHead | RegistryError], heads)

    def partition(self, namespace: str) -> Hashable:
        return self._connections.partition(meta_key(namespace))

    def on_notify(self, notify: Callable[[str, int], None]) -> Callable[[], None]:
        def receive(text: str) -> None:
            if not text:
                notify("", 0)
                return
            namespace, topic, number = text.split(" ", 2)
            if topic == "notify":
                notify(namespace, int(number))

        return self._connections.notifications.subscribe(receive)

    def on_message(self, topic: str, receive: Callable[[str, str], None]) -> Callable[[], None]:
        def receive_text(text: str) -> None:
            if text:
                namespace, found, message = text.split(" ", 2)
                if found == topic:
                    receive(namespace, message)

        return self._connections.notifications.subscribe(receive_text)

    async def publish(self, namespace: str, topic: str, text: str) -> int:
        with translated():
            return await self._connections.publish(f"{namespace} {topic} {text}")

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
        await self._refuse_replaced(server_of(answer[0][0]))
        return answer

    async def _refuse_replaced(self, server: str) -> None:
        """Raises if the server that has answered was replaced by another one."""
        if self._connections.left_for_good and not self._lineage.admits(server):
            _log.warning("a primary that was replaced answers again, and is not believed")
            await self._connections.drop()
            raise store_unavailable("a primary that was replaced has answered")


def _look_again(answer: dict[str, Any]) -> bool:
    """Whether a deletion was refused because the look for dependents that came with it is out of date."""
    outcomes = [answer, *answer.get("results", ())]
    return any(outcome.get("error") == "LOOK_AGAIN" for outcome in outcomes)
