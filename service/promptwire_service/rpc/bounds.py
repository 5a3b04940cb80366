"""How much a request may hold: a limit for every text, list and map of every request message, in one table.

A checker is compiled for each message from its descriptor and runs right after parsing, before any handler looks at
the items. A field without a limit is an error when the service starts. What the items have to be like, is for the
commands to say.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from promptwire.domain import limits, splits
from promptwire.domain.violations import Violation, shape

VIOLATIONS_MAX: Final = 8
"""After so many the rest of a request is not looked at."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The limits of one field; 0 where it has nothing of the kind."""

    chars: int = 0
    """Characters of a text, bytes of bytes, or of each text in a list, or of each value in a map."""
    count: int = 0
    """Entries of a list or a map."""
    key_chars: int = 0
    """Characters of each key in a map."""
    entries: int = 0
    """Entries of all lists and maps within the messages of a list, together."""


_TAGS: Final = Bound(count=limits.TAGS_MAX, key_chars=limits.TAG_KEY_MAX_CHARS, chars=limits.TAG_VALUE_MAX_CHARS)
_METRIC_TAGS: Final = Bound(
    count=limits.METRIC_TAGS_MAX, key_chars=limits.METRIC_TAG_MAX_CHARS, chars=limits.METRIC_TAG_MAX_CHARS
)
_SUBSCRIPTIONS: Final = Bound(
    count=limits.SUBSCRIPTIONS_MAX_PER_MESSAGE,
    entries=limits.SELECTORS_MAX_PER_MESSAGE + limits.HELD_MAX_PER_MESSAGE,
)
_SELECTOR: Final = Bound(chars=limits.ALIAS_MAX_CHARS)
_SYMBOL: Final = Bound(chars=limits.SYMBOL_MAX_CHARS)
_NAMES: Final = Bound(count=limits.FEED_NAMES_MAX, chars=limits.NAME_MAX_BYTES)

BOUNDS: Final[Mapping[str, Bound]] = {
    "namespace": Bound(chars=limits.NAMESPACE_MAX_CHARS),
    "name": Bound(chars=limits.NAME_MAX_BYTES),
    "name_prefix": Bound(chars=limits.NAME_MAX_BYTES),
    "alias": _SELECTOR,
    "epoch": Bound(chars=limits.EPOCH_MAX_CHARS),
    "key": Bound(chars=limits.SPLIT_KEY_MAX_CHARS),
    "reference": Bound(chars=limits.REFERENCE_MAX_CHARS),
    "commit_message": Bound(chars=limits.COMMIT_MESSAGE_MAX_CHARS),
    "page_token": Bound(chars=limits.PAGE_TOKEN_MAX_CHARS),
    "request_id": Bound(chars=limits.REQUEST_ID_MAX_CHARS),
    "tags": _TAGS,
    "filter": Bound(chars=limits.FILTER_MAX_CHARS),
    "order_by": Bound(count=limits.ORDER_KEYS_MAX, chars=limits.ORDER_KEY_MAX_CHARS),
    "subscriptions": _SUBSCRIPTIONS,
    "BatchResolveRequest.references": Bound(count=limits.BATCH_MAX, chars=limits.BATCH_REFERENCE_MAX_CHARS),
    "BatchResolveRequest.held": Bound(count=limits.BATCH_MAX, chars=limits.TOKEN_MAX_BYTES),
    "Content.text": Bound(chars=limits.CONTENT_MAX_BYTES),
    "Content.messages_json": Bound(chars=limits.CONTENT_MAX_BYTES),
    "Content.response_format_json": Bound(chars=limits.CONTENT_MAX_BYTES),
    "Content.model_config_json": Bound(chars=limits.CONTENT_MAX_BYTES),
    "Content.source": Bound(chars=limits.CONTENT_MAX_BYTES),
    "Content.includes": Bound(count=limits.BATCH_MAX),
    "ExtensionRequest.containing_type": _SYMBOL,
    "HealthCheckRequest.service": _SYMBOL,
    "Include.digest": Bound(chars=limits.DIGEST_MAX_CHARS),
    "DeleteTagsRequest.keys": Bound(count=limits.TAGS_MAX, chars=limits.TAG_KEY_MAX_CHARS),
    "DiffVersionsRequest.before": _SELECTOR,
    "DiffVersionsRequest.after": _SELECTOR,
    "LogMetricsRequest.observations": Bound(count=limits.BATCH_MAX, entries=limits.OBSERVED_MAX_PER_REQUEST),
    "Observation.values": Bound(count=limits.METRICS_MAX, key_chars=limits.METRIC_MAX_CHARS),
    "Observation.tags": _METRIC_TAGS,
    "QueryMetricsRequest.metrics": Bound(count=limits.METRICS_QUERIED_MAX, chars=limits.METRIC_MAX_CHARS),
    "QueryMetricsRequest.versions": Bound(count=limits.VERSIONS_QUERIED_MAX),
    "QueryMetricsRequest.tags": _METRIC_TAGS,
    "RegisterStep.aliases": Bound(count=limits.ALIASES_MAX_PER_PROMPT, chars=limits.ALIAS_MAX_CHARS),
    "ReleaseRequest.steps": Bound(count=limits.RELEASE_STEPS_MAX, entries=limits.RELEASE_ENTRIES_MAX),
    "ReleaseRequest.title": Bound(chars=limits.RELEASE_TITLE_MAX_CHARS),
    "ServerReflectionRequest.all_extension_numbers_of_type": _SYMBOL,
    "ServerReflectionRequest.file_by_filename": _SYMBOL,
    "ServerReflectionRequest.file_containing_symbol": _SYMBOL,
    "ServerReflectionRequest.host": _SYMBOL,
    "ServerReflectionRequest.list_services": _SYMBOL,
    "SetAliasSplitRequest.salt": Bound(chars=splits.SALT_MAX_CHARS),
    "SetAliasSplitRequest.weights": Bound(count=splits.VERSIONS_MAX),
    "StreamChangesRequest.names": _NAMES,
    "Subscription.aliases": Bound(count=limits.SELECTORS_MAX_PER_MESSAGE, chars=limits.ALIAS_MAX_CHARS),
    "Subscription.versions": Bound(count=limits.SELECTORS_MAX_PER_MESSAGE),
    "Subscription.held": Bound(count=limits.HELD_MAX_PER_MESSAGE, chars=limits.TOKEN_MAX_BYTES),
    "WatchHello.client_id": Bound(chars=limits.CLIENT_ID_MAX_CHARS),
    "WatchHello.client_name": Bound(chars=limits.ACTOR_MAX_CHARS),
    "WatchUnsubscribe.names": Bound(count=limits.SUBSCRIPTIONS_MAX_PER_MESSAGE, chars=limits.NAME_MAX_BYTES),
    "WriteOptions.actor": Bound(chars=limits.ACTOR_MAX_CHARS),
    "WriteOptions.reason": Bound(chars=limits.REASON_MAX_CHARS),
}
"""By message and field, or by the field's name alone for all messages that have one of that name."""

_Check = Callable[[Any, int, str, list[Violation]], int]
"""Given a message, the size of the whole request in bytes, and the path to the message: adds what is over a limit, and
returns how many entries its lists and maps have.
"""


_ANY_SIZE: Final = 1 << 62
_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A field's check, and the size of a request from which on it has to run: a smaller one has no room for so much."""

    over_bytes: int
    check: _Check


class Checker:
    """Finds what is over its limit in one kind of request."""

    def __init__(self, descriptor: Descriptor) -> None:
        """Raises TypeError for a field without a limit."""
        checked = _of_message(descriptor)
        self._check = checked.check
        self.over_bytes = checked.over_bytes
        """A request of at most so many bytes cannot be over any limit."""

    def violations(self, request: Any, size_bytes: int) -> list[Violation]:
        """In the order of the limits, smallest first; at most VIOLATIONS_MAX."""
        found: list[Violation] = []
        if size_bytes > self.over_bytes:
            self._check(request, size_bytes, "", found)
        return found


@cache
def _of_message(descriptor: Descriptor) -> _Checked:
    fields = sorted(filter(None, map(_of_field, descriptor.fields)), key=lambda field: field.over_bytes)

    def check(message: Any, size: int, path: str, found: list[Violation]) -> int:
        entries = 0
        for field in fields:
            if size <= field.over_bytes or len(found) >= VIOLATIONS_MAX:
                break
            entries += field.check(message, size, path, found)
        return entries

    return _Checked(fields[0].over_bytes if fields else _ANY_SIZE, check)


def _of_field(field: FieldDescriptor) -> _Checked | None:
    """None for what is of one size."""
    if field.is_repeated:
        bound = _bound_of(field)
        return _of_map(field, bound) if _is_map(field) else _of_list(field, bound)
    if field.message_type is not None:
        return _of_part(field.name, _of_message(field.message_type))
    if field.type in _TEXTS:
        return _of_text(field, _bound_of(field))
    return None


def _bound_of(field: FieldDescriptor) -> Bound:
    bound = BOUNDS.get(".".join(field.full_name.split(".")[-2:])) or BOUNDS.get(field.name)
    if bound is None or not _is_whole(field, bound):
        raise TypeError(f"{field.full_name} has no limit, or not all that it needs: add them to {__name__}.BOUNDS")
    return bound


def _is_whole(field: FieldDescriptor, bound: Bound) -> bool:
    key = value = field
    if field.message_type is not None and _is_map(field):
        key, value = field.message_type.fields
    return (
        bool(bound.count) == field.is_repeated
        and bool(bound.chars) == (value.type in _TEXTS)
        and bool(bound.key_chars) == (key is not value and key.type in _TEXTS)
    )


def _of_text(field: FieldDescriptor, bound: Bound) -> _Checked:
    name, most = field.name, bound.chars

    def check(message: Any, _: int, path: str, found: list[Violation]) -> int:
        if len(text := getattr(message, name)) > most:
            found.append(_too_long(f"{path}{name}", "must be", most, text))
        return 0

    return _Checked(most, check)


def _of_part(name: str, inner: _Checked) -> _Checked:
    def check(message: Any, size: int, path: str, found: list[Violation]) -> int:
        if not message.HasField(name):
            return 0
        return inner.check(getattr(message, name), size, f"{path}{name}.", found)

    return _Checked(inner.over_bytes, check)


def _of_list(field: FieldDescriptor, bound: Bound) -> _Checked:
    name, most, chars = field.name, bound.count, bound.chars
    inner = _of_message(field.message_type) if field.message_type is not None else None
    entries_max = bound.entries or _ANY_SIZE

    def check(message: Any, _: int, path: str, found: list[Violation]) -> int:
        items = getattr(message, name)
        if len(items) > most:
            found.append(_too_many(f"{path}{name}", most, len(items)))
        elif inner is not None:
            entries = 0
            for index, item in enumerate(items):
                # By itself an item may be small enough not to be looked at, but its entries count.
                entries += inner.check(item, _ANY_SIZE, f"{path}{name}[{index}].", found)
                if entries > entries_max:
                    rule = f"must be at most {entries_max:,} entries in all the lists and maps of its items"
                    found.append(Violation(f"{path}{name}", f"{rule}; got {entries:,} in the first {index + 1:,}"))
                if entries > entries_max or len(found) >= VIOLATIONS_MAX:
                    break
        elif chars:
            _check_texts(items, chars, f"{path}{name}", "each must be", found)
        return len(items)

    return _Checked(min(most, entries_max, inner.over_bytes if inner else chars or most), check)


def _of_map(field: FieldDescriptor, bound: Bound) -> _Checked:
    name, most, chars, key_chars = field.name, bound.count, bound.chars, bound.key_chars

    def check(message: Any, _: int, path: str, found: list[Violation]) -> int:
        items = getattr(message, name)
        if len(items) > most:
            found.append(_too_many(f"{path}{name}", most, len(items)))
        else:
            if key_chars:
                _check_texts(items, key_chars, f"{path}{name}", "a key must be", found)
            if chars:
                for key, value in items.items():
                    if len(value) > chars:
                        found.append(_too_long(f"{path}{name}[{shape(key)}]", "a value must be", chars, value))
        return len(items)

    return _Checked(min(most, chars or most, key_chars or most), check)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _check_texts(texts: Iterable[str | bytes], most: int, path: str, rule: str, found: list[Violation]) -> None:
    for text in texts:
        if len(text) > most:
            found.append(_too_long(path, rule, most, text))
            return


def _too_long(field: str, rule: str, most: int, text: str | bytes) -> Violation:
    if isinstance(text, bytes):
        return Violation(field, f"{rule} at most {most:,} bytes; got {len(text):,}")
    return Violation(field, f"{rule} at most {most:,} characters; got {shape(text)}")


def _too_many(field: str, most: int, count: int) -> Violation:
    return Violation(field, f"must be at most {most:,}; got {count:,}")
