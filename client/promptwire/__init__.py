"""Promptwire's client: prompts that an agent resolves in nanoseconds, kept right by pushes. The contents page.

Names load on first use (PEP 562): importing `promptwire` does not import grpc.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptwire import genai
    from promptwire.aio import AsyncClient
    from promptwire.champions import Champion
    from promptwire.client import Client
    from promptwire.config import Config
    from promptwire.diffs import DiffHunk, DiffLine, DiffPart, DiffSegment, DiffSide, PromptDiff
    from promptwire.domain.content import Include
    from promptwire.domain.splits import Split
    from promptwire.errors import (
        AliasNotFoundError,
        ConflictError,
        InvalidArgumentError,
        NotFoundError,
        PermissionDeniedError,
        PromptNotFoundError,
        PromptwireError,
        RenderError,
        StaleError,
        UnavailableError,
        VersionNotFoundError,
    )
    from promptwire.handle import Handle
    from promptwire.prompt_version import PromptVersion
    from promptwire.status import ClientStatus
    from promptwire.values import (
        AgentsReport,
        AliasChange,
        AliasMove,
        Convergence,
        Deleted,
        Dependent,
        Exposure,
        KeptWrite,
        LaggingAgent,
        MetricSummary,
        Move,
        Prompt,
        Register,
        Release,
        ReleaseEffect,
        Revision,
    )

__all__ = [
    "AgentsReport",
    "AliasChange",
    "AliasMove",
    "AliasNotFoundError",
    "AsyncClient",
    "Champion",
    "Client",
    "ClientStatus",
    "Config",
    "ConflictError",
    "Convergence",
    "Deleted",
    "Dependent",
    "DiffHunk",
    "DiffLine",
    "DiffPart",
    "DiffSegment",
    "DiffSide",
    "Exposure",
    "Handle",
    "Include",
    "InvalidArgumentError",
    "KeptWrite",
    "LaggingAgent",
    "MetricSummary",
    "Move",
    "NotFoundError",
    "PermissionDeniedError",
    "Prompt",
    "PromptDiff",
    "PromptNotFoundError",
    "PromptVersion",
    "PromptwireError",
    "Register",
    "Release",
    "ReleaseEffect",
    "RenderError",
    "Revision",
    "Split",
    "StaleError",
    "UnavailableError",
    "VersionNotFoundError",
    "__version__",
    "genai",
]

__version__ = "0.1.0"

_HOMES = {
    "AgentsReport": "values",
    "AliasChange": "values",
    "ReleaseEffect": "values",
    "Release": "values",
    "Register": "values",
    "Move": "values",
    "KeptWrite": "values",
    "Deleted": "values",
    "Dependent": "values",
    "DiffHunk": "diffs",
    "DiffLine": "diffs",
    "DiffPart": "diffs",
    "DiffSegment": "diffs",
    "DiffSide": "diffs",
    "PromptDiff": "diffs",
    "AliasMove": "values",
    "AsyncClient": "aio",
    "Exposure": "values",
    "Include": "domain.content",
    "Split": "domain.splits",
    "Client": "client",
    "ClientStatus": "status",
    "Config": "config",
    "Convergence": "values",
    "LaggingAgent": "values",
    "MetricSummary": "values",
    "Champion": "champions",
    "Handle": "handle",
    "Prompt": "values",
    "PromptVersion": "prompt_version",
    "Revision": "values",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "genai":
        return import_module("promptwire.genai")
    value: object = getattr(import_module(f"promptwire.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
