"""Prompts as LangChain's prompt templates. Needs `promptwire[langchain]`."""

from typing import Any, Final

from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, MessagesPlaceholder, PromptTemplate

from promptwire.domain.chat import is_placeholder
from promptwire.domain.content import JINJA
from promptwire.domain.template import TextTemplate
from promptwire.errors import RenderError
from promptwire.prompt_version import PromptVersion

_ROLES: Final = {
    "ai": "ai",
    "assistant": "ai",
    "developer": "system",
    "human": "human",
    "system": "system",
    "user": "human",
}


def prompt_template(version: PromptVersion) -> BasePromptTemplate[Any]:
    """See PromptVersion.to_langchain. LangChain renders it then: Jinja2 in its own sandbox, without our bounds."""
    form: Any = "jinja2" if version.syntax == JINJA else "f-string"
    metadata = {"promptwire_uri": version.uri, "promptwire_digest": version.digest}
    if not version.is_chat:
        return PromptTemplate.from_template(
            _in_its_form(version, version.template), template_format=form, metadata=metadata
        )
    messages = [_message(version, message) for message in version.template]
    return ChatPromptTemplate(messages, template_format=form, metadata=metadata)


def _message(version: PromptVersion, message: Any) -> Any:
    if is_placeholder(message):
        return MessagesPlaceholder(message["name"], optional=message.get("optional", False))
    role, content = message["role"], message.get("content")
    if role not in _ROLES or set(message) != {"role", "content"} or content is None:
        raise RenderError(
            f"{version.uri}: LangChain's templates have no message of role {role!r} with {', '.join(sorted(message))}"
        )
    return _ROLES[role], _in_its_form(version, content)


def _in_its_form(version: PromptVersion, value: Any) -> Any:
    """As an f-string, where braces that are none of a variable's are doubled; Jinja2 is the same there."""
    if isinstance(value, dict):
        return {key: item if key == "type" else _in_its_form(version, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_its_form(version, item) for item in value]
    if not isinstance(value, str) or version.syntax == JINJA:
        return value
    template = TextTemplate(value)
    if dotted := next((name for name in template.variables if "." in name), None):
        raise RenderError(f"{version.uri}: LangChain's templates have no variable with a dot, {dotted!r}")
    return template.as_f_string()
