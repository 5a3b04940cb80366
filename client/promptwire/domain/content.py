"""What a version says, its size and its digest."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from promptwire.domain import limits
from promptwire.domain.violations import Violation

_DIGEST_HEADER = b"promptwire content 1\n"


@dataclass(frozen=True, slots=True)
class Content:
    """A version's immutable part. The JSON fields hold an object's text, byte for byte, or nothing."""

    text: str
    response_format_json: str = ""
    model_config_json: str = ""

    @classmethod
    def of_fields(cls, fields: Mapping[str, str]) -> Self:
        """From what `fields` gives; others are ignored."""
        return cls(fields["text"], fields.get("response_format", ""), fields.get("model_config", ""))

    def fields(self) -> dict[str, str]:
        """Those that are present, by name, in the digest's order."""
        fields = {
            "text": self.text,
            "response_format": self.response_format_json,
            "model_config": self.model_config_json,
        }
        return {name: text for name, text in fields.items() if text or name == "text"}

    def _fields(self) -> Iterator[tuple[str, bytes]]:
        return ((name, text.encode()) for name, text in self.fields().items())

    @property
    def size_bytes(self) -> int:
        return sum(len(data) for _, data in self._fields())

    @property
    def digest(self) -> str:
        """`sha256:<hex>` over a header line and, for each field present, `<name> <length in bytes>`, LF, the bytes, LF.

        Lengths come before bytes, so that no two contents share their input.
        """
        sha = hashlib.sha256(_DIGEST_HEADER)
        for name, data in self._fields():
            sha.update(b"%s %d\n%s\n" % (name.encode(), len(data), data))
        return f"sha256:{sha.hexdigest()}"


def check_content(content: Content, field: str = "content") -> Violation | None:
    if not content.text:
        return Violation(f"{field}.text", "must not be empty")
    if content.size_bytes > limits.CONTENT_MAX_BYTES:
        return Violation(
            field,
            f"must be at most {limits.CONTENT_MAX_BYTES:,} bytes of UTF-8 in all; got {content.size_bytes:,}",
        )
    return _check_json_object(content.response_format_json, f"{field}.response_format_json") or _check_json_object(
        content.model_config_json, f"{field}.model_config_json"
    )


def _check_json_object(text: str, field: str) -> Violation | None:
    if not text:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return Violation(field, f"must be a JSON object; {error}")
    if not isinstance(value, dict):
        return Violation(field, f"must be a JSON object; got a JSON {type(value).__name__}")
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
