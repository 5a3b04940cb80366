"""Bytes that are no message of their type, and which field makes them so."""

from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from promptwire.domain.violations import Violation

_LENGTH_DELIMITED = 2
_REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Malformed:
    """In place of a request that could not be parsed."""

    descriptor: Descriptor
    data: bytes

    def violation(self) -> Violation:
        return _find(self.descriptor, self.data, "") or Violation(_REQUEST, f"is not a {self.descriptor.name} message")


def _find(descriptor: Descriptor, data: bytes, path: str) -> Violation | None:
    """The first field that breaks a rule of the wire format.

    To a message without fields all of them are unknown: so any bytes that are fields at all can be taken apart.
    """
    try:
        unknown = UnknownFieldSet(Empty.FromString(data))
    except DecodeError:
        return Violation(path or _REQUEST, "is cut off or garbled: its bytes are not those of a protobuf message")
    for field_number, wire_type, value in (
        (one.field_number, one.wire_type, one.data) for one in map(unknown.__getitem__, range(len(unknown)))
    ):
        field = descriptor.fields_by_number.get(field_number)
        if field is None or wire_type != _LENGTH_DELIMITED:
            continue
        found = _check(field, value, f"{path}.{field.name}" if path else field.name)
        if found:
            return found
    return None


def _check(field: FieldDescriptor, value: bytes, path: str) -> Violation | None:
    if field.message_type is not None:
        return _find(field.message_type, value, path)
    if field.type == FieldDescriptor.TYPE_STRING:
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return Violation(path, f"must be UTF-8; byte {error.start} is not: {error.reason}")
    elif field.type != FieldDescriptor.TYPE_BYTES and value and value[-1] & 0x80:
        # Packed numbers, the last of which does not end.
        return Violation(path, "is cut off in the middle of a number")
    return None
