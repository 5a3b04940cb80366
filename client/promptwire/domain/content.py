"""What a version says, its size and its digest."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final, Self

from promptwire.domain import limits
from promptwire.domain.hidden_text import HiddenText, find_hidden
from promptwire.domain.strict_json import InvalidJsonError, compact_json, parse_json
from promptwire.domain.violations import Violation

JINJA: Final = "jinja2"
SYNTAXES: Final = ("", JINJA)
"""What a template is written in; empty for `{{variable}}` and nothing else."""

_TEXTS: Final = ("text", "syntax")
_NOT_READ: Final = ("source", "includes")
"""Fields whose texts are in the template, too, and those that hold no prose."""
_STRINGS_MAX: Final = 20_000
"""How many strings of a JSON field are looked at for hidden characters."""

_DIGEST_HEADER = b"promptwire content 1\n"


@dataclass(frozen=True, slots=True, order=True)
class Include:
    """A version whose text another one holds."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Content:
    """A version's immutable part: a text or messages, as they are filled in, and what goes with them.

    The JSON fields hold a value's text, or nothing. Where the template includes others, their texts are
    in it already; `source` is it as it was written. `variables` are what the registry found when it was registered,
    None where that is not known: they follow from the rest, and no digest covers them.
    """

    text: str = ""
    response_format_json: str = ""
    model_config_json: str = ""
    messages_json: str = ""
    syntax: str = ""
    source: str = ""
    includes: tuple[Include, ...] = ()
    variables: tuple[str, ...] | None = field(default=None, compare=False)

    @classmethod
    def of_fields(cls, fields: Mapping[str, str]) -> Self:
        """From what `fields` gives; others are ignored."""
        includes = json.loads(fields["includes"]) if "includes" in fields else ()
        return cls(
            fields.get("text", ""),
            fields.get("response_format", ""),
            fields.get("model_config", ""),
            fields.get("messages", ""),
            fields.get("syntax", ""),
            fields.get("source", ""),
            tuple(Include(*include) for include in includes),
            tuple(json.loads(fields["variables"])) if "variables" in fields else None,
        )

    def fields(self) -> dict[str, str]:
        """Those that are present, by name, in the digest's order."""
        includes = [[one.name, one.version, one.digest] for one in self.includes]
        fields = {
            "text": self.text,
            "response_format": self.response_format_json,
            "model_config": self.model_config_json,
            "messages": self.messages_json,
            "syntax": self.syntax,
            "source": self.source,
            "includes": json.dumps(includes, separators=(",", ":"), ensure_ascii=False) if includes else "",
        }
        return {name: text for name, text in fields.items() if text}

    @property
    def template(self) -> str:
        """The text, or the messages as JSON."""
        return self.text or self.messages_json

    @property
    def written(self) -> str:
        """The same as it was written, includes and all."""
        return self.source or self.template

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
    """All of it but whether the template can be read, see domain.templates."""
    if not content.template:
        return Violation(f"{field}.text", "must not be empty")
    if content.text and content.messages_json:
        return Violation(f"{field}.messages_json", "does not go with a text: give one or the other")
    if content.syntax not in SYNTAXES:
        rule = f"must be {JINJA}, or empty for {{{{variable}}}}"
        return Violation(f"{field}.syntax", f"{rule}; got {content.syntax!r:.60}")
    return (
        check_size(content.size_bytes, field)
        or _check_json_object(content.response_format_json, f"{field}.response_format_json")
        or _check_json_object(content.model_config_json, f"{field}.model_config_json")
    )


def with_json_as_kept(content: Content) -> Content:
    """Returns a content that was checked with its JSON in the one form that is stored: compact, the keys of the two
    objects sorted. So equal values have equal digests, and what a file says in YAML comes back as the same bytes.
    """
    return replace(
        content,
        messages_json=_rewritten(content.messages_json),
        response_format_json=_rewritten(content.response_format_json, sort_keys=True),
        model_config_json=_rewritten(content.model_config_json, sort_keys=True),
    )


def _rewritten(text: str, *, sort_keys: bool = False) -> str:
    return compact_json(parse_json(text), sort_keys=sort_keys) if text else ""


def warnings_of(content: Content, field: str = "content") -> list[Violation]:
    """Returns what is accepted and probably not meant: the first text of each field that has hidden characters."""
    return [
        Violation(f"{field}.{path}", str(hidden))
        for name, text in content.fields().items()
        if name not in _NOT_READ
        for path, hidden in islice(_hidden_in(name, text), 1)
    ]


def _hidden_in(name: str, text: str) -> Iterator[tuple[str, HiddenText]]:
    texts = [(name, text)] if name in _TEXTS else islice(_strings(json.loads(text), f"{name}_json"), _STRINGS_MAX)
    return ((path, hidden) for path, one in texts if (hidden := find_hidden(one)))


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yields the strings of a JSON value, keys too, with their paths."""
    match value:
        case str():
            yield path, value
        case list():
            for index, item in enumerate(value):
                yield from _strings(item, f"{path}[{index}]")
        case dict():
            for key, item in value.items():
                yield f"{path}: the key {key!r:.60}", key
                yield from _strings(item, f"{path}.{key}")


def check_size(size_bytes: int, field: str) -> Violation | None:
    """Of a content, in all or in part."""
    if size_bytes <= limits.CONTENT_MAX_BYTES:
        return None
    most = f"must be at most {limits.CONTENT_MAX_BYTES:,} bytes of UTF-8 in all"
    return Violation(field, f"{most}; got {size_bytes:,}")


def _check_json_object(text: str, field: str) -> Violation | None:
    if not text:
        return None
    value = read_json(text, field)
    if isinstance(value, Violation):
        return Violation(field, f"must be a JSON object; {value.description}")
    if not isinstance(value, dict):
        return Violation(field, f"must be a JSON object; got a JSON {type(value).__name__}")
    return None


def read_json(text: str, field: str) -> Any:
    """Returns the value, or a Violation for what is not JSON as domain.strict_json has it."""
    try:
        return parse_json(text)
    except InvalidJsonError as error:
        return Violation(field, str(error))
