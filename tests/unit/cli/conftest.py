"""The command line with a client that only plays the registry: what it is asked is kept, what it answers is set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import pytest
from typer.testing import CliRunner, Result

from promptwire.cli import session
from promptwire.cli.app import app
from promptwire.cli.output import Output
from promptwire.cli.session import Globals
from promptwire.errors import PromptNotFoundError
from promptwire.prompt_version import PromptVersion
from promptwire.status import ServerStatus
from promptwire.values import (
    AliasChange,
    Changes,
    Convergence,
    Prompt,
    Revision,
)

NOW_MS = 1_795_000_000_000
HERE = Revision("epoch-1", 7)


def a_version(version: int = 1, template: str = "Help {{customer}}.", **more: Any) -> PromptVersion:
    values = {"name": "telco", "author": "ana@laptop", "creation_timestamp": NOW_MS, "variables": ("customer",)}
    return PromptVersion(version=version, template=template, **{**values, **more})


def a_prompt(name: str = "telco", latest_version: int = 2, **more: Any) -> Prompt:
    values = {"author": "ana@laptop", "creation_timestamp": NOW_MS, "last_updated_timestamp": NOW_MS, "etag": 7}
    return Prompt(name=name, latest_version=latest_version, **{**values, **more})


@dataclass
class StubClient:
    """Stands in for promptwire.Client."""

    given: Globals = field(default_factory=Globals)
    versions: list[PromptVersion] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    moved: AliasChange = field(default_factory=lambda: AliasChange(previous_version=1, revision=HERE))
    status_answer: ServerStatus | None = None
    convergence_answer: list[Convergence] = field(default_factory=list)
    feed: list[Changes | BaseException] = field(default_factory=list)
    fails: BaseException | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    closed: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def _ask(self, *what: Any) -> None:
        self.asked.append(what)
        if self.fails:
            raise self.fails

    def _version(self, found: Sequence[PromptVersion]) -> PromptVersion:
        if not found:
            raise PromptNotFoundError("there is no prompt 'telco'", "PROMPT_NOT_FOUND", {"name": "telco"}, "NOT_FOUND")
        return found[0]

    def register_prompt(
        self,
        name: str,
        template: str,
        commit_message: str | None = None,
        tags: Mapping[str, str] | None = None,
        response_format: Mapping[str, object] | None = None,
        model_config: Mapping[str, object] | None = None,
        syntax: str | None = None,
    ) -> PromptVersion:
        self._ask("register", name, template, commit_message, tags, response_format, model_config, syntax)
        return self.versions[0] if self.versions else a_version(2, template, name=name)

    def get_prompt_version(self, name: str, version: int) -> PromptVersion:
        self._ask("get", name, version)
        return self._version([one for one in self.versions if (one.name, one.version) == (name, version)])

    def get_prompt_version_by_alias(self, name: str, alias: str) -> PromptVersion:
        self._ask("get", name, alias)
        return self._version([one for one in self.versions if one.name == name])

    def get_prompt(self, name: str) -> Prompt:
        self._ask("get_prompt", name)
        return self.prompts[0]

    def list_prompts(self, prefix: str = "") -> Iterator[Prompt]:
        self._ask("list", prefix)
        return iter([one for one in self.prompts if one.name.startswith(prefix)])

    def list_prompt_versions(self, name: str) -> Iterator[PromptVersion]:
        self._ask("versions", name)
        return iter(self.versions)

    def set_prompt_alias(
        self,
        name: str,
        alias: str,
        version: int,
        *,
        expected_version: int | None = None,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        self._ask("set_alias", name, alias, version, expected_version, reason)
        return self.moved

    def delete_prompt_alias(
        self,
        name: str,
        alias: str,
        *,
        expected_version: int | None = None,
        allow_missing: bool = False,
        reason: str = "",
        wait_for_agents: float | None = None,
    ) -> AliasChange:
        self._ask("delete_alias", name, alias, expected_version, allow_missing, reason)
        return self.moved

    def set_prompt_tags(self, name: str, tags: Mapping[str, str]) -> Revision:
        self._ask("set_tags", name, None, dict(tags))
        return HERE

    def set_prompt_version_tags(self, name: str, version: int, tags: Mapping[str, str]) -> Revision:
        self._ask("set_tags", name, version, dict(tags))
        return HERE

    def delete_prompt_tags(self, name: str, keys: Sequence[str]) -> Revision:
        self._ask("delete_tags", name, None, list(keys))
        return HERE

    def delete_prompt_version_tags(self, name: str, version: int, keys: Sequence[str]) -> Revision:
        self._ask("delete_tags", name, version, list(keys))
        return HERE

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(target=self.given.target or "localhost:50051", namespace="default")

    def convergence(self) -> list[Convergence]:
        return self.convergence_answer

    def server_status(self) -> ServerStatus:
        self._ask("status")
        assert self.status_answer
        return self.status_answer

    def changes(
        self, after: Revision | None = None, names: Sequence[str] = (), follow: bool = True
    ) -> Iterator[Changes]:
        self._ask("changes", after, list(names), follow)
        for one in self.feed:
            if isinstance(one, BaseException):
                raise one
            yield one
        if follow:
            raise KeyboardInterrupt


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> StubClient:
    stub = StubClient()

    def connect(given: Globals) -> StubClient:
        stub.given = given
        return stub

    monkeypatch.setattr(session, "connect", connect)
    return stub


Cli = Callable[..., Result]


@pytest.fixture
def cli(client: StubClient) -> Cli:
    """Runs a command line, with stdout in a pipe."""

    def run(*arguments: str, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=input, prog_name="promptwire")

    return run


@pytest.fixture
def terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line on a terminal of 120 columns."""
    monkeypatch.setattr(Output, "for_people", True)
    monkeypatch.setattr("promptwire.cli.output.now_ms", lambda: NOW_MS + 5 * 60_000)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return cli
