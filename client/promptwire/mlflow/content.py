"""A version's content: in MLflow it is in reserved tags, in Promptwire it is fields that never change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow.prompt import constants

from promptwire.domain.content import JINJA
from promptwire.domain.strict_json import parse_json
from promptwire.mlflow.errors import invalid
from promptwire.prompt_version import PromptVersion

# MLflow's names, of which its older releases lack some.
IS_PROMPT_TAG_KEY: Final = "mlflow.prompt.is_prompt"
PROMPT_TEXT_TAG_KEY: Final = "mlflow.prompt.text"
PROMPT_TYPE_TAG_KEY: Final = "_mlflow_prompt_type"
PROMPT_TYPE_TEXT: Final = "text"
PROMPT_TYPE_CHAT: Final = "chat"
RESPONSE_FORMAT_TAG_KEY: Final = "_mlflow_prompt_response_format"
MODEL_CONFIG_TAG_KEY: Final = "_mlflow_prompt_model_config"

CONTENT_TAG_KEYS: Final = frozenset(
    {PROMPT_TEXT_TAG_KEY, PROMPT_TYPE_TAG_KEY, RESPONSE_FORMAT_TAG_KEY, MODEL_CONFIG_TAG_KEY}
)
RESERVED_TAG_KEYS: Final = CONTENT_TAG_KEYS | {IS_PROMPT_TAG_KEY}

_UNDERSTOOD: Final = frozenset(value for value in vars(constants).values() if isinstance(value, str))
"""By the MLflow that is installed. What it does not know it would show as tags of the user's."""


@dataclass(frozen=True, slots=True)
class Content:
    """What Client.register_prompt takes, out of MLflow's tags."""

    template: str | list[dict[str, Any]]
    syntax: str | None
    response_format: dict[str, Any] | None
    model_config: dict[str, Any] | None
    tags: dict[str, str]
    """Those that are not content."""


def content_of(tags: Mapping[str, str]) -> Content:
    """Of the tags of a prompt's version. Raises MlflowException for what is not there or cannot be kept."""
    if PROMPT_TEXT_TAG_KEY not in tags:
        raise invalid(f"tags: a prompt's version needs its template in {PROMPT_TEXT_TAG_KEY}")
    template = _template(tags[PROMPT_TEXT_TAG_KEY], tags.get(PROMPT_TYPE_TAG_KEY))
    return Content(
        template,
        JINJA if is_jinja(template) else None,
        _json_object(tags, RESPONSE_FORMAT_TAG_KEY),
        _json_object(tags, MODEL_CONFIG_TAG_KEY),
        {key: value for key, value in tags.items() if key not in RESERVED_TAG_KEYS},
    )


def tags_of(version: PromptVersion) -> dict[str, str]:
    """MLflow's tags of a version, its content among them."""
    content = {
        IS_PROMPT_TAG_KEY: "true",
        PROMPT_TYPE_TAG_KEY: PROMPT_TYPE_CHAT if version.is_chat else PROMPT_TYPE_TEXT,
        PROMPT_TEXT_TAG_KEY: version.messages_json if version.is_chat else version.template,
    }
    if version.response_format_json:
        content[RESPONSE_FORMAT_TAG_KEY] = version.response_format_json
    if version.model_config_json:
        content[MODEL_CONFIG_TAG_KEY] = version.model_config_json
    return {**version.tags, **{key: value for key, value in content.items() if key in _UNDERSTOOD}}


def check_writable(key: str) -> None:
    """Refuses to write a tag that holds content: MLflow would change the version by it."""
    if key in CONTENT_TAG_KEYS:
        raise invalid(f"key: {key} holds what the version is made of, which never changes: register a new version")


def is_jinja(template: str | list[dict[str, Any]]) -> bool:
    """Whether MLflow renders it by Jinja2: it goes by how a template looks."""
    if isinstance(template, str):
        return "{%" in template and "%}" in template
    return any(isinstance(text := message.get("content"), str) and is_jinja(text) for message in template)


def _template(text: str, kind: str | None) -> str | list[dict[str, Any]]:
    if kind != PROMPT_TYPE_CHAT:
        return text
    try:
        messages = parse_json(text)
    except ValueError as error:
        raise invalid(f"template: must be a JSON list of messages: {error}") from error
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise invalid(f"template: must be a list of messages, each a dict; got {type(messages).__name__}")
    return messages


def _json_object(tags: Mapping[str, str], key: str) -> dict[str, Any] | None:
    if key not in tags:
        return None
    try:
        value = parse_json(tags[key])
    except ValueError as error:
        raise invalid(f"tags: {key} must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise invalid(f"tags: {key} must be a JSON object; got {type(value).__name__}")
    return value
