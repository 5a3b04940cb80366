"""Reading encoded messages field by field, as a parser does that merges nothing."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor


def repeated_singular_fields(data: bytes, descriptor: Descriptor, path: str = "") -> list[str]:
    """Paths of fields that an encoded message has more than once though they are not repeated, at any depth.

    The fields of one `oneof` count as one.
    """
    seen: set[str] = set()
    found: list[str] = []
    for number, value in fields(data):
        field = descriptor.fields_by_number[number]
        where = f"{path}{descriptor.name}.{field.name}"
        if not field.is_repeated:
            slot = field.containing_oneof.full_name if field.containing_oneof else field.full_name
            if slot in seen:
                found.append(where)
            seen.add(slot)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            found += repeated_singular_fields(value, field.message_type, f"{path}{descriptor.name}.")
    return found


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of an encoded message, in order: number and value, which is bytes unless it is a varint."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(data, at)
            case 5:
                size = 4
            case other:
                raise AssertionError(f"wire type {other} at byte {at}")
        assert at + size <= len(data), "a field is cut off"
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
