"""Everything that the client raises:

PromptwireError
├── NotFoundError
│   ├── PromptNotFoundError
│   │   └── VersionNotFoundError
│   └── AliasNotFoundError
├── InvalidArgumentError      also a ValueError; `.violations` name the fields
├── PermissionDeniedError
├── ConflictError             the alias or prompt is not in the state that the write needs
├── RenderError               `.missing` names the variables
├── StaleError                past the lease, with on_stale="fail"
└── UnavailableError          no answer in time; the same call may succeed later
"""

from collections.abc import Mapping, Sequence


class PromptwireError(Exception):
    """A refusal or a failure. The message is for a person; the attributes are for programs."""

    reason: str
    """`ErrorInfo.reason` of the service, e.g. `ALIAS_NOT_FOUND`, or the client's own; empty when there is none."""
    metadata: dict[str, str]
    """What the reason is about, e.g. `{"name": "greeting", "alias": "production"}`."""
    code: str
    """gRPC status by name, e.g. `NOT_FOUND`; empty when the error did not come from a call."""

    def __init__(
        self, message: str, reason: str = "", metadata: Mapping[str, str] | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.code = code


class NotFoundError(PromptwireError):
    """What was asked for does not exist."""


class PromptNotFoundError(NotFoundError):
    """There is no such prompt."""


class VersionNotFoundError(PromptNotFoundError):
    """The prompt has no such version."""


class AliasNotFoundError(NotFoundError):
    """The prompt has no such alias."""


class InvalidArgumentError(PromptwireError, ValueError):
    """An argument breaks a rule."""

    violations: list[tuple[str, str]]
    """Each field that breaks a rule, and the rule."""

    def __init__(
        self,
        message: str,
        reason: str = "INVALID_ARGUMENT",
        metadata: Mapping[str, str] | None = None,
        code: str = "",
        violations: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, reason, metadata, code)
        self.violations = list(violations)


class PermissionDeniedError(PromptwireError):
    """Who calls is unknown or may not do this."""


class ConflictError(PromptwireError):
    """Something is not as the write expected it, so nothing was written."""


class RenderError(PromptwireError):
    """A template cannot be filled in."""

    missing: tuple[str, ...]
    """Variables without a value, in the template's order."""

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(message, "MISSING_VARIABLES")
        self.missing = missing


class StaleError(PromptwireError):
    """The last known good is past its lease, and the client was told not to serve such."""


class UnavailableError(PromptwireError):
    """No answer in time, or the store takes no writes for now. The same call may succeed later."""
