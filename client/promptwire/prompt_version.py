"""One version of a prompt, as agents hold it: what it says, and filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from promptwire.domain.content import Content, Include, warnings_of
from promptwire.domain.references import SCHEME
from promptwire.domain.splits import Split
from promptwire.domain.template import MissingVariablesError, RenderingError
from promptwire.domain.templates import Template, template_of
from promptwire.errors import RenderError
from promptwire.read_only import ReadOnlyDict, read_only

if TYPE_CHECKING:
    from langchain_core.prompts import BasePromptTemplate

    from promptwire._core.lease import Lease


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PromptVersion:
    """One version of a prompt. Its content never changes; tags and aliases are as they were when it was handed out."""

    name: str
    version: int
    # A list for few, text for most: as typeshed does it, a type that asks nobody for a check that he does not need.
    template: "str | Any"
    """Text; or, of a chat prompt, a read-only list of messages: {"role": ..., "content": ...} and placeholders."""
    variables: tuple[str, ...] = ()
    """Names of the template's variables and placeholders, in order of first use."""
    commit_message: str = ""
    tags: Mapping[str, str] = field(default_factory=ReadOnlyDict[str], hash=False)
    aliases: tuple[str, ...] = ()
    """Aliases that point at this version, sorted, without `latest`."""
    alias: str = field(default="", compare=False)
    """Alias by which it was loaded; empty when it was loaded by its number, as the newest one, or not by a load."""
    split: Split | None = field(default=None, compare=False)
    """How that alias was split when it was loaded by it; None when the alias was not split."""
    author: str = ""
    creation_timestamp: int = 0
    """Milliseconds since 1970, by the store's clock."""
    digest: str = ""
    """`sha256:<hex>` over all of the content; checked when it was received. docs/protocol.md has the bytes."""
    response_format_json: str = ""
    """JSON Schema of the expected answer, byte for byte; empty when there is none."""
    model_config_json: str = ""
    """Model settings as a JSON object, byte for byte; empty when there are none."""
    syntax: str = ""
    """`jinja2`, or empty for `{{variable}}` and nothing else."""
    messages_json: str = ""
    """A chat prompt's messages, byte for byte; empty for text."""
    source: str = ""
    """The text, or the messages' JSON, as it was written; empty where it includes no other prompt."""
    includes: tuple[Include, ...] = ()
    """The versions that it includes, whose texts are in the template."""
    _token: bytes = field(default=b"", compare=False)
    """The service's word for all of this but the aliases: with it, a body that is held is not sent again."""
    # The two slots that move: the core exchanges the lease, `format` fills in the parsed template.
    _lease: "Lease | None" = field(default=None, compare=False)
    _parsed: Template | None = field(default=None, init=False, compare=False)

    def __repr__(self) -> str:
        aliases = "".join(f" @{alias}" for alias in self.aliases)
        return f"<PromptVersion {self.uri}{aliases}{' stale' if self.stale else ''}>"

    @property
    def uri(self) -> str:
        """`prompts:/<name>/<version>`."""
        return f"{SCHEME}{self.name}/{self.version}"

    @property
    def is_chat(self) -> bool:
        """Whether its template is a list of messages."""
        return not isinstance(self.template, str)

    @property
    def content(self) -> Content:
        """All that its digest covers."""
        return Content(
            text="" if self.is_chat else self.template,
            response_format_json=self.response_format_json,
            model_config_json=self.model_config_json,
            messages_json=self.messages_json,
            syntax=self.syntax,
            source=self.source,
            includes=self.includes,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal in its content and probably not meant, as `field: line 1, column 2: what`.

        That is text which readers do not see, such as zero-width characters, and which a model may follow.
        """
        return tuple(str(one) for one in warnings_of(self.content))

    @property
    def response_format(self) -> dict[str, Any] | None:
        """JSON Schema of the expected answer, a new dict each time; None when there is none."""
        return json.loads(self.response_format_json) if self.response_format_json else None

    @property
    def model_config(self) -> dict[str, Any] | None:
        """Model settings, a new dict each time; None when there are none."""
        return json.loads(self.model_config_json) if self.model_config_json else None

    @property
    def age(self) -> float:
        """Seconds since this was last known right, at most. Stays small while the watch keeps it so."""
        return self._lease.age if self._lease else 0.0

    @property
    def stale(self) -> bool:
        """Whether its age is past the client's lease: nobody vouches for it any more."""
        return self._lease.stale if self._lease else False

    # Not a bool: to mypy `format(**texts)` of a dict[str, str] could give it one.
    def format(self, /, *, allow_partial: object = False, **variables: object) -> "str | Any":
        """The template filled in: text, or new messages of a chat prompt. Extra variables are ignored.

        Values go through str(); a placeholder takes a list of messages. `{{user.name}}` takes the entry or attribute
        `name` of the variable `user`. Raises RenderError, which names every variable that is missing; with
        `allow_partial` there is a PromptVersion instead, where these are left for another `format`. It is this version
        in name only: its template is no longer what the registry has, so it has no digest.

        A Jinja2 template is filled in within bounds of steps, size and time (RenderError), never partly, and its error
        names the first variable that was needed and missing.
        """
        parsed = self._parsed
        try:
            if parsed is None:
                parsed = self._parse()
            return parsed.render(variables)
        except MissingVariablesError as error:
            if allow_partial:
                return self._partly(variables)
            message = f"{self.uri} needs a value for {', '.join(map(repr, error.names))}"
            raise RenderError(message, error.names) from error
        except RenderingError as error:
            raise RenderError(f"{self.uri} cannot be filled in: {error}") from error

    def to_messages(self, role: str = "system", /, **variables: object) -> list[dict[str, Any]]:
        """What `format` makes as a list of messages, as OpenAI's and other clients take them.

        A text becomes one message of this role; a chat prompt's messages have their own. Raises RenderError.
        """
        filled: Any = self.format(**variables)
        return [{"role": role, "content": filled}] if isinstance(filled, str) else list(filled)

    def to_single_brace_format(self) -> "str | Any":
        """The template with `{variable}` for `{{variable}}`; other braces stay, which str.format would not take.

        Raises RenderError for Jinja2, of which there is no such form.
        """
        try:
            return (self._parsed or self._parse()).single_braced()
        except RenderingError as error:
            raise RenderError(f"{self.uri}: {error}") from error

    def to_langchain(self) -> "BasePromptTemplate[Any]":
        """A LangChain PromptTemplate or, of a chat prompt, ChatPromptTemplate; needs `promptwire[langchain]`.

        Raises RenderError for what LangChain has no form for.
        """
        from promptwire.langchain import prompt_template

        return prompt_template(self)

    def _partly(self, variables: Mapping[str, object]) -> "PromptVersion":
        try:
            rest = (self._parsed or self._parse()).partly(variables)
        except RenderingError as error:
            raise RenderError(f"{self.uri}: {error}") from error
        messages_json = "" if isinstance(rest.text, str) else json.dumps(rest.text, ensure_ascii=False)
        version = replace(
            self,
            template=read_only(rest.text),
            variables=rest.variables,
            messages_json=messages_json,
            source="",
            includes=(),
            digest="",
        )
        # Not parsed again from its text: a value that looks like a placeholder stays what it is.
        object.__setattr__(version, "_parsed", rest)
        return version

    def _parse(self) -> Template:
        parsed = template_of(self.content)
        object.__setattr__(self, "_parsed", parsed)  # two threads may both parse it; either result does
        return parsed
