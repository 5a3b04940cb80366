"""Checks templates off the event loop, one at a time, as long as somebody waits for the answer.

A check takes 50 ms at most: what a prompt may hold is bounded before it is read (domain.limits, domain.jinja_parsing).
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from promptwire.domain.content import JINJA, Content
from promptwire.domain.templates import check_template, variables_of
from promptwire.domain.violations import Violation
from promptwire_service.domain.errors import invalid, overloaded

_WAITING_MAX: Final = 20
_SMALL_BYTES: Final = 16 << 10
"""Up to this size, checking `{{variable}}` takes less than handing it over."""


class TemplateChecks:
    """One thread, and those who wait for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "template-check")
        self._waiting = 0

    async def checked(self, content: Content, field: str, prefix: str = "") -> Content:
        """The content with its variables. Raises INVALID_ARGUMENT, with the place in the template; RESOURCE_EXHAUSTED
        when too many checks wait already. Whoever is gone before their turn is not checked for.
        """
        if content.syntax != JINJA and content.size_bytes <= _SMALL_BYTES:
            found = _check(content, field)
        else:
            found = await self._in_thread(content, field)
        if isinstance(found, Violation):
            raise invalid(Violation(found.field, prefix + found.description))
        return replace(content, variables=found)

    async def _in_thread(self, content: Content, field: str) -> Violation | tuple[str, ...]:
        if self._waiting >= _WAITING_MAX:
            raise overloaded("checks of templates", _WAITING_MAX, retry_seconds=0.2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _check, content, field)
        finally:
            self._waiting -= 1


def _check(content: Content, field: str) -> Violation | tuple[str, ...]:
    if wrong := check_template(content, field):
        return wrong
    # What has includes is checked once more, with their texts in it.
    return () if includes_any(content) else variables_of(content)


def includes_any(content: Content) -> bool:
    """Whether it may include something: then a repeat of its registration has to be known before anything is read."""
    return "{{>" in content.template


checked: Final = TemplateChecks().checked
