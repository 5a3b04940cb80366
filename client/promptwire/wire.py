"""A content on the wire, the same on both sides of it."""

from promptwire.domain.content import JINJA, Content, Include
from promptwire.v1 import common_pb2 as common


def content_message(content: Content) -> common.Content:
    """As it goes over the wire."""
    message = common.Content(
        response_format_json=content.response_format_json,
        model_config_json=content.model_config_json,
        source=content.source,
    )
    if content.messages_json:
        message.messages_json = content.messages_json
    else:
        message.text = content.text
    if content.syntax == JINJA:
        message.syntax = common.TEMPLATE_SYNTAX_JINJA2
    for one in content.includes:
        message.includes.add(name=one.name, version=one.version, digest=one.digest)
    return message


def content_of(message: common.Content) -> Content:
    """A syntax that is not known becomes one that no check lets pass."""
    known = {common.TEMPLATE_SYNTAX_UNSPECIFIED: "", common.TEMPLATE_SYNTAX_JINJA2: JINJA}
    return Content(
        text=message.text,
        response_format_json=message.response_format_json,
        model_config_json=message.model_config_json,
        messages_json=message.messages_json,
        syntax=known.get(message.syntax, f"syntax {message.syntax}"),
        source=message.source,
        includes=tuple(Include(one.name, one.version, one.digest) for one in message.includes),
    )
