"""Times, durations and revisions of requests as the registry's values: the one place that reads them.

A protobuf Timestamp or Duration can hold what no clock shows; each is checked before it is turned into a number.
"""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from promptwire.domain import limits
from promptwire.domain.violations import Violation
from promptwire.v1 import common_pb2 as common_pb
from promptwire_service.domain.errors import invalid
from promptwire_service.domain.records import Revision

_NANOS: Final = 1_000_000_000


def time_ms_of(message: Message, name: str) -> int | None:
    """Returns a field's Timestamp in milliseconds since 1970; None when it is absent. Raises INVALID_ARGUMENT."""
    if not message.HasField(name):
        return None
    value: Timestamp = getattr(message, name)
    if not (0 <= value.seconds <= limits.TIME_MAX_MS // 1_000 and 0 <= value.nanos < _NANOS):
        rule = f"must be a time from 1970 to 9999, with 0-{_NANOS - 1:,} nanos"
        raise invalid(Violation(name, f"{rule}; got {value.seconds} s and {value.nanos} nanos"))
    return value.seconds * 1_000 + value.nanos // 1_000_000


def seconds_of(message: Message, name: str, most_seconds: float, path: str = "") -> float:
    """Returns a field's Duration, 0 when it is absent. Raises INVALID_ARGUMENT, which names `path`, the field with what
    it stands in.
    """
    if not message.HasField(name):
        return 0.0
    value: Duration = getattr(message, name)
    seconds = value.seconds + value.nanos / _NANOS
    if not (0 <= value.seconds <= most_seconds and 0 <= value.nanos < _NANOS and seconds <= most_seconds):
        rule = f"must be 0 to {most_seconds:,.0f} s, with 0-{_NANOS - 1:,} nanos"
        raise invalid(Violation(path or name, f"{rule}; got {value.seconds} s and {value.nanos} nanos"))
    return seconds


def revision_of(message: Message, name: str, path: str = "") -> Revision | None:
    """Returns a field's Revision; None when it is absent. Raises INVALID_ARGUMENT for one that no answer ever carried:
    ignored, it would be a guarantee that does not hold.
    """
    if not message.HasField(name):
        return None
    value: common_pb.Revision = getattr(message, name)
    path = path or name
    if value.number < 0:
        raise invalid(Violation(f"{path}.number", f"must be a whole number from 0; got {value.number}"))
    if value.number > 0 and not value.epoch:
        raise invalid(Violation(f"{path}.epoch", "must not be empty; send the revision as it was answered"))
    return Revision(value.epoch, value.number)
