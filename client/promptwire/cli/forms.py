"""The client's values as JSON: the names are those of the Python attributes. docs/cli.md shows each."""

import json
from dataclasses import asdict
from typing import Any

from promptwire.domain.splits import Split
from promptwire.prompt_version import PromptVersion
from promptwire.status import ServerStatus
from promptwire.values import (
    AgentsReport,
    AliasMove,
    Change,
    Changes,
    Convergence,
    Deleted,
    Dependent,
    KeptWrite,
    Prompt,
    Release,
    ReleaseEffect,
    Revision,
)


def revision(value: Revision) -> dict[str, Any]:
    return {"epoch": value.epoch, "number": value.number}


def version(value: PromptVersion) -> dict[str, Any]:
    return {
        "name": value.name,
        "version": value.version,
        "template": value.template,
        "syntax": value.syntax,
        "variables": list(value.variables),
        "commit_message": value.commit_message,
        "tags": dict(value.tags),
        "aliases": list(value.aliases),
        "author": value.author,
        "creation_timestamp": value.creation_timestamp,
        "uri": value.uri,
        "digest": value.digest,
        "response_format": value.response_format,
        "model_config": value.model_config,
        "source": json.loads(value.source) if value.source and value.is_chat else value.source,
        "includes": [asdict(one) for one in value.includes],
    }


def dependent(value: Dependent) -> dict[str, Any]:
    return asdict(value)


def prompt(value: Prompt) -> dict[str, Any]:
    return {
        "name": value.name,
        "latest_version": value.latest_version,
        "aliases": dict(value.aliases),
        "tags": dict(value.tags),
        "author": value.author,
        "creation_timestamp": value.creation_timestamp,
        "last_updated_timestamp": value.last_updated_timestamp,
        "etag": value.etag,
        "deleted_versions": list(value.deleted_versions),
        "splits": {alias: split(one) for alias, one in value.splits.items()},
    }


def changes(value: Changes) -> dict[str, Any]:
    return {
        "revision": revision(value.revision),
        "timestamp": value.timestamp,
        "actor": value.actor,
        "reason": value.reason,
        "request_id": value.request_id,
        "changes": [_change(one) for one in value.changes],
    }


def split(value: Split | None) -> dict[str, Any] | None:
    """`weights` are buckets of 10,000."""
    if value is None:
        return None
    weights = {str(version): buckets for version, buckets in value.weights().items()}
    return {"salt": value.salt, "weights": weights, "segments": [list(segment) for segment in value.segments]}


def alias_move(value: AliasMove) -> dict[str, Any]:
    return {
        **{name: getattr(value, name) for name in ("timestamp", "actor", "reason", "request_id")},
        "revision": revision(value.revision),
        "version": value.version,
        "split": split(value.split),
        "previous_version": value.previous_version,
        "previous_split": split(value.previous_split),
        "rollback": value.rollback,
        "undoes": value.undoes,
    }


def kept_write(value: KeptWrite) -> dict[str, Any]:
    return {
        **changes(value),
        "release": value.release,
        "undoes": value.undoes,
        "undone_by": value.undone_by,
    }


def release(value: Release) -> dict[str, Any]:
    return {"revision": revision(value.revision), "effects": [_effect(one) for one in value.effects]}


def _effect(value: ReleaseEffect) -> dict[str, Any]:
    return {
        **{name: getattr(value, name) for name in ("name", "alias", "version", "previous_version", "problem")},
        "split": split(value.split),
        "previous_split": split(value.previous_split),
    }


def deleted(value: Deleted) -> dict[str, Any]:
    return asdict(value)


def _change(value: Change) -> dict[str, Any]:
    return {
        "kind": value.kind,
        "name": value.name,
        "version": value.version,
        "alias": value.alias,
        "previous_version": value.previous_version,
        "tags": dict(value.tags),
        "keys": list(value.keys),
        "split": split(value.split),
        "previous_split": split(value.previous_split),
    }


def status(value: ServerStatus, convergence: list[Convergence], target: str, namespace: str) -> dict[str, Any]:
    return {
        "target": target,
        "namespace": namespace,
        **asdict(value),
        "alias_changes": [{**asdict(one), "agents": agents(one.agents)} for one in convergence],
    }


def agents(value: AgentsReport) -> dict[str, Any]:
    return {**asdict(value), "complete": value.complete}
