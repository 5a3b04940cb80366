"""Every way the registry says no: a code, a machine-readable reason, a sentence for a person.

The code is a gRPC status by name; `rpc/errors.py` maps it. Messages never carry a driver's text.
"""

from collections.abc import Mapping
from enum import Enum

from promptwire.domain.splits import Target
from promptwire.domain.violations import Violation
from promptwire_service.domain.records import Revision


class Code(Enum):
    """gRPC's status codes that the registry uses."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    INTERNAL = 13
    UNAVAILABLE = 14


class RegistryError(Exception):
    """A refusal. `metadata` is for machines; `violations` name the fields of bad input.

    `retry_seconds` is how long the caller is asked to wait before calling again.
    """

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.revision: Revision | None = None
        self.violations = violations
        self.retry_seconds = retry_seconds


def invalid(*violations: Violation) -> RegistryError:
    message = "; ".join(map(str, violations))
    return RegistryError(Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", message, violations=violations)


def refuse(*violations: Violation | None) -> None:
    """Raises one error with every violation, if there is any."""
    found = tuple(violation for violation in violations if violation)
    if found:
        raise invalid(*found)


def found_missing(error: RegistryError, revision: Revision) -> RegistryError:
    """The error, which also tells at which revision that was so: who read it must not go back behind that."""
    error.revision = revision
    error.metadata |= {"epoch": revision.epoch, "revision": str(revision.number)}
    return error


def prompt_not_found(name: str) -> RegistryError:
    return RegistryError(Code.NOT_FOUND, "PROMPT_NOT_FOUND", f"there is no prompt {name!r}", {"name": name})


def version_not_found(name: str, version: int, latest: int) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "VERSION_NOT_FOUND",
        f"prompt {name!r} has no version {version}; its newest is {latest}",
        {"name": name, "version": str(version), "latest_version": str(latest)},
    )


def alias_not_found(name: str, alias: str, known: list[str]) -> RegistryError:
    has = f"it has {_some(known)}" if known else "it has none"
    return RegistryError(
        Code.NOT_FOUND,
        "ALIAS_NOT_FOUND",
        f"prompt {name!r} has no alias {alias!r}; {has}",
        {"name": name, "alias": alias},
    )


def alias_absent_then(name: str, alias: str) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "ALIAS_NOT_FOUND",
        f"prompt {name!r} had no alias {alias!r} at that time",
        {"name": name, "alias": alias},
    )


def no_version_then(name: str) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND, "VERSION_NOT_FOUND", f"prompt {name!r} had no such version at that time", {"name": name}
    )


def alias_conflict(name: str, alias: str, expected: Target, actual: Target) -> RegistryError:
    found = f"points at {_target(actual)}" if actual else "does not exist"
    wanted = f"at {_target(expected)}" if expected else "absent"
    versions = {
        key: str(target)
        for key, target in (("expected_version", expected), ("actual_version", actual))
        if isinstance(target, int)
    }
    return RegistryError(
        Code.ABORTED,
        "ALIAS_CONFLICT",
        f"alias {alias!r} of prompt {name!r} {found}, not {wanted} as expected",
        {"name": name, "alias": alias, **versions},
    )


def _target(target: Target) -> str:
    if isinstance(target, int):
        return f"version {target}"
    return "a split of " + ", ".join(f"{weight / 100:g} % {version}" for version, weight in target.weights().items())


def prompt_deleted(name: str) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "PROMPT_DELETED",
        f"prompt {name!r} is deleted; until it is purged it can be undeleted, and its name is taken",
        {"name": name},
    )


def version_deleted(name: str, version: int) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "VERSION_DELETED",
        f"version {version} of prompt {name!r} is deleted",
        {"name": name, "version": str(version)},
    )


def no_version_left(name: str) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND, "VERSION_DELETED", f"all versions of prompt {name!r} are deleted", {"name": name}
    )


def not_deleted(name: str, version: int) -> RegistryError:
    what = f"version {version} of prompt {name!r}" if version else f"prompt {name!r}"
    return RegistryError(
        Code.FAILED_PRECONDITION, "NOT_DELETED", f"{what} is not deleted", {"name": name, "version": str(version)}
    )


def version_aliased(name: str, version: int, aliases: list[str]) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "VERSION_ALIASED",
        f"version {version} of prompt {name!r} has aliases: {_some(aliases)}; move them first, or have them dropped",
        {"name": name, "version": str(version), "aliases": _some(aliases)},
    )


def included(name: str, version: int, dependents: list[tuple[str, int]]) -> RegistryError:
    what = f"version {version} of prompt {name!r}" if version else f"prompt {name!r}"
    by = _some([f"{by_name}/{by_version}" for by_name, by_version in dependents])
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "INCLUDED",
        f"{what} is included by {by}",
        {"name": name, "version": str(version), "dependents": by},
    )


def nothing_to_roll_back(name: str, alias: str, at_ms: int | None) -> RegistryError:
    problem = "pointed at nothing at that time"
    if at_ms is None:
        problem = "has nothing to go back to that was not left by a roll-back or an undo since; say which version"
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "NOTHING_TO_ROLL_BACK",
        f"alias {alias!r} of prompt {name!r} {problem}",
        {"name": name, "alias": alias},
    )


def release_not_found(number: int) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "RELEASE_NOT_FOUND",
        f"there is no release at revision {number}",
        {"release": str(number)},
    )


def release_undone(number: int, by: int) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "RELEASE_UNDONE",
        f"release {number} is undone already, by revision {by}",
        {"release": str(number), "by": str(by)},
    )


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:10])}{' ...' if len(names) > 10 else ''}"


def etag_conflict(name: str, expected: int, actual: int) -> RegistryError:
    return RegistryError(
        Code.ABORTED,
        "ETAG_CONFLICT",
        f"prompt {name!r} has etag {actual}, not {expected} as expected: it changed since it was read",
        {"name": name, "expected_etag": str(expected), "actual_etag": str(actual)},
    )


def latest_conflict(name: str, expected: int, actual: int) -> RegistryError:
    found = f"has version {actual} as its newest" if actual else "does not exist"
    wanted = f"version {expected}" if expected else "to be new"
    return RegistryError(
        Code.ABORTED,
        "LATEST_CONFLICT",
        f"prompt {name!r} {found}, not {wanted} as expected",
        {"name": name, "expected_version": str(expected), "actual_version": str(actual)},
    )


def nothing_to_undo(number: int) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "NOTHING_TO_UNDO",
        f"release {number} moved no alias",
        {"release": str(number)},
    )


def too_many(field: str, limit: int, name: str) -> RegistryError:
    return invalid(Violation(field, f"would bring prompt {name!r} over its limit of {limit:,}"))


def tags_too_large(name: str, max_bytes: int) -> RegistryError:
    return invalid(Violation("tags", f"would bring tags of prompt {name!r} over {max_bytes:,} bytes of UTF-8 in all"))


def request_id_reused(request_id: str) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "REQUEST_ID_REUSED",
        f"request id {request_id!r} was used for a different write; take a new one",
        {"request_id": request_id},
    )


def store_unavailable(problem: str) -> RegistryError:
    return RegistryError(Code.UNAVAILABLE, "STORE_UNAVAILABLE", f"the store is not available: {problem}")


def store_full() -> RegistryError:
    return RegistryError(Code.RESOURCE_EXHAUSTED, "STORE_FULL", "the store has no memory left for writes; reads go on")


def overloaded(kind: str, most: int, retry_seconds: float) -> RegistryError:
    """Nothing was done for the call: it may be made again, after a while."""
    return RegistryError(
        Code.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        f"the service has {most:,} {kind} in progress, the most that it takes; call again in a moment",
        {"calls": kind},
        retry_seconds=retry_seconds,
    )


def store_behind(wanted: int, head: int) -> RegistryError:
    return RegistryError(
        Code.UNAVAILABLE,
        "STORE_BEHIND",
        f"revision {wanted} was asked for, the store is at {head}",
        {"wanted": str(wanted), "head": str(head)},
    )


def compacted(after: int, floor: int) -> RegistryError:
    return RegistryError(
        Code.OUT_OF_RANGE,
        "COMPACTED",
        f"changes after revision {after} are no longer kept; the log reaches back to {floor}",
        {"floor": str(floor)},
    )


def epoch_changed(epoch: str) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "EPOCH_CHANGED",
        "the store's history is another one since (fail-over, restore or new data set); start over",
        {"epoch": epoch},
    )


def answer_too_large(max_bytes: int) -> RegistryError:
    return RegistryError(
        Code.RESOURCE_EXHAUSTED,
        "ANSWER_TOO_LARGE",
        f"the answer would be over {max_bytes:,} bytes with this; ask for less at a time",
        {"max_bytes": str(max_bytes)},
    )


def observed_nothing(name: str, version: int) -> RegistryError:
    return RegistryError(
        Code.NOT_FOUND,
        "VERSION_NOT_FOUND",
        f"there is no version {version} of prompt {name!r} to observe",
        {"name": name, "version": str(version)},
    )


def too_many_metrics(name: str, have: int, limit: int) -> RegistryError:
    return invalid(
        Violation(
            "values",
            f"a new metric would bring prompt {name!r} over its limit of {limit:,} names of metrics; it has {have:,}, "
            "which go on",
        )
    )


def too_many_series(name: str, version: int, limit: int) -> RegistryError:
    return invalid(
        Violation(
            "version",
            f"version {version} would bring prompt {name!r} over its limit of {limit:,} series within an hour",
        )
    )


def query_too_large(what: str, most: int) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "QUERY_TOO_LARGE",
        f"the question covers more than {most:,} {what}; ask for fewer metrics or versions, or a shorter time",
        {"most": str(most)},
    )


def too_many_to_sort(candidates: int, most: int) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "TOO_MANY_TO_SORT",
        f"about {candidates:,} would have to be sorted for each page, and {most:,} at most can be; make the filter "
        "narrower, by name, tag, alias or author, or leave order_by out",
        {"candidates": str(candidates), "most": str(most)},
    )


def too_much_to_sort(looked_at: int) -> RegistryError:
    return RegistryError(
        Code.FAILED_PRECONDITION,
        "TOO_MANY_TO_SORT",
        f"to look for what is to be sorted takes too long: {looked_at:,} candidates were matched; make the filter "
        "narrower, by name, tag, alias or author, or leave order_by or conditions on template out",
        {"looked_at": str(looked_at)},
    )


def too_many_namespaces(rule: str) -> RegistryError:
    return RegistryError(Code.RESOURCE_EXHAUSTED, "TOO_MANY_NAMESPACES", f"{rule}; open the stream at another service")


def internal(error_id: str) -> RegistryError:
    return RegistryError(
        Code.INTERNAL,
        "INTERNAL",
        f"this is a bug in the service; its log says more under error id {error_id}",
        {"error_id": error_id},
    )


def shutting_down() -> RegistryError:
    return RegistryError(Code.UNAVAILABLE, "SHUTTING_DOWN", "this service is shutting down; connect again")
