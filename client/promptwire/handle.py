"""A handle: one reference, always at hand."""

from typing import TYPE_CHECKING

from promptwire.prompt_version import PromptVersion

if TYPE_CHECKING:
    from promptwire.aio import AsyncClient
    from promptwire.client import Client


class Handle:
    """What a reference means now, as a plain attribute that pushes keep up to date: `Client.handle` makes it.

    An attribute cannot raise or ask: when the reference no longer means anything, or the service is gone,
    `current` stays at the last known good and becomes `.stale`; after a write of this client it moves when the
    push arrives.
    """

    __slots__ = ("__weakref__", "_client", "current", "reference")

    current: PromptVersion
    reference: str

    def __init__(self, client: "Client | AsyncClient", reference: str, current: PromptVersion) -> None:
        self._client = client  # a client that is let go of closes; a handle needs it open
        self.reference = reference
        self.current = current

    def __repr__(self) -> str:
        return f"<Handle {self.reference!r} {self.current!r}>"
