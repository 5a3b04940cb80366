"""A content's template, whatever it is written in: read, checked, ready to be filled in."""

from collections.abc import Callable

from promptwire.domain import chat, includes, limits
from promptwire.domain.content import Content, check_content
from promptwire.domain.template import RenderingError, TemplateError, TextLike, TextTemplate, variables_in
from promptwire.domain.violations import InvalidValueError, Violation

Template = TextLike | chat.ChatTemplate


def template_of(content: Content) -> Template:
    """Raises RenderingError where jinja2 is needed and not installed, and for what the registry should have refused:
    an agent may be older than the registry, and does not rely on its checks.
    """
    make, new_budget = _maker(content.syntax)
    try:
        if not content.messages_json:
            return make(content.text)
        return chat.ChatTemplate(messages_of(content), make, new_budget)
    except TemplateError as error:
        raise RenderingError(f"it is no template that this client takes: {error}") from error
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
    make, _ = _maker(content.syntax)
    found: set[str] = {*names}
    places = 0
    for at, text in _texts(content, messages, field):
        places += text.count("{{")
        if places > limits.PLACES_MAX:
            return Violation(at, f"a prompt has {{{{ at most {limits.PLACES_MAX:,} times")
        try:
            for _ in includes.places_in(text):
                pass
            variables = make(includes.without(text)).variables
        except TemplateError as error:
            return Violation(at, str(error))
        if both := sorted(names.intersection(variables)):
            return Violation(at, f"{both[0]} is a placeholder for messages, and cannot be a variable, too")
        found.update(variables)
        if len(found) > limits.VARIABLES_MAX:
            return Violation(at, f"a prompt has at most {limits.VARIABLES_MAX:,} variables")
    return None


def _maker(syntax: str) -> tuple[Callable[[str], TextLike], Callable[[], object]]:
    """What makes a template of each text of one prompt, and what makes the budget that they share."""
    if not syntax:
        return TextTemplate, _no_budget
    try:
        from promptwire.domain.jinja import Budget, JinjaPrompt
    except ImportError as error:
        raise RenderingError("it is written in Jinja2, which needs jinja2: pip install 'promptwire[jinja]'") from error
    return JinjaPrompt().template, Budget


def _no_budget() -> None:
    return None
