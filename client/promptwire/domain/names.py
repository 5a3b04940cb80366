"""What may be a namespace, a prompt's name, an alias, a tag, a request id; sizes are in `limits`.

Each check returns the violation, or None: a caller collects all of a request's and reports them at once.
"""

import re
from collections.abc import Iterable, Mapping

from promptwire.domain import limits
from promptwire.domain.violations import Violation, shape

LATEST = "latest"
DEFAULT_NAMESPACE = "default"

_NAMESPACE = re.compile(rf"[A-Za-z0-9_.\-]{{1,{limits.NAMESPACE_MAX_CHARS}}}\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9_.\-]+\Z")
_ALIAS = re.compile(rf"[A-Za-z0-9_\-]{{1,{limits.ALIAS_MAX_CHARS}}}\Z")
_REQUEST_ID = re.compile(rf"[A-Za-z0-9_.:\-]{{1,{limits.REQUEST_ID_MAX_CHARS}}}\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_VERSION_LIKE = re.compile(r"[vV][0-9]+\Z")


def check_namespace(value: str, field: str = "namespace") -> Violation | None:
    if _NAMESPACE.match(value):
        return None
    return Violation(
        field, f"must be 1-{limits.NAMESPACE_MAX_CHARS} characters of A-Z a-z 0-9 _ . - ; got {shape(value)}"
    )


def check_prompt_name(value: str, field: str = "name") -> Violation | None:
    if not value:
        return Violation(field, "must not be empty")
    size = len(value.encode())
    if size > limits.NAME_MAX_BYTES:
        return Violation(field, f"must be at most {limits.NAME_MAX_BYTES} bytes; got {size:,}: {shape(value)}")
    segments = value.split("/")
    if not all(segments):
        return Violation(field, f"must not begin or end with '/', nor hold '//'; got {shape(value)}")
    for segment in segments:
        if segment in (".", ".."):
            return Violation(field, f"must not have '.' or '..' as a segment; got {shape(value)}")
        if not _SEGMENT.match(segment):
            return Violation(
                field, f"may hold letters A-Z a-z, digits, _ . - and / between folders; got {shape(value)}"
            )
    if _DIGITS.match(segments[-1]):
        return Violation(
            field, f"must not end in a segment of digits only, which would read as a version; got {shape(value)}"
        )
    return None


def check_alias(value: str, field: str = "alias") -> Violation | None:
    """For an alias that is to be written: `latest` is refused."""
    if not _ALIAS.match(value):
        return Violation(
            field, f"must be 1-{limits.ALIAS_MAX_CHARS} characters of A-Z a-z 0-9 _ - ; got {shape(value)}"
        )
    if value.lower() == LATEST:
        return Violation(field, f"'{LATEST}' is reserved: it always means the newest version; got {shape(value)}")
    if _DIGITS.match(value) or _VERSION_LIKE.match(value):
        return Violation(field, f"must not look like a version number; got {shape(value)}")
    return None


def check_selector_alias(value: str, field: str = "alias") -> Violation | None:
    """For an alias that is to be read: `latest` is one too."""
    return None if value == LATEST else check_alias(value, field)


def check_version(value: int, field: str = "version") -> Violation | None:
    if 1 <= value <= limits.VERSION_MAX:
        return None
    return Violation(field, f"must be a whole number from 1; got {value}")


def check_text(value: str, field: str, max_chars: int) -> Violation | None:
    if len(value) <= max_chars:
        return None
    return Violation(field, f"must be at most {max_chars:,} characters; got {len(value):,}")


def check_request_id(value: str, field: str = "write.request_id") -> Violation | None:
    if _REQUEST_ID.match(value):
        return None
    return Violation(
        field, f"must be 1-{limits.REQUEST_ID_MAX_CHARS} characters of A-Z a-z 0-9 _ . : - ; got {shape(value)}"
    )


def check_tag_keys(keys: Iterable[str], field: str = "tags") -> Violation | None:
    for key in keys:
        if not 1 <= len(key) <= limits.TAG_KEY_MAX_CHARS:
            return Violation(
                field, f"a key must be 1-{limits.TAG_KEY_MAX_CHARS} characters; got {len(key):,}: {shape(key)}"
            )
    return None


def check_tags(tags: Mapping[str, str], field: str = "tags") -> Violation | None:
    if len(tags) > limits.TAGS_MAX:
        return Violation(field, f"must be at most {limits.TAGS_MAX} tags; got {len(tags):,}")
    for key, value in tags.items():
        if len(value) > limits.TAG_VALUE_MAX_CHARS:
            return Violation(
                f"{field}[{shape(key)}]",
                f"a value must be at most {limits.TAG_VALUE_MAX_CHARS:,} characters; got {len(value):,}",
            )
    size = tags_size_bytes(tags)
    if size > limits.TAGS_MAX_BYTES:
        return Violation(field, f"must be at most {limits.TAGS_MAX_BYTES:,} bytes of UTF-8 in all; got {size:,}")
    return check_tag_keys(tags, field)


def tags_size_bytes(tags: Mapping[str, str]) -> int:
    """Bytes of keys and values in UTF-8."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in tags.items())
