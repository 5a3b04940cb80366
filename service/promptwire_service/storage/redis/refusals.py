"""How the write script says no, as the registry's errors."""

from typing import Any

from promptwire.domain import limits
from promptwire_service.domain.errors import (
    RegistryError,
    alias_conflict,
    alias_not_found,
    etag_conflict,
    included,
    latest_conflict,
    no_version_left,
    not_deleted,
    nothing_to_roll_back,
    prompt_deleted,
    prompt_not_found,
    release_not_found,
    release_undone,
    request_id_reused,
    tags_too_large,
    too_many,
    version_aliased,
    version_deleted,
    version_not_found,
)
from promptwire_service.domain.operations import (
    DeleteAlias,
    DeletePrompt,
    DeleteVersion,
    Register,
    RollbackAlias,
    SetAlias,
    UndeletePrompt,
    UndeleteVersion,
    Write,
)
from promptwire_service.storage.redis.encoding import dependent_of, target_of


def refusal(write: Write, answer: dict[str, Any]) -> RegistryError:
    """The error that the write script has answered with."""
    reason = answer["error"]
    if reason == "REQUEST_ID_REUSED":
        return request_id_reused(write.request_id)
    operation = write.operations[answer["index"]]
    name = answer.get("name", operation.name)
    match reason, operation:
        case "RELEASE_NOT_FOUND", _:
            return release_not_found(write.undoes or 0)
        case "RELEASE_UNDONE", _:
            return release_undone(write.undoes or 0, int(answer["by"]))
        case "PROMPT_NOT_FOUND", _:
            return prompt_not_found(name)
        case "PROMPT_DELETED", _:
            return prompt_deleted(name)
        case "ETAG_CONFLICT", _:
            return etag_conflict(name, write.expected_etag or 0, int(answer["actual"]))
        case "VERSION_NOT_FOUND", _:
            return version_not_found(name, int(answer["version"]), int(answer["latest"]))
        case "VERSION_DELETED", _:
            return version_deleted(name, int(answer["version"]))
        case "LATEST_CONFLICT", Register(expected_latest=expected):
            return latest_conflict(name, expected or 0, int(answer["actual"]))
        case "NO_VERSION_LEFT", _:
            return no_version_left(name)
        case "ALIAS_NOT_FOUND", DeleteAlias(alias=alias):
            return alias_not_found(name, alias, sorted(answer["known"]))
        case "ALIAS_CONFLICT", SetAlias(alias=alias) | DeleteAlias(alias=alias) | RollbackAlias(alias=alias):
            return alias_conflict(name, alias, operation.expected or 0, target_of(answer["actual"]))
        case "NOTHING_TO_ROLL_BACK", RollbackAlias(alias=alias, at_ms=at_ms):
            return nothing_to_roll_back(name, alias, at_ms)
        case "TOO_MANY_ALIASES", _:
            return too_many("alias", limits.ALIASES_MAX_PER_PROMPT, name)
        case "TOO_MANY_TAGS", _:
            return too_many("tags", limits.TAGS_MAX, name)
        case "TAGS_TOO_LARGE", _:
            return tags_too_large(name, limits.TAGS_MAX_BYTES)
        case "TOO_MANY_DELETED", _:
            return too_many("version", limits.DELETED_VERSIONS_MAX, name)
        case "ALIASED", DeleteVersion(version=version):
            return version_aliased(name, version, sorted(answer["aliases"]))
        case "INCLUDED", DeleteVersion() | DeletePrompt():
            dependents = sorted(set(map(dependent_of, answer["dependents"])))
            return included(name, getattr(operation, "version", 0), dependents)
        case "NOT_DELETED", UndeleteVersion() | UndeletePrompt():
            return not_deleted(name, getattr(operation, "version", 0))
    raise AssertionError(f"the write script answered {reason!r} to {type(operation).__name__}")
