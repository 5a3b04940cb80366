"""What `promptwire` exports, and that importing it is cheap."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import promptwire

EXPORTED = {
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
}


def test_this_is_exported_and_nothing_else() -> None:
    assert set(promptwire.__all__) == EXPORTED
    for name in EXPORTED:
        assert getattr(promptwire, name) is not None
    assert set(dir(promptwire)) >= EXPORTED


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Cilent'"):
        promptwire.Cilent  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert promptwire.__version__ == project["project"]["version"]


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import promptwire", ["grpc", "google.protobuf", "dataclasses", "asyncio"]),
        ("from promptwire import PromptwireError, PromptVersion, Revision", ["grpc", "google.protobuf"]),
        ("import promptwire; promptwire.Client()", ["google.rpc", "promptwire_service", "promptwire.files", "yaml"]),
    ],
)
def test_an_import_brings_only_what_it_needs(code: str, absent: list[str]) -> None:
    check = f"{code}; import sys; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
