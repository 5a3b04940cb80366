"""A prompt as a file: what stands in it, in which order, and what is refused.

The newest version alone is one document; a prompt with all its versions is one document a version, oldest first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from promptwire._core import checks
from promptwire.domain import limits
from promptwire.domain.content import Content, check_content
from promptwire.domain.names import LATEST, check_alias, check_prompt_name, check_tags, check_text
from promptwire.domain.violations import Violation
from promptwire.errors import InvalidArgumentError
from promptwire.files import writing
from promptwire.files.reading import FileError, Node, read_documents
from promptwire.values import PromptVersion, Register

NEWEST: Final = 0
"""As an alias's target: the version that the file itself says."""

_OF_PROMPT: Final = ("name", "aliases", "prompt_tags")
_OF_VERSION: Final = ("version", "commit_message", "tags", "model_config", "response_format", "template")
_PARTS: Final = {"text": "template", "response_format_json": "response_format", "model_config_json": "model_config"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """One version in a file."""

    content: Content
    commit_message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    number: int | None = None
    """None where the file has only the newest one, which says no number."""

    def register(self, name: str, expected_latest_version: int | None) -> Register:
        return Register(
            name=name,
            template=self.content.text,
            commit_message=self.commit_message,
            tags=self.tags,
            response_format=_json(self.content.response_format_json),
            model_config=_json(self.content.model_config_json),
            expected_latest_version=expected_latest_version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """One prompt in a file."""

    name: str
    versions: tuple[FileVersion, ...]
    """Oldest first; one, without a number, where the file has only the newest."""
    aliases: Mapping[str, int] = field(default_factory=dict)
    """To numbers, or NEWEST."""
    prompt_tags: Mapping[str, str] = field(default_factory=dict)
    """Of the prompt itself; kept only together with all versions."""
    path: str = ""
    """For errors."""

    @property
    def newest(self) -> FileVersion:
        return self.versions[-1]


def content_of(version: PromptVersion) -> Content:
    """A version's content with its JSON in one form, so that it equals a file's if both say the same."""
    return Content(
        version.template,
        checks.json_object(version.response_format, "response_format"),
        checks.json_object(version.model_config, "model_config"),
    )


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
            values["prompt_tags"] = dict(sorted(prompt.prompt_tags.items()))
        values = {name: value for name, value in values.items() if value != {}}
        for name, text in (
            ("model_config", version.content.model_config_json),
            ("response_format", version.content.response_format_json),
        ):
            if text:
                values[name] = _json(text)
        values["template"] = version.content.text
        documents.append("".join(writing.mapping(values)))
    return "---\n".join(documents)


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
        if "template" not in fields:
            node.refuse("has no template")
        if len(documents) > 1 and "version" not in fields:
            node.refuse("has no version; where a file has several, each says its number")
        for name in ("aliases", "prompt_tags"):
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
        fields["template"].text(), _json_text(fields.get("response_format")), _json_text(fields.get("model_config"))
    )
    if wrong := check_content(content):
        part = _PARTS.get(wrong.field.rpartition(".")[2], "template")
        fields[part].refuse(wrong.description)
    number = fields["version"].number() if "version" in fields else None
    return FileVersion(content=content, commit_message=message, tags=_tags(fields.get("tags")), number=number)


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
