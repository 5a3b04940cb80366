"""Requests of every method, from the descriptors: each field by its type, and by its name where that says more."""

import random
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz import values
from tests.fuzz.grammar import filter_text, order_text

NAMES: Final = ("p", "q", "a/b", "chat", "jinja", "config", "gone")
"""Prompts of the scene, the last of which is deleted."""
NAMESPACE: Final = "fuzz"


class Seen:
    """What answers have told and later requests may use."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.epochs: list[str] = ["e"]
        self.numbers: list[int] = [1]

    def learn(self, message: Message) -> None:
        """Keeps a few tokens, epochs and numbers of an answer."""
        for field, value in message.ListFields():
            if field.name == "next_page_token":
                self._keep(self.tokens, value)
            elif field.message_type and field.message_type.name == "Revision" and not field.is_repeated:
                self._keep(self.epochs, value.epoch)
                self._keep(self.numbers, value.number)
            elif field.message_type and field.message_type.name == "ReadInfo":
                self.learn(value)

    @staticmethod
    def _keep(kept: list[Any], value: Any) -> None:
        if value not in kept:
            kept.append(value)
            del kept[:-50]


class Requests:
    """Makes requests; most of them right but for one or two fields, since a wrong name ends all further reading."""

    def __init__(self, rng: random.Random, seen: Seen) -> None:
        self._rng = rng
        self._seen = seen
        self._by_name: dict[str, Callable[[], str]] = {
            "namespace": lambda: NAMESPACE,
            "name": lambda: rng.choice(NAMES),
            "names": lambda: rng.choice(NAMES),
            "reference": self._reference,
            "references": self._reference,
            "alias": lambda: rng.choice(("production", "split", "staging", "latest")),
            "aliases": lambda: rng.choice(("production", "split", "new", "latest")),
            "before": lambda: rng.choice(("1", "2", "production", "latest")),
            "after": lambda: rng.choice(("1", "2", "production", "latest")),
            "request_id": lambda: f"r-{rng.randrange(10**12)}",
            "page_token": lambda: values.page_token(rng, seen.tokens),
            "filter": lambda: filter_text(rng),
            "order_by": lambda: order_text(rng),
            "epoch": lambda: rng.choice(seen.epochs),
            "text": lambda: rng.choice(("Hello {{name}}", values.text(rng))),
            "messages_json": lambda: values.json_text(rng),
            "response_format_json": lambda: rng.choice(("", "{}", values.json_text(rng))),
            "model_config_json": lambda: rng.choice(("", '{"temperature": 0.5}', values.json_text(rng))),
            "source": lambda: "",
        }

    def message(self, descriptor: Descriptor, strange: float | None = None) -> Message:
        """`strange` is the share of fields that get any value at all."""
        if strange is None:
            strange = self._rng.choice((0.0, 0.05, 0.15, 0.5))
        message = GetMessageClass(descriptor)()
        self._fill(message, strange, 0)
        return message

    def _fill(self, message: Any, strange: float, depth: int) -> None:
        oneofs = {self._rng.choice(oneof.fields).name for oneof in message.DESCRIPTOR.oneofs}
        for field in message.DESCRIPTOR.fields:
            if field.containing_oneof and field.name not in oneofs:
                continue
            if depth < 6 and (field.name in ("namespace", "name", "write", "request_id") or self._rng.random() < 0.7):
                self._set(message, field, strange, depth)

    def _set(self, message: Any, field: FieldDescriptor, strange: float, depth: int) -> None:
        kind = field.message_type
        if kind and kind.GetOptions().map_entry:
            self._set_map(message, field, strange, depth)
        elif field.is_repeated:
            count = (
                self._rng.choice((0, 1, 1, 2, 3)) if self._rng.random() > strange / 4 else self._rng.choice((60, 1_001))
            )
            if kind:
                for _ in range(min(count, 60)):
                    self._fill(getattr(message, field.name).add(), strange, depth + 1)
            else:
                getattr(message, field.name).extend(self._scalar(field, strange) for _ in range(count))
        elif kind:
            child = getattr(message, field.name)
            child.SetInParent()
            self._fill_known(child, strange, depth)
        else:
            setattr(message, field.name, self._scalar(field, strange))

    def _fill_known(self, child: Any, strange: float, depth: int) -> None:
        match child.DESCRIPTOR.full_name:
            case "google.protobuf.Timestamp" | "google.protobuf.Duration" if self._rng.random() > strange:
                child.seconds = self._rng.choice((0, 1, 1_764_000_000, 4_000_000_000))
                child.nanos = self._rng.choice((0, 1, 999_999_999))
            case _:
                self._fill(child, strange, depth + 1)

    def _set_map(self, message: Any, field: FieldDescriptor, strange: float, depth: int) -> None:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        entries = getattr(message, field.name)
        for _ in range(self._rng.choice((0, 1, 2)) if self._rng.random() > strange / 4 else 101):
            if value.message_type:
                self._fill(entries[self._scalar(key, strange)], strange, depth + 1)
            else:
                entries[self._scalar(key, strange)] = self._scalar(value, strange)

    def _scalar(self, field: FieldDescriptor, strange: float) -> Any:
        odd = self._rng.random() < strange
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return values.text(self._rng).encode()
            case FieldDescriptor.CPPTYPE_STRING:
                known = self._by_name.get(field.name)
                return known() if known and not odd else values.text(self._rng)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._rng.random() < 0.5
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return values.double(self._rng) if odd else self._rng.choice((1.0, 9.0, 0.5))
            case FieldDescriptor.CPPTYPE_ENUM:
                return self._rng.choice((0, 1, 2, 3, -1, 2**31 - 1)) if odd else self._rng.choice((0, 1))
        if not odd:
            return self._rng.choice((1, 1, 2, *self._seen.numbers[-3:])) % 2**31
        number = values.integer(self._rng)
        bits = 32 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
        number = (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
        return (
            abs(number)
            if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
            else number
        )

    def _reference(self) -> str:
        name = self._rng.choice(NAMES)
        return name + self._rng.choice(("", "@production", "@split", "@latest", "/1", "/2", "@none", "/999"))
