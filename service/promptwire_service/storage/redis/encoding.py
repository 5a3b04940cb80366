"""Between the scripts' rows and JSON, and the domain's records."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from promptwire.domain import limits
from promptwire.domain.content import Content
from promptwire.domain.splits import Split, Target
from promptwire_service.domain.changes import (
    AliasDeleted,
    AliasSet,
    Change,
    LogEntry,
    LogHead,
    PromptDeleted,
    PromptPurged,
    PromptUndeleted,
    TagsDeleted,
    TagsSet,
    VersionDeleted,
    VersionPurged,
    VersionRegistered,
    VersionUndeleted,
)
from promptwire_service.domain.errors import RegistryError
from promptwire_service.domain.kept import AliasMoved, Deleted, Dependent, KeptWrite
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteTags,
    DeleteVersion,
    Operation,
    Purge,
    Register,
    Result,
    RollbackAlias,
    SetAlias,
    SetTags,
    UndeletePrompt,
    UndeleteVersion,
    Write,
    Written,
)
from promptwire_service.domain.records import PromptRecord, Revision, VersionRecord

Json = dict[str, Any]


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """A flat list key, value, key, value ... as a mapping."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def revision_of(head: list[str]) -> Revision:
    return Revision(epoch=head[0], number=int(head[1]))


def server_of(epoch: str) -> str:
    """The part of an epoch that tells servers apart; see head() in prelude.lua."""
    return epoch.rpartition("-")[2]


@lru_cache(maxsize=32_768)
def head_of(server: str, data_set: str | None, number: str | None, request_id: str | None) -> LogHead:
    """Where a namespace stands; see read_heads.lua. Most say the same every second: they are made once."""
    return LogHead(Revision(f"{data_set or 'empty'}-{server}", int(number or 0)), request_id or "")


def prompt_of(row: list[Any]) -> PromptRecord:
    name, flat, targets, tags, deleted = row
    fields = pairs(flat)
    aliases = {alias: target_of(text) for alias, text in pairs(targets).items()}
    return PromptRecord(
        name=name,
        last_version=int(fields["latest"]),
        aliases={alias: target for alias, target in aliases.items() if isinstance(target, int)},
        splits={alias: target for alias, target in aliases.items() if isinstance(target, Split)},
        tags=pairs(tags),
        author=fields["author"],
        created_ms=int(fields["created"]),
        updated_ms=int(fields["updated"]),
        etag=int(fields["etag"]),
        deleted_versions={int(version): int(time) for version, time in pairs(deleted).items()},
        deleted_ms=int(fields.get("deleted", 0)),
        before_version=int(fields.get("before", 0)),
    )


def target_text(target: Target) -> str:
    """As aliases keep it: a version's number, or a split as JSON, always the same for the same split."""
    if isinstance(target, Split):
        # Numbers as strings, since the scripts read them.
        segments = [[end, str(version)] for end, version in target.segments]
        return _compact({"salt": target.salt, "segments": segments})
    return str(target)


def target_of(text: str) -> Target:
    if not text.startswith("{"):
        return int(text)
    split = json.loads(text)
    return Split(split["salt"], tuple((end, int(version)) for end, version in split["segments"]))


def version_of(row: list[Any]) -> VersionRecord:
    """From a row that may lack the content, which is empty then."""
    name, version, flat, tags = row
    fields = pairs(flat)
    return VersionRecord(
        name=name,
        version=int(version),
        content=Content.of_fields(fields),
        digest=fields["digest"],
        commit_message=fields["message"],
        tags=pairs(tags),
        author=fields["author"],
        created_ms=int(fields["created"]),
        etag=int(fields["etag"]),
        updated_ms=int(fields.get("updated", 0)),
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found to include what is to be deleted, and the revision from which on there may be more."""

    since: Revision
    dependents: tuple[Dependent, ...]


def write_json(write: Write, looked: Looked | None = None) -> str:
    """The write script's request. Numbers travel as strings, absent options not at all (Lua has no null)."""
    body = _present(
        {
            "operations": [_present(_operation_json(operation)) for operation in write.operations],
            "actor": write.actor,
            "reason": write.reason,
            "expected_etag": _number(write.expected_etag),
            "release": write.release,
            "undoes": _number(write.undoes),
            "dry_run": write.dry_run or None,
        }
    )
    # Who repeats a request may have a newer actor string, e.g. after a restart elsewhere: it is the same write all
    # the same.
    fingerprint = write.asked or _compact({key: value for key, value in body.items() if key != "actor"})
    if looked is not None:  # of a deletion, which is the only operation; no part of what was asked for
        body["operations"][0] |= {
            "looked": [looked.since.epoch, str(looked.since.number)],
            "dependents": [f"{one.by_name}:{one.by_version}" for one in looked.dependents],
        }
    return _compact(
        {
            **body,
            "request_id": write.request_id,
            "fingerprint": hashlib.sha256(fingerprint.encode()).hexdigest(),
        }
    )


def _variables(content: Content) -> dict[str, str]:
    return {} if content.variables is None else {"variables": json.dumps(content.variables)}


def _operation_json(operation: Operation) -> Json:
    fields: Json = {"kind": _KINDS[type(operation)], "name": operation.name}
    match operation:
        case Register(content=content):
            return fields | {
                # The variables are kept so that no read has to parse a template.
                "content": content.fields() | _variables(content),
                "digest": operation.digest,
                "commit_message": operation.commit_message,
                "tags": dict(operation.tags),
                "includes": [
                    {"name": include.name, "version": str(include.version), "digest": include.digest}
                    for include in content.includes
                ],
                "expected_latest": _number(operation.expected_latest),
            }
        case SetAlias(alias=alias, target=target, expected=expected):
            return fields | {
                "alias": alias,
                "target": _target(target),
                "expected": _target(expected),
                "aliases_max": str(limits.ALIASES_MAX_PER_PROMPT),
            }
        case DeleteAlias(alias=alias, expected=expected):
            return fields | {
                "alias": alias,
                "expected": _target(expected),
                "allow_missing": operation.allow_missing,
            }
        case RollbackAlias(alias=alias, expected=expected):
            return fields | {
                "alias": alias,
                "expected": _target(expected),
                "at": _number(operation.at_ms),
                "to": _target(operation.to),
                "aliases_max": str(limits.ALIASES_MAX_PER_PROMPT),
            }
        case SetTags(version=version, tags=tags):
            return fields | {
                "version": _number(version),
                "tags": dict(tags),
                "tags_max": str(limits.TAGS_MAX),
                "tags_max_bytes": str(limits.TAGS_MAX_BYTES),
            }
        case DeleteTags(version=version, keys=keys):
            return fields | {"version": _number(version), "keys": list(keys)}
        case DeleteVersion(version=version, drop_aliases=drop_aliases):
            return fields | {
                "version": str(version),
                "drop_aliases": drop_aliases,
                "deleted_max": str(limits.DELETED_VERSIONS_MAX),
            }
        case UndeleteVersion(version=version):
            return fields | {"version": str(version)}
        case Purge(before_ms=before_ms, limit=limit):
            return fields | {"before": str(before_ms), "limit": str(limit)}
        case DeletePrompt() | UndeletePrompt():
            return fields


_KINDS: Final = {
    Register: "register",
    SetAlias: "set_alias",
    DeleteAlias: "delete_alias",
    RollbackAlias: "rollback_alias",
    SetTags: "set_tags",
    DeleteTags: "delete_tags",
    DeleteVersion: "delete_version",
    UndeleteVersion: "undelete_version",
    DeletePrompt: "delete_prompt",
    UndeletePrompt: "undelete_prompt",
    Purge: "purge",
}


def written_of(answer: Json, refusal: Callable[[Json], RegistryError]) -> Written:
    return Written(
        revision=revision_of(answer["revision"]),
        time_ms=int(answer["time"]),
        actor=answer["actor"],
        results=tuple(
            Result(
                version=int(result.get("version", 0)),
                target=target_of(result.get("target", "0")),
                previous=target_of(result.get("previous", "0")),
                purged=int(result.get("purged", 0)),
                problem=refusal(result) if "error" in result else None,
            )
            for result in answer["results"]
        ),
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
    match change["kind"]:
        case "version_registered":
            return VersionRegistered(name, int(change["version"]))
        case "alias_set":
            return AliasSet(name, change["alias"], target_of(change["version"]), target_of(change["previous"]))
        case "alias_deleted":
            return AliasDeleted(name, change["alias"], target_of(change["previous"]))
        case "tags_set":
            return TagsSet(name, _version(change), change["tags"])
        case "tags_deleted":
            return TagsDeleted(name, _version(change), tuple(change["keys"]))
        case "version_deleted":
            return VersionDeleted(name, int(change["version"]))
        case "version_undeleted":
            return VersionUndeleted(name, int(change["version"]))
        case "version_purged":
            return VersionPurged(name, int(change["version"]))
        case "prompt_deleted":
            return PromptDeleted(name)
        case "prompt_undeleted":
            return PromptUndeleted(name)
        case "prompt_purged":
            return PromptPurged(name)
    raise ValueError(f"unknown change {change['kind']!r} in the log: written by a newer service?")


def _version(change: Json) -> int | None:
    return int(change["version"]) if "version" in change else None


def moved_of(row: list[Any]) -> AliasMoved:
    entry_id, flat = row
    fields = pairs(flat)
    return AliasMoved(
        number=int(entry_id.partition("-")[0]),
        time_ms=int(fields["time"]),
        actor=fields["actor"],
        reason=fields["reason"],
        request_id=fields["request_id"],
        target=target_of(fields["to"]),
        previous=target_of(fields["from"]),
        rollback=fields["back"] == "rollback",
        undoes=int(fields["undoes"] or 0),
    )


def kept_of(row: list[Any], undone_by: str) -> KeptWrite:
    fields = pairs(row[1])
    return KeptWrite(
        entry_of(row),
        release=fields.get("release"),
        undoes=int(fields.get("undoes") or 0),
        undone_by=int(undone_by or 0),
    )


def deleted_of(member: str, time: str) -> Deleted:
    kind, _, rest = member.partition(":")
    name, _, version = rest.rpartition(":") if kind == "v" else (rest, "", "0")
    return Deleted(name, int(version), int(float(time)))


def dependent_of(member: str) -> tuple[str, int]:
    name, _, version = member.rpartition(":")
    return name, int(version)


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _target(value: Target | None) -> str | None:
    return None if value is None else target_text(value)


def _present(fields: Mapping[str, Any]) -> Json:
    return {key: value for key, value in fields.items() if value is not None}


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
