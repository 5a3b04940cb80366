"""What is taken over from another registry, checked by our rules; and what cannot be, told instead of lost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from promptwire._core import checks
from promptwire.domain import limits
from promptwire.domain.names import check_alias, check_prompt_name, check_tags
from promptwire.domain.template import RenderingError
from promptwire.domain.templates import check_template
from promptwire.errors import InvalidArgumentError
from promptwire.files.prompt_file import FileVersion, PromptFile

Track = Callable[[Sequence[Any]], Iterable[Any]]

SOURCE_TAG: Final = "promptwire.source"
CREATED_TAG: Final = "promptwire.source_created_at"
AUTHOR_TAG: Final = "promptwire.source_author"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that could not be carried over."""

    name: str
    version: int | None
    """None for the prompt itself."""
    what: str
    """E.g. `alias 7`."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVersion:
    """A version as the other registry has it."""

    number: int
    template: str | Sequence[Mapping[str, Any]]
    syntax: str | None = None
    commit_message: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    response_format: Mapping[str, Any] | None = None
    model_config: Mapping[str, Any] | None = None
    author: str = ""
    created_ms: int | None = None
    """Milliseconds since 1970."""


class Carried:
    """Prompts, ready to be brought into a namespace, and the problems that there were."""

    def __init__(self, source: str) -> None:
        """`source` is where they come from, without credentials: each version has it as a tag."""
        self.files: list[PromptFile] = []
        self.problems: list[Problem] = []
        self._source = source

    def add(
        self,
        name: str,
        versions: Sequence[SourceVersion],
        aliases: Mapping[str, int],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """One prompt with all its versions, in any order."""
        if wrong := check_prompt_name(name):
            self.lost(name, None, "the prompt", wrong.description)
            return
        ordered = sorted(versions, key=lambda version: version.number)
        kept = tuple(made for one in ordered if (made := self._version(name, one)))
        if not kept:
            if not any(problem.name == name for problem in self.problems):
                self.lost(name, None, "the prompt", "has no versions")
            return
        numbers = {version.number for version in kept}
        moved: dict[str, int] = {}
        for alias, number in sorted(aliases.items()):
            if wrong := check_alias(alias):
                self.lost(name, None, f"alias {alias}", wrong.description)
            elif number not in numbers:
                self.lost(name, None, f"alias {alias}", f"points at version {number}, which is not carried over")
            else:
                moved[alias] = number
        prompt_tags = self._tags(name, None, tags or {})
        self.files.append(
            PromptFile(name=name, versions=kept, aliases=moved, prompt_tags=prompt_tags, path=f"{self._source}: {name}")
        )

    def lost(self, name: str, version: int | None, what: str, why: str) -> None:
        self.problems.append(Problem(name=name, version=version, what=what, why=why))

    def _version(self, name: str, version: SourceVersion) -> FileVersion | None:
        try:
            content = checks.content(version.template, version.response_format, version.model_config, version.syntax)
            wrong = check_template(content)
        except (InvalidArgumentError, RenderingError) as error:
            self.lost(name, version.number, "the version", str(error))
            return None
        if wrong:
            self.lost(name, version.number, "the version", str(wrong))
            return None
        message = version.commit_message
        if len(message) > limits.COMMIT_MESSAGE_MAX_CHARS:
            self.lost(
                name, version.number, "the end of its commit message", f"{len(message):,} characters are too many"
            )
            message = message[: limits.COMMIT_MESSAGE_MAX_CHARS]
        provenance = {SOURCE_TAG: f"{self._source}/{name}/{version.number}"}
        provenance |= {AUTHOR_TAG: version.author} if version.author else {}
        provenance |= {} if version.created_ms is None else {CREATED_TAG: _iso(version.created_ms)}
        tags = self._tags(name, version.number, version.tags, provenance)
        return FileVersion(content=content, commit_message=message, tags=tags, number=version.number)

    def _tags(
        self, name: str, version: int | None, tags: Mapping[str, str], provenance: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Those that fit beside where the version comes from, which goes first."""
        kept = dict(provenance or {})
        own = frozenset(kept)
        for key, value in sorted(tags.items()):
            if key in own:
                continue
            if wrong := check_tags({**kept, key: value}):
                self.lost(name, version, f"tag {key:.40}", wrong.description)
            else:
                kept[key] = value
        return kept

    def without_aliases(self) -> "Carried":
        """The same, leaving aliases as they are in the namespace."""
        bare = Carried(self._source)
        bare.files = [file.without_aliases() for file in self.files]
        bare.problems = [problem for problem in self.problems if not problem.what.startswith("alias ")]
        return bare


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
