"""The client for asyncio."""

import asyncio
import math
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack

from promptwire._core import checks
from promptwire._core.core import Core
from promptwire._core.operations import Operation, Page
from promptwire._core.steps import drive
from promptwire._core.wanted import Consistency, Wanted
from promptwire.champions import Champion
from promptwire.config import Config, read_config
from promptwire.diffs import PromptDiff
from promptwire.domain import limits
from promptwire.handle import Handle
from promptwire.options import Given, Options
from promptwire.prompt_version import PromptVersion
from promptwire.status import ClientStatus, ServerStatus
from promptwire.values import (
    AliasChange,
    AliasMove,
    Changes,
    Convergence,
    Deleted,
    Dependent,
    KeptWrite,
    MetricSummary,
    Move,
    Prompt,
    Register,
    Release,
    Revision,
)

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncClient:
    """`promptwire.Client` with methods to await: the same table, watch and promises; see there what each returns.

    A hit returns without giving up the event loop. Whatever waits can be cancelled; a write that was cancelled may have
    happened. It belongs to no loop: several, each in its thread, may share one. Its watch has a thread of its own, so a
    loop that is blocked for long delays nobody but itself.
    """

    __slots__ = ("__weakref__", "_close", "_core", "_live")

    def __init__(self, target: str | None = None, **options: Unpack[Given]) -> None:
        """`promptwire.options.Options` says what each of these means."""
        self._core = Core(Options.read(target, **options))
        self._live = self._core.live
        self._close = weakref.finalize(self, self._core.close)

    async def load_prompt(
        self,
        name_or_uri: str,
        version: int | None = None,
        consistency: Consistency | None = None,
        min_revision: Revision | None = None,
        max_staleness: float | None = None,
        key: str | None = None,
    ) -> PromptVersion:
        """See Client.load_prompt."""
        if version is not None:
            name_or_uri = checks.with_version(name_or_uri, version)
        if consistency is None and min_revision is None and max_staleness is None:
            try:
                return self._live.entries[name_or_uri]
            except (KeyError, TypeError):
                at_hand = self._core.at_hand(name_or_uri, key)
                return at_hand if at_hand is not None else await drive(self._core.load(name_or_uri, split_key=key))
        wanted = Wanted.read(consistency, min_revision, max_staleness)
        return await drive(self._core.load(name_or_uri, wanted, key))

    async def load_prompts(
        self,
        references: Iterable[str],
        *,
        consistency: Consistency | None = None,
        min_revision: Revision | None = None,
        max_staleness: float | None = None,
        key: str | None = None,
    ) -> list[PromptVersion]:
        """See Client.load_prompts."""
        wanted = Wanted.read(consistency, min_revision, max_staleness)
        return await drive(self._core.load_all(checks.texts(references, "references"), wanted, key))

    async def wait_for_ready(self, references: Iterable[str] = (), timeout: float | None = None) -> None:
        """See Client.wait_for_ready."""
        await drive(self._core.wait_for_ready(checks.texts(references, "references"), timeout))

    async def handle(self, reference: str) -> Handle:
        """See Client.handle."""
        handle = Handle(self, checks.key(reference), await self.load_prompt(reference))
        await drive(self._core.keep_up(handle))
        return handle

    async def load_config(
        self, source: str | PathLike[str] | Mapping[str, object]
    ) -> Config[Coroutine[Any, Any, PromptVersion]]:
        """See Client.load_config."""
        name, references = await asyncio.to_thread(read_config, source)
        await drive(self._core.load_config(name, references))
        handles = {key: await self.handle(one) for key, one in references.items()}
        return Config(name, references, handles, self.load_prompt)

    async def register_prompt(
        self,
        name: str,
        template: str | Sequence[Mapping[str, Any]],
        commit_message: str | None = None,
        tags: Mapping[str, str] | None = None,
        response_format: Mapping[str, object] | type | None = None,
        model_config: Mapping[str, object] | None = None,
        syntax: str | None = None,
    ) -> PromptVersion:
        """See Client.register_prompt."""
        return await self._call(
            self._core.operations.register_prompt(
                name, template, commit_message, tags, response_format, model_config, syntax
            )
        )

    async def set_prompt_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """See Client.set_prompt_alias."""
        operation = self._core.operations.set_alias(name, alias, version, expected_version, reason)
        return await drive(self._core.change_alias(name, alias, operation, wait_for_agents))

    async def set_prompt_alias_split(
        self,
        name: str,
        alias: str,
        weights: Mapping[int, float],
        *,
        salt: str | None = None,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """See Client.set_prompt_alias_split."""
        operation = self._core.operations.set_alias_split(name, alias, weights, salt, expected_version, reason)
        return await drive(self._core.change_alias(name, alias, operation, wait_for_agents))

    async def delete_prompt_alias(
        self,
        name: str,
        alias: str,
        *,
        expected_version: int | None = None,
        allow_missing: bool = False,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """See Client.delete_prompt_alias."""
        operation = self._core.operations.delete_alias(name, alias, expected_version, allow_missing, reason)
        return await drive(self._core.change_alias(name, alias, operation, wait_for_agents))

    async def convergence(self, name: str | None = None, alias: str | None = None) -> list[Convergence]:
        """See Client.convergence."""
        return await self._call(self._core.operations.convergence(name, alias))

    set_registered_prompt_alias = set_prompt_alias
    delete_registered_prompt_alias = delete_prompt_alias

    async def get_prompt(self, name: str) -> Prompt:
        """See Client.get_prompt."""
        return await self._call(self._core.operations.get_prompt(name))

    async def get_prompt_version(self, name: str, version: int) -> PromptVersion:
        """See Client.get_prompt_version."""
        return await self._call(self._core.operations.get_version(name, version))

    async def get_prompt_version_by_alias(self, name: str, alias: str) -> PromptVersion:
        """See Client.get_prompt_version_by_alias."""
        return await self._call(self._core.operations.resolve_alias(name, alias))

    def list_prompts(
        self, prefix: str = "", filter_string: str | None = None, order_by: Iterable[str] = ()
    ) -> AsyncIterator[Prompt]:
        """See Client.list_prompts."""
        order = checks.texts(order_by, "order_by")
        if filter_string is None and not order:
            return self._pages(self._core.operations.list_prompts(prefix))
        checks.one_of(prefix=prefix or None, filter_string=filter_string or "")
        return self._pages(self._core.operations.search_prompts(filter_string, order, 0))

    def search_prompts(
        self, filter_string: str | None = None, order_by: Iterable[str] = (), max_results: int | None = None
    ) -> AsyncIterator[PromptVersion]:
        """See Client.search_prompts."""
        most = checks.optional_number(max_results, "max_results")
        pages = self._core.operations.search_versions(filter_string, order_by, min(most or 0, limits.PAGE_MAX))
        return self._pages(pages, most)

    def list_prompt_versions(self, name: str) -> AsyncIterator[PromptVersion]:
        """See Client.list_prompt_versions."""
        return self._pages(self._core.operations.list_versions(name))

    async def diff_prompt_versions(
        self, name: str, before: int | str, after: int | str, *, context: int | None = None
    ) -> PromptDiff:
        """See Client.diff_prompt_versions."""
        return await self._call(self._core.operations.diff_versions(name, before, after, context))

    async def set_prompt_tag(self, name: str, key: str, value: str) -> Revision:
        """See Client.set_prompt_tag."""
        return await self.set_prompt_tags(name, {checks.text(key, "key"): value})

    async def set_prompt_tags(self, name: str, tags: Mapping[str, str]) -> Revision:
        """See Client.set_prompt_tags."""
        return await self._call(self._core.operations.set_tags(name, tags))

    async def delete_prompt_tag(self, name: str, key: str) -> Revision:
        """See Client.delete_prompt_tag."""
        return await self.delete_prompt_tags(name, [key])

    async def delete_prompt_tags(self, name: str, keys: Iterable[str]) -> Revision:
        """See Client.delete_prompt_tags."""
        return await self._call(self._core.operations.delete_tags(name, keys))

    async def set_prompt_version_tag(self, name: str, version: int, key: str, value: str) -> Revision:
        """See Client.set_prompt_version_tag."""
        return await self.set_prompt_version_tags(name, version, {checks.text(key, "key"): value})

    async def set_prompt_version_tags(self, name: str, version: int, tags: Mapping[str, str]) -> Revision:
        """See Client.set_prompt_version_tags."""
        return await self._call(self._core.operations.set_tags(name, tags, checks.number(version, "version")))

    async def delete_prompt_version_tag(self, name: str, version: int, key: str) -> Revision:
        """See Client.delete_prompt_version_tag."""
        return await self.delete_prompt_version_tags(name, version, [key])

    async def delete_prompt_version_tags(self, name: str, version: int, keys: Iterable[str]) -> Revision:
        """See Client.delete_prompt_version_tags."""
        return await self._call(self._core.operations.delete_tags(name, keys, checks.number(version, "version")))

    def changes(
        self, after: Revision | None = None, names: Iterable[str] = (), follow: bool = True
    ) -> AsyncIterator[Changes]:
        """See Client.changes. Close it (`aclose`) if you leave it before its end."""
        feed = self._core.feed(after, names, follow)

        async def told() -> AsyncIterator[Changes]:
            try:
                while (changes := await drive(feed.next())) is not None:
                    yield changes
            finally:
                feed.close()

        return told()

    async def rollback_prompt_alias(
        self,
        name: str,
        alias: str,
        *,
        to_version: int | None = None,
        at: datetime | float | None = None,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        """See Client.rollback_prompt_alias."""
        operation = self._core.operations.rollback_alias(name, alias, to_version, at, expected_version, reason)
        return await drive(self._core.change_alias(name, alias, operation, wait_for_agents))

    def prompt_alias_history(self, name: str, alias: str) -> AsyncIterator[AliasMove]:
        """See Client.prompt_alias_history."""
        return self._pages(self._core.operations.alias_history(name, alias))

    async def load_prompt_as_of(self, reference: str, at: datetime | float) -> PromptVersion:
        """See Client.load_prompt_as_of."""
        return await self._call(self._core.operations.resolve_at(reference, at))

    async def delete_prompt_version(
        self, name: str, version: int, *, drop_aliases: bool = False, reason: str = ""
    ) -> Revision:
        """See Client.delete_prompt_version."""
        return await self._call(self._core.operations.delete_version(name, version, drop_aliases, reason))

    async def undelete_prompt_version(self, name: str, version: int, *, reason: str = "") -> Revision:
        """See Client.undelete_prompt_version."""
        return await self._call(self._core.operations.undelete_version(name, version, reason))

    async def delete_prompt(self, name: str, *, reason: str = "") -> Revision:
        """See Client.delete_prompt."""
        return await self._call(self._core.operations.delete_prompt(name, reason))

    async def undelete_prompt(self, name: str, *, reason: str = "") -> Revision:
        """See Client.undelete_prompt."""
        return await self._call(self._core.operations.undelete_prompt(name, reason))

    def prompt_dependents(self, name: str, version: int | None = None) -> AsyncIterator[Dependent]:
        """See Client.prompt_dependents."""
        return self._pages(self._core.operations.list_dependents(name, version))

    def list_deleted_prompts(self) -> AsyncIterator[Deleted]:
        """See Client.list_deleted_prompts."""
        return self._pages(self._core.operations.list_deleted())

    async def release(
        self,
        title: str,
        steps: Mapping[str, int | None] | Iterable[Register | Move],
        *,
        dry_run: bool = False,
        reason: str = "",
    ) -> Release:
        """See Client.release."""
        return await self._call(self._core.operations.release(title, steps, dry_run, reason))

    async def undo_release(self, number: int, *, reason: str = "") -> Release:
        """See Client.undo_release."""
        return await self._call(self._core.operations.undo_release(number, reason))

    def list_releases(self) -> AsyncIterator[KeptWrite]:
        """See Client.list_releases."""
        return self._pages(self._core.operations.list_releases())

    def audit(self, after: int = 0) -> AsyncIterator[KeptWrite]:
        """See Client.audit."""
        return self._pages(self._core.operations.list_audit(after))

    async def log_prompt_metrics(
        self,
        prompt: PromptVersion | str,
        metrics: Mapping[str, float],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
    ) -> None:
        """See Client.log_prompt_metrics."""
        await drive(self._core.observe(prompt, metrics, run_id, tags, key))

    async def flush_prompt_metrics(self, timeout: float = 10.0) -> None:
        """See Client.flush_prompt_metrics."""
        await asyncio.to_thread(self._core.observations.flush, checks.seconds(timeout, "timeout"))

    async def query_prompt_metrics(
        self,
        name: str,
        metric: str | None = None,
        version: int | None = None,
        alias: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> list[MetricSummary]:
        """See Client.query_prompt_metrics."""
        operation = self._core.operations.query_metrics(name, metric, version, alias, since, until, tags)
        return await self._call(operation)

    async def choose_champion(
        self,
        name: str,
        metric: str,
        candidates: Iterable[int | str],
        *,
        since: datetime | float | None = None,
        minimize: bool = False,
        alpha: float = 0.05,
        min_samples: int = 30,
        min_effect: float = 0.0,
        apply: bool = False,
        also: Iterable[str] = (),
        reason: str = "",
    ) -> Champion:
        """See Client.choose_champion."""
        return await drive(
            self._core.choose_champion(
                name, metric, candidates, since, minimize, alpha, min_samples, min_effect, apply, also, reason
            )
        )

    def status(self) -> ClientStatus:
        """See Client.status."""
        return self._core.status()

    async def server_status(self) -> ServerStatus:
        """See Client.server_status."""
        return await self._call(self._core.operations.status())

    async def close(self) -> None:
        """See Client.close."""
        await asyncio.to_thread(self._close)  # it waits for the watch's thread to end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client cannot be pickled, since it holds a connection, threads and perhaps a token: make a new "
            f"promptwire.{type(self).__name__} in the process that needs one, and hand over its target instead"
        )

    def __repr__(self) -> str:
        return f"<AsyncClient {self._core.options}>"

    async def _call(self, operation: Operation[Request, Response, Result]) -> Result:
        return await drive(self._core.call(operation))

    async def _pages(
        self, page: Callable[[str], Operation[Request, Response, Page[Item]]], most: int | None = None
    ) -> AsyncIterator[Item]:
        token, left = "", math.inf if most is None else most
        while True:
            items, token = await self._call(page(token))
            for item in items if left >= len(items) else items[: int(left)]:
                yield item
            left -= len(items)
            if not token or left <= 0:
                return
