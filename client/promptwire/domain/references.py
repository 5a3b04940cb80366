"""References: `prompts:/name@alias`, `prompts:/name/3`, `prompts:/name`, and the same without `prompts:/`."""

import re
from dataclasses import dataclass

from promptwire.domain.names import (
    LATEST,
    check_prompt_name,
    check_selector_alias,
    check_version,
)
from promptwire.domain.violations import InvalidValueError, Violation, shape

SCHEME = "prompts:/"

Selector = str | int
"""What picks a version of a prompt: an alias (`latest` included) or a version number."""

_VERSION = re.compile(r"[0-9]{1,19}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt's name and what picks its version."""

    name: str
    selector: Selector = LATEST

    def __str__(self) -> str:
        separator = "/" if isinstance(self.selector, int) else "@"
        return f"{SCHEME}{self.name}{separator}{self.selector}"


def parse_reference(text: str, field: str = "reference") -> Reference:
    """Reads a reference; raises InvalidValueError naming `field`, the rule and the text's shape."""
    body = text.removeprefix(SCHEME)
    if not body:
        raise InvalidValueError(
            Violation(field, f"must name a prompt, e.g. prompts:/name@production; got {shape(text)}")
        )
    name, at, alias = body.partition("@")
    reference = Reference(name, alias) if at else _by_path(body)
    violation = check_prompt_name(reference.name, field) or (
        check_selector_alias(reference.selector, field)
        if isinstance(reference.selector, str)
        else check_version(reference.selector, field)
    )
    if violation:
        raise InvalidValueError(violation)
    return reference


def _by_path(body: str) -> Reference:
    name, slash, last = body.rpartition("/")
    if slash and _VERSION.match(last):
        return Reference(name, int(last))
    return Reference(body)
