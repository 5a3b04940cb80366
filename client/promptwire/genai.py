"""MLflow's spelling: functions on one client of this process, made when it is first needed and closed at exit.

    prompt = promptwire.genai.load_prompt("prompts:/greeting@production")

PROMPTWIRE_TARGET, _NAMESPACE and _TOKEN say whose client that is, or `configure` does.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Unpack

from promptwire._core.wanted import Consistency
from promptwire.client import Client
from promptwire.config import Config
from promptwire.diffs import PromptDiff
from promptwire.options import Given
from promptwire.prompt_version import PromptVersion
from promptwire.values import (
    AliasChange,
    AliasMove,
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

__all__ = [
    "audit",
    "configure",
    "delete_prompt",
    "delete_prompt_alias",
    "delete_prompt_tag",
    "delete_prompt_version",
    "delete_prompt_version_tag",
    "diff_prompt_versions",
    "flush_prompt_metrics",
    "get_client",
    "get_prompt",
    "get_prompt_version",
    "list_deleted_prompts",
    "list_prompt_versions",
    "list_prompts",
    "list_releases",
    "load_config",
    "load_prompt",
    "load_prompt_as_of",
    "load_prompts",
    "log_prompt_metrics",
    "prompt_alias_history",
    "prompt_dependents",
    "query_prompt_metrics",
    "register_prompt",
    "release",
    "rollback_prompt_alias",
    "search_prompts",
    "set_prompt_alias",
    "set_prompt_alias_split",
    "set_prompt_tag",
    "set_prompt_version_tag",
    "undelete_prompt",
    "undelete_prompt_version",
    "undo_release",
    "wait_for_ready",
]

_lock = threading.Lock()
_client: Client | None = None


def configure(target: str | None = None, **options: Unpack[Given]) -> None:
    """Replaces the process's client by one with these options, see `promptwire.Client`, and closes the one before."""
    global _client
    client = Client(target, **options)
    with _lock:
        before, _client = _client, client
    if before is not None:
        before.close()


def get_client() -> Client:
    """The process's client."""
    return _client or _make()


def _make() -> Client:
    global _client  # noqa: PLW0603 - one client of the process is what this module is for
    with _lock:
        if _client is None:
            _client = Client()
        return _client


def load_prompt(
    name_or_uri: str,
    version: int | None = None,
    consistency: Consistency | None = None,
    min_revision: Revision | None = None,
    max_staleness: float | None = None,
    key: str | None = None,
) -> PromptVersion:
    """See Client.load_prompt."""
    return (_client or _make()).load_prompt(
        name_or_uri, version, consistency=consistency, min_revision=min_revision, max_staleness=max_staleness, key=key
    )


def load_prompts(references: Iterable[str], *, key: str | None = None) -> list[PromptVersion]:
    """See Client.load_prompts."""
    return get_client().load_prompts(references, key=key)


def load_config(source: str | PathLike[str] | Mapping[str, object]) -> Config[PromptVersion]:
    """See Client.load_config."""
    return get_client().load_config(source)


def wait_for_ready(references: Iterable[str] = (), timeout: float | None = None) -> None:
    """See Client.wait_for_ready."""
    get_client().wait_for_ready(references, timeout)


def register_prompt(
    name: str,
    template: str | Sequence[Mapping[str, Any]],
    commit_message: str | None = None,
    tags: Mapping[str, str] | None = None,
    response_format: Mapping[str, object] | type | None = None,
    model_config: Mapping[str, object] | None = None,
    syntax: str | None = None,
) -> PromptVersion:
    """See Client.register_prompt."""
    return get_client().register_prompt(name, template, commit_message, tags, response_format, model_config, syntax)


def set_prompt_alias(
    name: str,
    alias: str,
    version: int,
    *,
    expected_version: int | None = None,
    reason: str = "",
    wait_for_agents: float | None = None,
) -> AliasChange:
    """See Client.set_prompt_alias."""
    return get_client().set_prompt_alias(
        name, alias, version, expected_version=expected_version, reason=reason, wait_for_agents=wait_for_agents
    )


def delete_prompt_alias(
    name: str,
    alias: str,
    *,
    expected_version: int | None = None,
    allow_missing: bool = False,
    reason: str = "",
    wait_for_agents: float | None = None,
) -> AliasChange:
    """See Client.delete_prompt_alias."""
    return get_client().delete_prompt_alias(
        name,
        alias,
        expected_version=expected_version,
        allow_missing=allow_missing,
        reason=reason,
        wait_for_agents=wait_for_agents,
    )


def get_prompt(name: str) -> Prompt:
    """See Client.get_prompt."""
    return get_client().get_prompt(name)


def get_prompt_version(name: str, version: int) -> PromptVersion:
    """See Client.get_prompt_version."""
    return get_client().get_prompt_version(name, version)


def list_prompts(prefix: str = "", filter_string: str | None = None, order_by: Iterable[str] = ()) -> Iterator[Prompt]:
    """See Client.list_prompts."""
    return get_client().list_prompts(prefix, filter_string, order_by)


def search_prompts(
    filter_string: str | None = None, order_by: Iterable[str] = (), max_results: int | None = None
) -> Iterator[PromptVersion]:
    """See Client.search_prompts."""
    return get_client().search_prompts(filter_string, order_by, max_results)


def list_prompt_versions(name: str) -> Iterator[PromptVersion]:
    """See Client.list_prompt_versions."""
    return get_client().list_prompt_versions(name)


def diff_prompt_versions(name: str, before: int | str, after: int | str, *, context: int | None = None) -> PromptDiff:
    """See Client.diff_prompt_versions."""
    return get_client().diff_prompt_versions(name, before, after, context=context)


def set_prompt_tag(name: str, key: str, value: str) -> Revision:
    """See Client.set_prompt_tag."""
    return get_client().set_prompt_tag(name, key, value)


def delete_prompt_tag(name: str, key: str) -> Revision:
    """See Client.delete_prompt_tag."""
    return get_client().delete_prompt_tag(name, key)


def set_prompt_version_tag(name: str, version: int, key: str, value: str) -> Revision:
    """See Client.set_prompt_version_tag."""
    return get_client().set_prompt_version_tag(name, version, key, value)


def delete_prompt_version_tag(name: str, version: int, key: str) -> Revision:
    """See Client.delete_prompt_version_tag."""
    return get_client().delete_prompt_version_tag(name, version, key)


def rollback_prompt_alias(
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
    return get_client().rollback_prompt_alias(
        name,
        alias,
        to_version=to_version,
        at=at,
        expected_version=expected_version,
        reason=reason,
        wait_for_agents=wait_for_agents,
    )


def prompt_alias_history(name: str, alias: str) -> Iterator[AliasMove]:
    """See Client.prompt_alias_history."""
    return get_client().prompt_alias_history(name, alias)


def load_prompt_as_of(reference: str, at: datetime | float) -> PromptVersion:
    """See Client.load_prompt_as_of."""
    return get_client().load_prompt_as_of(reference, at)


def delete_prompt_version(name: str, version: int, *, drop_aliases: bool = False, reason: str = "") -> Revision:
    """See Client.delete_prompt_version."""
    return get_client().delete_prompt_version(name, version, drop_aliases=drop_aliases, reason=reason)


def undelete_prompt_version(name: str, version: int, *, reason: str = "") -> Revision:
    """See Client.undelete_prompt_version."""
    return get_client().undelete_prompt_version(name, version, reason=reason)


def delete_prompt(name: str, *, reason: str = "") -> Revision:
    """See Client.delete_prompt."""
    return get_client().delete_prompt(name, reason=reason)


def undelete_prompt(name: str, *, reason: str = "") -> Revision:
    """See Client.undelete_prompt."""
    return get_client().undelete_prompt(name, reason=reason)


def prompt_dependents(name: str, version: int | None = None) -> Iterator[Dependent]:
    """See Client.prompt_dependents."""
    return get_client().prompt_dependents(name, version)


def list_deleted_prompts() -> Iterator[Deleted]:
    """See Client.list_deleted_prompts."""
    return get_client().list_deleted_prompts()


def release(
    title: str,
    steps: Mapping[str, int | None] | Iterable[Register | Move],
    *,
    dry_run: bool = False,
    reason: str = "",
) -> Release:
    """See Client.release."""
    return get_client().release(title, steps, dry_run=dry_run, reason=reason)


def undo_release(number: int, *, reason: str = "") -> Release:
    """See Client.undo_release."""
    return get_client().undo_release(number, reason=reason)


def list_releases() -> Iterator[KeptWrite]:
    """See Client.list_releases."""
    return get_client().list_releases()


def audit(after: int = 0) -> Iterator[KeptWrite]:
    """See Client.audit."""
    return get_client().audit(after)


def set_prompt_alias_split(
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
    return get_client().set_prompt_alias_split(
        name,
        alias,
        weights,
        salt=salt,
        expected_version=expected_version,
        reason=reason,
        wait_for_agents=wait_for_agents,
    )


def log_prompt_metrics(
    prompt: PromptVersion | str,
    metrics: Mapping[str, float],
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    *,
    key: str | None = None,
) -> None:
    """See Client.log_prompt_metrics."""
    get_client().log_prompt_metrics(prompt, metrics, run_id, tags, key=key)


def flush_prompt_metrics(timeout: float = 10.0) -> None:
    """See Client.flush_prompt_metrics."""
    get_client().flush_prompt_metrics(timeout)


def query_prompt_metrics(
    name: str,
    metric: str | None = None,
    version: int | None = None,
    alias: str | None = None,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[MetricSummary]:
    """See Client.query_prompt_metrics."""
    return get_client().query_prompt_metrics(name, metric, version, alias, since, until, tags)
