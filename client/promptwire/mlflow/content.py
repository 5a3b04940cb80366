"""A version's content: in MLflow it is in reserved tags, in Promptwire it is fields that never change."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mlflow.prompt import constants

from promptwire.mlflow.errors import invalid
from promptwire.values import PromptVersion

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

    template: str
    response_format: dict[str, Any] | None
    model_config: dict[str, Any] | None
    tags: dict[str, str]
    """Those that are not content."""


def content_of(tags: Mapping[str, str]) -> Content:
    """Of the tags of a prompt's version. Raises MlflowException for what is not there or cannot be kept."""
    if PROMPT_TEXT_TAG_KEY not in tags:
        raise invalid(f"tags: a prompt's version needs its template in {PROMPT_TEXT_TAG_KEY}")
    return Content(
        _template(tags[PROMPT_TEXT_TAG_KEY], tags.get(PROMPT_TYPE_TAG_KEY, PROMPT_TYPE_TEXT)),
        _json_object(tags, RESPONSE_FORMAT_TAG_KEY),
        _json_object(tags, MODEL_CONFIG_TAG_KEY),
        {key: value for key, value in tags.items() if key not in RESERVED_TAG_KEYS},
    )


def tags_of(version: PromptVersion) -> dict[str, str]:
    """MLflow's tags of a version, its content among them."""
    content = {
        IS_PROMPT_TAG_KEY: "true",
        PROMPT_TYPE_TAG_KEY: PROMPT_TYPE_TEXT,
        PROMPT_TEXT_TAG_KEY: version.template,
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


def _template(text: str, kind: str) -> str:
    if kind == PROMPT_TYPE_CHAT:
        raise invalid("template: lists of messages are not kept yet")
    if is_jinja(text):
        raise invalid("template: Jinja2 is not kept yet")
    return text


def is_jinja(text: str) -> bool:
    """Whether MLflow renders it by Jinja2."""
    return "{%" in text and "%}" in text


def _json_object(tags: Mapping[str, str], key: str) -> dict[str, Any] | None:
    if key not in tags:
        return None
    try:
        value = json.loads(tags[key])
    except ValueError as error:
        raise invalid(f"tags: {key} must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise invalid(f"tags: {key} must be a JSON object; got {type(value).__name__}")
    return value
