"""Chat templates: messages whose texts are templates, and places where lists of messages go.

    [{"role": "system", "content": "You help {{customer}}."},
     {"type": "placeholder", "name": "history"},
     {"role": "user", "content": [{"type": "text", "text": "{{question}}"}]}]

A content's parts are kept as given; every text in them is a template, but for a `type`. Other fields of a message
(`name`, `tool_calls` ...) are kept as they are.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from promptwire.domain.content import read_json
from promptwire.domain.template import OUTPUT_MAX_CHARS, MissingVariablesError, RenderingError, TextLike, check_output
from promptwire.domain.violations import Violation, shape

MESSAGES_MAX: Final = 1_000
ROLE_MAX_CHARS: Final = 64

Message = dict[str, Any]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: str
    optional: bool
    written: Message

    def fill(self, values: Mapping[str, object]) -> list[Message]:
        if self.name not in values:
            return []
        given = values[self.name]
        if not isinstance(given, list | tuple) or not all(map(_is_message, given)):
            raise RenderingError(
                f"{self.name} must be a list of messages, {{'role': ..., 'content': ...}}; got {type(given).__name__}"
            )
        return [dict(message) for message in given]


@dataclass(frozen=True, slots=True)
class _Templated:
    """A message with templates where its content has texts."""

    message: Message

    @property
    def texts(self) -> Iterator[TextLike]:
        return _texts(self.message["content"])

    def with_content(self, change: Callable[[TextLike], object]) -> Message:
        return {**self.message, "content": _changed(self.message["content"], change)}


class ChatTemplate:
    """Messages taken apart once. `new_budget` is for texts that share one."""

    __slots__ = ("_entries", "_new_budget", "variables")

    def __init__(
        self,
        messages: Sequence[Message],
        template: Callable[[str], TextLike],
        new_budget: Callable[[], object] = lambda: None,
    ) -> None:
        self._entries: list[_Placeholder | _Templated | Message] = [_entry(one, template) for one in messages]
        self._new_budget = new_budget
        self.variables = tuple(self._names())

    def render(self, values: Mapping[str, object]) -> list[Message]:
        """New messages. Raises MissingVariablesError, which names all that are missing, and RenderingError."""
        missing: dict[str, None] = {}
        rendered: list[Message] = []
        budget = self._new_budget()
        chars = 0

        def render_text(text: TextLike) -> str:
            nonlocal chars
            try:
                made = text.render(values, budget)
            except MissingVariablesError as error:
                missing.update(dict.fromkeys(error.names))
                return ""
            chars += len(made)
            if chars > OUTPUT_MAX_CHARS:
                check_output(chars)
            return made

        for entry in self._entries:
            if isinstance(entry, _Templated):
                content = entry.message["content"]
                content = _changed(content, render_text) if isinstance(content, list) else render_text(content)
                rendered.append({**entry.message, "content": content})
            elif isinstance(entry, _Placeholder):
                if entry.name not in values and not entry.optional:
                    missing[entry.name] = None
                rendered += entry.fill(values)
            else:
                rendered.append({**entry})
        if missing:
            raise MissingVariablesError(tuple(name for name in self.variables if name in missing))
        return rendered

    def partly(self, values: Mapping[str, object]) -> "ChatTemplate":
        """The rest, to be rendered later; what is filled in is not looked at again."""
        rest = ChatTemplate((), _no_template, self._new_budget)
        for entry in self._entries:
            if isinstance(entry, _Placeholder):
                rest._entries += entry.fill(values) if entry.name in values else [entry]
            elif isinstance(entry, _Templated):
                rest._entries.append(_Templated(entry.with_content(lambda text: text.partly(values))))
            else:
                rest._entries.append(entry)
        rest.variables = tuple(rest._names())
        return rest

    @property
    def text(self) -> list[Message]:
        """The messages as they were written, but for spaces in `{{variable}}`."""
        return self._written(lambda text: text.text)

    def single_braced(self) -> list[Message]:
        return self._written(lambda text: text.single_braced())

    def _written(self, write: Callable[[TextLike], object]) -> list[Message]:
        return [
            entry.with_content(write)
            if isinstance(entry, _Templated)
            else dict(entry.written if isinstance(entry, _Placeholder) else entry)
            for entry in self._entries
        ]

    def _names(self) -> dict[str, None]:
        names: dict[str, None] = {}
        for entry in self._entries:
            if isinstance(entry, _Placeholder):
                names[entry.name] = None
            elif isinstance(entry, _Templated):
                names.update(dict.fromkeys(name for text in entry.texts for name in text.variables))
        return names


def is_placeholder(entry: Mapping[str, Any]) -> bool:
    return entry.get("type") == "placeholder"


def _entry(message: Message, template: Callable[[str], TextLike]) -> _Placeholder | _Templated | Message:
    if is_placeholder(message):
        return _Placeholder(message["name"], message.get("optional", False), message)
    content = message.get("content")
    return _Templated({**message, "content": _changed(content, template)}) if content else message


def _no_template(text: str) -> TextLike:
    raise AssertionError(text)


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("role"), str)


def _changed(value: Any, change: Callable[[Any], object]) -> Any:
    """A content with every text, or template of one, changed."""
    if isinstance(value, dict):
        return {key: item if key == "type" else _changed(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, change) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else change(value)


def _texts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "type":
                yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool | int | float):
        yield value


def texts_of(messages: Sequence[Message], field: str) -> Iterator[tuple[str, str]]:
    """Every text that is a template, with the field it stands in."""
    for index, message in enumerate(messages):
        if not is_placeholder(message):
            yield from ((f"{field}[{index}].content", text) for text in _texts(message.get("content")))


def changed_texts(messages: Sequence[Message], change: Callable[[str], str]) -> list[Message]:
    """The messages with every text that is a template changed."""
    return [
        message
        if is_placeholder(message) or not message.get("content")
        else {**message, "content": _changed(message["content"], change)}
        for message in messages
    ]


def read_messages(text: str, field: str) -> list[Message] | Violation:
    """Messages of their JSON, checked."""
    value = read_json(text, field)
    if isinstance(value, Violation):
        return Violation(field, f"must be a JSON array of messages; {value.description}")
    if not isinstance(value, list) or not 1 <= len(value) <= MESSAGES_MAX:
        got = f"{len(value):,}" if isinstance(value, list) else f"a JSON {type(value).__name__}"
        return Violation(field, f"must be a JSON array of 1-{MESSAGES_MAX:,} messages; got {got}")
    wrong = (_check_entry(entry, f"{field}[{index}]") for index, entry in enumerate(value))
    return next((one for one in wrong if one), value)


def _check_entry(entry: object, field: str) -> Violation | None:
    if not isinstance(entry, dict):
        return Violation(field, f"must be an object with role and content; got a JSON {type(entry).__name__}")
    if is_placeholder(entry):
        return _check_placeholder(entry, field)
    role, content = entry.get("role"), entry.get("content")
    if not isinstance(role, str) or not 1 <= len(role) <= ROLE_MAX_CHARS:
        got = shape(role) if isinstance(role, str) else type(role).__name__
        return Violation(f"{field}.role", f"must be text of 1-{ROLE_MAX_CHARS} characters, e.g. user; got {got}")
    if content is None and "tool_calls" in entry:
        return None
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in content
    ):
        return None
    if isinstance(content, str):
        return None
    return Violation(f"{field}.content", "must be text, or a list of parts that have a type; got " + _kind(content))


def _check_placeholder(entry: Message, field: str) -> Violation | None:
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        got = shape(name) if isinstance(name, str) else type(name).__name__
        return Violation(f"{field}.name", f"must be letters, digits and _, not beginning with a digit; got {got}")
    if not isinstance(entry.get("optional", False), bool):
        return Violation(f"{field}.optional", f"must be true or false; got a JSON {type(entry['optional']).__name__}")
    if unknown := sorted(entry.keys() - {"type", "name", "optional"}):
        return Violation(f"{field}.{unknown[0]}", "is not known; a placeholder has type, name and optional")
    return None


def _kind(content: object) -> str:
    if isinstance(content, list):
        return "a list with a part that has none"
    return "nothing" if content is None else f"a JSON {type(content).__name__}"
