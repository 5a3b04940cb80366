"""gRPC's errors as ours: by the service's reason first, by the status code second."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc

from promptwire import errors
from promptwire.values import Revision

_BY_REASON: dict[str, type[errors.PromptwireError]] = {
    "PROMPT_NOT_FOUND": errors.PromptNotFoundError,
    "VERSION_NOT_FOUND": errors.VersionNotFoundError,
    "ALIAS_NOT_FOUND": errors.AliasNotFoundError,
    "PROMPT_DELETED": errors.PromptNotFoundError,
    "VERSION_DELETED": errors.VersionNotFoundError,
    "NOT_DELETED": errors.ConflictError,
    "VERSION_ALIASED": errors.ConflictError,
    "INCLUDED": errors.ConflictError,
    "NOTHING_TO_ROLL_BACK": errors.ConflictError,
    "NOTHING_TO_UNDO": errors.ConflictError,
    "RELEASE_UNDONE": errors.ConflictError,
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "ALIAS_CONFLICT": errors.ConflictError,
    "ETAG_CONFLICT": errors.ConflictError,
    "REQUEST_ID_REUSED": errors.ConflictError,
    "STORE_FULL": errors.UnavailableError,
    "OVERLOADED": errors.UnavailableError,
    "TOO_MANY_TO_SORT": errors.InvalidArgumentError,
    "QUERY_TOO_LARGE": errors.InvalidArgumentError,
}

_BY_CODE: dict[str, type[errors.PromptwireError]] = {
    "NOT_FOUND": errors.NotFoundError,
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "PERMISSION_DENIED": errors.PermissionDeniedError,
    "UNAUTHENTICATED": errors.PermissionDeniedError,
    "ABORTED": errors.ConflictError,
    "RESOURCE_EXHAUSTED": errors.UnavailableError,
    "CANCELLED": errors.UnavailableError,
    "DEADLINE_EXCEEDED": errors.UnavailableError,
    "UNAVAILABLE": errors.UnavailableError,
}

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}

_TOO_LARGE = re.compile(r"(SERVER: Received|CLIENT: Sent) message larger than max")

_DETAILS_KEY = "grpc-status-details-bin"


def from_rpc_error(error: grpc.RpcError, target: str, waited_seconds: float) -> errors.PromptwireError:
    """What to raise `from` a failed call to `target`, which was given `waited_seconds` in all."""
    code = error.code()
    details = _details(error)
    reason, message = details.reason, error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{target} did not answer within {waited_seconds:.3g} s"
    elif reason:
        message = message or reason
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE.search(message):
        # gRPC's own words, before anybody has read the request: the same one cannot succeed later.
        return errors.InvalidArgumentError(f"the request is too large: {message}", code=code.name)
    elif code is grpc.StatusCode.UNAVAILABLE:
        message = f"{target} cannot be reached"
    else:
        message = f"{target} failed with {code.name}: {message}"
    return _make(message, reason, code.name, details.metadata, details.violations)


def retry_seconds(error: grpc.RpcError) -> float | None:
    """How long the service asks to wait before the call is made again; None where it does not ask for that."""
    return _details(error).retry_seconds if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else None


def from_problem(code: int, reason: str, message: str) -> errors.PromptwireError:
    """An error that came as a value, within an answer."""
    return _make(message, reason, _CODES.get(code, "UNKNOWN"))


def revision_of(error: errors.PromptwireError) -> Revision | None:
    """At which revision the service found that something does not exist, if it said so."""
    number = error.metadata.get("revision", "")
    return Revision(error.metadata.get("epoch", ""), int(number)) if number.isdecimal() else None


def _make(
    message: str,
    reason: str,
    code: str,
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[tuple[str, str]] = (),
) -> errors.PromptwireError:
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, errors.PromptwireError)
    if issubclass(kind, errors.InvalidArgumentError):
        return kind(message, reason or "INVALID_ARGUMENT", metadata, code, violations)
    return kind(message, reason, metadata, code)


@dataclass(frozen=True, slots=True)
class _Details:
    """What google.rpc.Status says; empty where the error is not the service's own."""

    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[tuple[str, str]] = ()
    retry_seconds: float | None = None


def _details(error: grpc.RpcError) -> _Details:
    packed = next((one.value for one in error.trailing_metadata() or () if one.key == _DETAILS_KEY), None)
    if not isinstance(packed, bytes):
        return _Details()
    # Only an error needs these.
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    seconds: float | None = None
    try:
        for detail in status_pb2.Status.FromString(packed).details:
            if detail.Unpack(retry):
                seconds = max(0.0, retry.retry_delay.ToMilliseconds() / 1000)
            else:
                detail.Unpack(info) or detail.Unpack(bad_request)
    except DecodeError:  # a proxy's, perhaps: the code still counts
        return _Details()
    return _Details(
        info.reason,
        dict(info.metadata),
        [(one.field, one.description) for one in bad_request.field_violations],
        seconds,
    )
