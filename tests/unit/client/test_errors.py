"""gRPC's errors as ours."""

import pickle
from collections.abc import Sequence

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

import promptwire
from promptwire._core.rpc_errors import from_problem, from_rpc_error

CODE = grpc.StatusCode


class Failure(grpc.RpcError):
    """As grpc raises it."""

    def __init__(self, code: grpc.StatusCode, details: str = "", packed: bytes | None = None) -> None:
        self._code, self._details = code, details
        self._trailers = () if packed is None else (Trailer("grpc-status-details-bin", packed),)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Sequence["Trailer"]:
        return self._trailers


class Trailer:
    def __init__(self, key: str, value: bytes) -> None:
        self.key, self.value = key, value


def packed(reason: str, **violations: str) -> bytes:
    info, bad = AnyMessage(), AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="promptwire", metadata={"name": "a"}))
    told = [error_details_pb2.BadRequest.FieldViolation(field=k, description=v) for k, v in violations.items()]
    bad.Pack(error_details_pb2.BadRequest(field_violations=told))
    return status_pb2.Status(details=[info, bad] if violations else [info]).SerializeToString()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (CODE.NOT_FOUND, "PROMPT_NOT_FOUND", promptwire.PromptNotFoundError),
        (CODE.NOT_FOUND, "VERSION_NOT_FOUND", promptwire.VersionNotFoundError),
        (CODE.NOT_FOUND, "ALIAS_NOT_FOUND", promptwire.AliasNotFoundError),
        (CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT", promptwire.InvalidArgumentError),
        (CODE.ABORTED, "ALIAS_CONFLICT", promptwire.ConflictError),
        (CODE.ABORTED, "ETAG_CONFLICT", promptwire.ConflictError),
        (CODE.FAILED_PRECONDITION, "REQUEST_ID_REUSED", promptwire.ConflictError),
        (CODE.RESOURCE_EXHAUSTED, "STORE_FULL", promptwire.UnavailableError),
        (CODE.UNAVAILABLE, "STORE_BEHIND", promptwire.UnavailableError),
        (CODE.FAILED_PRECONDITION, "EPOCH_CHANGED", promptwire.PromptwireError),
        (CODE.OUT_OF_RANGE, "COMPACTED", promptwire.PromptwireError),
        (CODE.NOT_FOUND, "SOMETHING_NEWER", promptwire.NotFoundError),
    ],
)
def test_the_services_reason_decides(
    code: grpc.StatusCode, reason: str, kind: type[promptwire.PromptwireError]
) -> None:
    error = from_rpc_error(Failure(code, "in words", packed(reason)), "host:1", 10)
    assert type(error) is kind
    assert (str(error), error.reason, error.code, error.metadata) == ("in words", reason, code.name, {"name": "a"})
    assert type(from_problem(code.value[0], reason, "in words")) is kind


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (CODE.UNAVAILABLE, promptwire.UnavailableError, "host:1 cannot be reached"),
        (CODE.DEADLINE_EXCEEDED, promptwire.UnavailableError, "host:1 did not answer within 2.5 s"),
        (CODE.PERMISSION_DENIED, promptwire.PermissionDeniedError, "host:1 failed with PERMISSION_DENIED: raw"),
        (CODE.UNAUTHENTICATED, promptwire.PermissionDeniedError, "host:1 failed with UNAUTHENTICATED: raw"),
        (CODE.INTERNAL, promptwire.PromptwireError, "host:1 failed with INTERNAL: raw"),
        (CODE.UNIMPLEMENTED, promptwire.PromptwireError, "host:1 failed with UNIMPLEMENTED: raw"),
    ],
)
def test_without_a_reason_the_code_decides(
    code: grpc.StatusCode, kind: type[promptwire.PromptwireError], message: str
) -> None:
    for failure in (Failure(code, "raw"), Failure(code, "raw", b"\xff not a status")):
        error = from_rpc_error(failure, "host:1", 2.5)
        assert (type(error), str(error), error.reason) == (
            kind,
            message,
            "INVALID_ARGUMENT" if kind is promptwire.InvalidArgumentError else "",
        )


def test_bad_input_names_its_fields() -> None:
    details = packed("INVALID_ARGUMENT", name="must not be empty", alias="is reserved")
    error = from_rpc_error(Failure(CODE.INVALID_ARGUMENT, "both", details), "host:1", 10)
    assert isinstance(error, promptwire.InvalidArgumentError)
    assert error.violations == [("name", "must not be empty"), ("alias", "is reserved")]


def test_errors_can_be_sent_to_other_processes() -> None:
    error = promptwire.RenderError("needs who", ("who",))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.missing, again.reason) == ("needs who", ("who",), "MISSING_VARIABLES")


def test_a_missing_version_is_a_missing_prompt_too() -> None:
    assert issubclass(promptwire.VersionNotFoundError, promptwire.PromptNotFoundError)
    assert issubclass(promptwire.InvalidArgumentError, ValueError)
