"""A prompt as a file: what stands in it, in which order, and what is refused.

The newest version alone is one document; a prompt with all its versions is one document a version, oldest first.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from promptwire._core import checks
from promptwire.domain import includes, limits
from promptwire.domain.content import Content, check_content
from promptwire.domain.names import LATEST, check_alias, check_prompt_name, check_tags, check_text
from promptwire.domain.template import RenderingError
from promptwire.domain.templates import check_template
from promptwire.domain.violations import Violation
from promptwire.errors import InvalidArgumentError
from promptwire.files import writing
from promptwire.files.reading import FileError, Node, read_documents
from promptwire.prompt_version import PromptVersion
from promptwire.values import Register

NEWEST: Final = 0
"""As an alias's target: the version that the file itself says."""

_OF_PROMPT: Final = ("name", "aliases", "splits", "prompt_tags")
_OF_LAST: Final = _OF_PROMPT[1:]
_OF_VERSION: Final = (
    "version", "commit_message", "tags", "model_config", "response_format", "syntax", "template", "messages"
)  # fmt: skip
_PARTS: Final = {"response_format_json": "response_format", "model_config_json": "model_config", "syntax": "syntax"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """One version in a file."""

    content: Content
    """As it is written: what it includes is not in it."""
    commit_message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    number: int | None = None
    """None where the file has only the newest one, which says no number."""

    def register(self, name: str, expected_latest_version: int | None) -> Register:
        return Register(
            name=name,
            template=_json(self.content.messages_json) or self.content.text,
            syntax=self.content.syntax or None,
            commit_message=self.commit_message,
            tags=self.tags,
            response_format=_json(self.content.response_format_json),
            model_config=_json(self.content.model_config_json),
            expected_latest_version=expected_latest_version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSplit:
    """What a split says; which keys had which version is not kept."""

    salt: str
    weights: Mapping[str, int]
    """By version number, as text; 10,000 in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """One prompt in a file."""

    name: str
    versions: tuple[FileVersion, ...]
    """Oldest first; one, without a number, where the file has only the newest."""
    aliases: Mapping[str, int] = field(default_factory=dict)
    """To numbers, or NEWEST."""
    splits: Mapping[str, FileSplit] = field(default_factory=dict)
    """Aliases that point at weighted versions; kept only together with all versions."""
    prompt_tags: Mapping[str, str] = field(default_factory=dict)
    """Of the prompt itself; kept only together with all versions."""
    path: str = ""
    """For errors."""

    def without_aliases(self) -> "PromptFile":
        """The same, and nothing that would move an alias."""
        return replace(self, aliases={}, splits={})

    @property
    def newest(self) -> FileVersion:
        return self.versions[-1]


def content_of(version: PromptVersion, *, pinned: bool = False) -> Content:
    """A version's content as it was written, with its JSON in one form: it equals a file's if both say the same.

    Pinned, its includes name the versions that they are.
    """
    written = version.content.written
    if pinned and version.includes:
        written = includes.pinned(written, version.includes)
    template = json.loads(written) if version.is_chat else written
    return checks.content(template, version.response_format, version.model_config, version.syntax)


def write(prompt: PromptFile) -> str:
    """The file's text. Equal prompts make equal texts."""
    documents = []
    for index, version in enumerate(prompt.versions):
        values: dict[str, object] = {"name": prompt.name} if index == 0 else {}
        values |= {"version": version.number} if version.number else {}
        values |= {"commit_message": version.commit_message} if version.commit_message else {}
        values |= {"tags": dict(sorted(version.tags.items()))}
        if version is prompt.newest:
            values["aliases"] = {alias: target or LATEST for alias, target in sorted(prompt.aliases.items())}
            values["splits"] = {alias: asdict(split) for alias, split in sorted(prompt.splits.items())}
            values["prompt_tags"] = dict(sorted(prompt.prompt_tags.items()))
        values = {name: value for name, value in values.items() if value != {}}
        for name, text in (
            ("model_config", version.content.model_config_json),
            ("response_format", version.content.response_format_json),
        ):
            if text:
                values[name] = _json(text)
        values |= {"syntax": version.content.syntax} if version.content.syntax else {}
        if version.content.messages_json:
            values["messages"] = _json(version.content.messages_json)
        else:
            values["template"] = version.content.text
        documents.append("".join(writing.mapping(values)))
    return "---\n".join(documents)


def write_checked(prompt: PromptFile) -> str:
    """Returns the file's text. Raises FileError unless it says the same when it is read: else it were no backup."""
    text = write(prompt)
    if replace(read(text, prompt.path), path=prompt.path) != prompt:
        raise FileError(prompt.path or prompt.name, 0, "", "would not read back as it is")
    return text


def read(text: str, path: str) -> PromptFile:
    """Raises FileError, which names the line and the field."""
    documents = list(read_documents(text, path))
    if not documents:
        raise FileError(path, 0, "", "is empty")
    parsed = [_document(node) for node in documents]
    first, last = parsed[0], parsed[-1]
    if "name" not in first:
        documents[0].refuse("has no name")
    for node, fields in zip(documents, parsed, strict=True):
        if "name" in fields and fields is not first:
            fields["name"].refuse("stands in the first document only")
        if "template" not in fields and "messages" not in fields:
            node.refuse("has no template, and no messages")
        if "template" in fields and "messages" in fields:
            fields["messages"].refuse("does not go with a template: give one or the other")
        if len(documents) > 1 and "version" not in fields:
            node.refuse("has no version; where a file has several, each says its number")
        for name in _OF_LAST:
            if name in fields and fields is not last:
                fields[name].refuse("stands in the last document only")
    versions = tuple(map(_version, parsed))
    _check_numbers(parsed)
    named = first["name"]
    _refuse(named, check_prompt_name(named.text()))
    return PromptFile(
        name=named.text(),
        versions=versions,
        aliases=_aliases(last.get("aliases")),
        splits=_splits(last.get("splits")),
        prompt_tags=_tags(last.get("prompt_tags")),
        path=path,
    )


def _document(node: Node) -> dict[str, Node]:
    fields = node.fields()
    for name, value in fields.items():
        if name not in (*_OF_PROMPT, *_OF_VERSION):
            value.refuse(f"is not known; a prompt has {', '.join((*_OF_PROMPT, *_OF_VERSION))}")
    return fields


def _version(fields: dict[str, Node]) -> FileVersion:
    message = fields["commit_message"].text() if "commit_message" in fields else ""
    if "commit_message" in fields:
        _refuse(fields["commit_message"], check_text(message, "commit_message", limits.COMMIT_MESSAGE_MAX_CHARS))
    content = Content(
        text=fields["template"].text() if "template" in fields else "",
        messages_json=_messages(fields["messages"]) if "messages" in fields else "",
        syntax=fields["syntax"].text() if "syntax" in fields else "",
        response_format_json=_json_text(fields.get("response_format")),
        model_config_json=_json_text(fields.get("model_config")),
    )
    if wrong := _wrong(content):
        template = "template" if "template" in fields else "messages"
        fields[_PARTS.get(wrong.field.rpartition(".")[2], template)].refuse(wrong.description)
    number = fields["version"].number() if "version" in fields else None
    return FileVersion(content=content, commit_message=message, tags=_tags(fields.get("tags")), number=number)


def _wrong(content: Content) -> Violation | None:
    # Where jinja2 is not installed, the service tells what it cannot read.
    try:
        return check_template(content)
    except RenderingError:
        return check_content(content)


def _messages(node: Node) -> str:
    node.items()
    try:
        return checks.content(node.json(), None, None, None, f"{node.field}.").messages_json
    except InvalidArgumentError as error:
        node.refuse(error.violations[0][1])


def _check_numbers(parsed: list[dict[str, Node]]) -> None:
    before = 0
    for fields in parsed:
        if "version" in fields:
            number = fields["version"].number()
            if number <= before:
                fields["version"].refuse(f"must be over {before}, the one before it; got {number}")
            before = number


def _tags(node: Node | None) -> dict[str, str]:
    if node is None:
        return {}
    tags = node.texts()
    _refuse(node, check_tags(tags))
    return tags


def _aliases(node: Node | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for alias, target in (node.fields() if node else {}).items():
        _refuse(target, check_alias(alias))
        found[alias] = NEWEST if target.text() == LATEST else target.number()
    return found


def _splits(node: Node | None) -> dict[str, FileSplit]:
    found: dict[str, FileSplit] = {}
    for alias, target in (node.fields() if node else {}).items():
        _refuse(target, check_alias(alias))
        fields = target.fields()
        if set(fields) != {"salt", "weights"}:
            target.refuse(f"must have salt and weights; has {', '.join(fields) or 'nothing'}")
        weights = {version: weight.number() for version, weight in fields["weights"].fields().items()}
        if wrong := next((version for version in weights if not re.fullmatch(r"[1-9][0-9]{0,17}", version)), None):
            fields["weights"].refuse(f"must be of version numbers; got {wrong!r}")
        found[alias] = FileSplit(salt=fields["salt"].text(), weights=weights)
    return found


def _json_text(node: Node | None) -> str:
    if node is None:
        return ""
    try:
        return checks.json_object(node.json_object(), node.field)
    except InvalidArgumentError as error:
        node.refuse(error.violations[0][1])


def _json(text: str) -> Any:
    return json.loads(text) if text else None


def _refuse(node: Node, wrong: Violation | None) -> None:
    if wrong:
        node.refuse(wrong.description)
