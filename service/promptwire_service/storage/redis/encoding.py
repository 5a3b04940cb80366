"""Between the scripts' rows and JSON, and the domain's records."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    Change,
    LogEntry,
    TagsDeleted,
    TagsSet,
    VersionRegistered,
)
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeleteTags,
    Operation,
    Register,
    SetAlias,
    SetTags,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord

Json = dict[str, Any]


def pairs(flat: Iterable[str]) -> dict[str, str]:
    """A flat list key, value, key, value ... as a mapping."""
    items = iter(flat)
    return dict(zip(items, items, strict=True))


def revision_of(head: list[str]) -> Revision:
    return Revision(epoch=head[0], number=int(head[1]))


def prompt_of(row: list[Any]) -> PromptRecord:
    name, flat, aliases, tags = row
    fields = pairs(flat)
    return PromptRecord(
        name=name,
        latest_version=int(fields["latest"]),
        aliases={alias: int(version) for alias, version in pairs(aliases).items()},
        tags=pairs(tags),
        author=fields["author"],
        created_ms=int(fields["created"]),
        updated_ms=int(fields["updated"]),
        etag=int(fields["etag"]),
    )


def version_of(row: list[Any]) -> VersionRecord:
    name, version, flat, tags = row
    fields = pairs(flat)
    return VersionRecord(
        name=name,
        version=int(version),
        content=Content(fields["text"], fields["response_format"], fields["model_config"]),
        digest=fields["digest"],
        commit_message=fields["message"],
        tags=pairs(tags),
        author=fields["author"],
        created_ms=int(fields["created"]),
        etag=int(fields["etag"]),
    )


def write_json(write: Write) -> str:
    """The write script's request. Numbers travel as strings, absent options not at all (Lua has no null)."""
    operation = _present(_operation_json(write.operation))
    body = _present(
        {
            "operation": operation,
            "actor": write.actor,
            "reason": write.reason,
            "expected_etag": _number(write.expected_etag),
        }
    )
    # Who repeats a request may have a newer actor string, e.g. after a restart elsewhere: it is the same write all
    # the same.
    fingerprint = _compact({key: value for key, value in body.items() if key != "actor"})
    return _compact(
        {
            **body,
            "request_id": write.request_id,
            "fingerprint": hashlib.sha256(fingerprint.encode()).hexdigest(),
        }
    )


def _operation_json(operation: Operation) -> Json:
    match operation:
        case Register(name=name, content=content):
            return {
                "kind": "register",
                "name": name,
                "text": content.text,
                "response_format": content.response_format_json,
                "model_config": content.model_config_json,
                "digest": operation.digest,
                "commit_message": operation.commit_message,
                "tags": dict(operation.tags),
            }
        case SetAlias(name=name, alias=alias, version=version):
            return {
                "kind": "set_alias",
                "name": name,
                "alias": alias,
                "version": _number(version),
                "expected_version": _number(operation.expected_version),
                "aliases_max": _number(limits.ALIASES_MAX_PER_PROMPT),
            }
        case DeleteAlias(name=name, alias=alias):
            return {
                "kind": "delete_alias",
                "name": name,
                "alias": alias,
                "expected_version": _number(operation.expected_version),
                "allow_missing": operation.allow_missing,
            }
        case SetTags(name=name, version=version, tags=tags):
            return {
                "kind": "set_tags",
                "name": name,
                "version": _number(version),
                "tags": dict(tags),
                "tags_max": _number(limits.TAGS_MAX),
            }
        case DeleteTags(name=name, version=version, keys=keys):
            return {"kind": "delete_tags", "name": name, "version": _number(version), "keys": list(keys)}


def written_of(answer: Json) -> Written:
    return Written(
        revision=revision_of(answer["revision"]),
        time_ms=int(answer["time"]),
        actor=answer["actor"],
        version=int(answer.get("version", 0)),
        previous_version=int(answer.get("previous", 0)),
    )


def entry_of(row: list[Any]) -> LogEntry:
    entry_id, flat = row
    fields = pairs(flat)
    return LogEntry(
        number=int(entry_id.partition("-")[0]),
        time_ms=int(fields["time"]),
        actor=fields["actor"],
        reason=fields["reason"],
        request_id=fields["request_id"],
        changes=tuple(_change_of(change) for change in json.loads(fields["changes"])),
    )


def _change_of(change: Json) -> Change:
    name = change["name"]
    version = int(change["version"]) if "version" in change else None
    match change["kind"]:
        case "version_registered":
            return VersionRegistered(name, int(change["version"]))
        case "alias_set":
            return AliasSet(name, change["alias"], int(change["version"]), int(change["previous"]))
        case "alias_deleted":
            return AliasDeleted(name, change["alias"], int(change["previous"]))
        case "tags_set":
            return TagsSet(name, version, change["tags"])
        case "tags_deleted":
            return TagsDeleted(name, version, tuple(change["keys"]))
    raise ValueError(f"unknown change {change['kind']!r} in the log: written by a newer service?")


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _present(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
