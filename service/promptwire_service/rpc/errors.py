"""RegistryError as a gRPC status: the one way in which every method says no."""

import uuid
from typing import Final

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from promptwire_service.domain.errors import Code, RegistryError, internal

DOMAIN: Final = "promptwire"

# Clients refuse more than 8 KiB of trailing metadata, and then see gRPC's own error and nothing of ours. A status
# travels twice: its message percent-encoded, three bytes for one outside printable ASCII, and the whole of it in
# base64.
_MESSAGE_MAX_BYTES: Final = 2_048
_STATUS_MAX_BYTES: Final = 4_096

_WORTH_A_WARNING: Final = frozenset({Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED})

_log = structlog.get_logger(__name__)


def to_status(error: RegistryError) -> grpc.Status:
    """Code, message and ErrorInfo, with BadRequest or RetryInfo where they apply; cut to what a client accepts."""
    status = Status(code=error.code.value, message=_clip(error.message))
    _add(status, ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.retry_seconds is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_seconds * 1000))
        _add(status, retry)
    bad_request = BadRequest()
    left = _STATUS_MAX_BYTES - status.ByteSize()
    for violation in error.violations:
        told = BadRequest.FieldViolation(field=violation.field, description=violation.description)
        left -= told.ByteSize()
        if left < 0:
            break
        bad_request.field_violations.append(told)
    if bad_request.field_violations:
        _add(status, bad_request)
    return rpc_status.to_status(status)


def from_exception(method: str, error: Exception) -> RegistryError:
    """What a caller is told of an exception that nobody expected: where to find it in the log, and nothing of it."""
    error_id = uuid.uuid4().hex[:12]
    _log.error("unexpected error", method=method, error_id=error_id, exc_info=error)
    return internal(error_id)


def log_refusal(method: str, error: RegistryError) -> None:
    """A caller's mistakes are his to see; what an operator can mend is a warning."""
    if error.code in _WORTH_A_WARNING:
        _log.warning("call failed", method=method, reason=error.reason, problem=error.message)
    else:
        _log.debug("call refused", method=method, reason=error.reason, problem=error.message)


def _add(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _clip(message: str) -> str:
    left = _MESSAGE_MAX_BYTES
    for index, char in enumerate(message):
        left -= 1 if " " <= char <= "~" and char != "%" else 3 * len(char.encode())
        if left < 0:
            return f"{message[:index]}..."
    return message
