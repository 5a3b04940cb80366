"""A content's template, whatever it is written in: read, checked, ready to be filled in."""

from collections.abc import Callable

from promptwire.domain import chat, includes
from promptwire.domain.content import Content, check_content
from promptwire.domain.template import RenderingError, TemplateError, TextLike, TextTemplate, variables_in
from promptwire.domain.violations import InvalidValueError, Violation

Template = TextLike | chat.ChatTemplate


def template_of(content: Content) -> Template:
    """Of a content that was checked once. Raises RenderingError where jinja2 is needed and not installed."""
    make = _maker(content.syntax)
    if not content.messages_json:
        return make(content.text)
    try:
        return chat.ChatTemplate(messages_of(content), make)
    except InvalidValueError as error:
        raise RenderingError(str(error)) from error


def variables_of(content: Content) -> tuple[str, ...]:
    """Names of its variables and placeholders, in order of first use."""
    if content.syntax or content.messages_json:
        return template_of(content).variables
    return variables_in(content.text)


def messages_of(content: Content, field: str = "content") -> list[chat.Message]:
    """A chat prompt's; none of a text. Raises InvalidValueError for what are no messages."""
    if not content.messages_json:
        return []
    messages = chat.read_messages(content.messages_json, f"{field}.messages_json")
    if isinstance(messages, Violation):
        raise InvalidValueError(messages)
    return messages


def texts_of(content: Content, field: str = "content") -> list[tuple[str, str]]:
    """Every text that is a template, with the field that it stands in. Raises InvalidValueError."""
    return _texts(content, messages_of(content, field), field)


def _texts(content: Content, messages: list[chat.Message], field: str) -> list[tuple[str, str]]:
    if content.messages_json:
        return list(chat.texts_of(messages, f"{field}.messages_json"))
    return [(f"{field}.text", content.text)]


def check_template(content: Content, field: str = "content") -> Violation | None:
    """All of a content as it comes to be registered, before anything is included; the place of what cannot be read."""
    if wrong := check_content(content, field):
        return wrong
    try:
        messages = messages_of(content, field)
    except InvalidValueError as error:
        return error.violation
    names = {message["name"] for message in messages if chat.is_placeholder(message)}
    make = _maker(content.syntax)
    for at, text in _texts(content, messages, field):
        try:
            for _ in includes.places_in(text):
                pass
            variables = make(includes.without(text)).variables
        except TemplateError as error:
            return Violation(at, str(error))
        if both := sorted(names.intersection(variables)):
            return Violation(at, f"{both[0]} is a placeholder for messages, and cannot be a variable, too")
    return None


def _maker(syntax: str) -> Callable[[str], TextLike]:
    if not syntax:
        return TextTemplate
    try:
        from promptwire.domain.jinja import JinjaTemplate
    except ImportError as error:
        raise RenderingError("it is written in Jinja2, which needs jinja2: pip install 'promptwire[jinja]'") from error
    return JinjaTemplate
