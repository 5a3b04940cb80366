"""What a template includes is put into it when it is registered, and pinned: it never changes afterwards.

Whatever it names is looked up in the namespace as it is at that moment, and in what the same release has registered
and moved so far. The store checks the pins once more as it writes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from promptwire.domain import chat, includes
from promptwire.domain.content import JINJA, Content, Include, check_size, with_json_as_kept
from promptwire.domain.names import LATEST
from promptwire.domain.references import Reference
from promptwire.domain.strict_json import compact_json
from promptwire.domain.template import TemplateError
from promptwire.domain.templates import messages_of, texts_of
from promptwire.domain.violations import Violation
from promptwire_service.commands.checking import checked
from promptwire_service.domain.errors import invalid, refuse
from promptwire_service.domain.records import PromptRecord, VersionRecord
from promptwire_service.storage.base import Store

_Key = tuple[str, int]
_AT_ONCE: Final = 64
"""Prompts or versions that one read asks for."""


class Includer:
    """Puts together the contents of one write, in the order of its operations."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace
        self._prompts: dict[str, PromptRecord | None] = {}
        self._versions: dict[_Key, VersionRecord | None] = {}
        self._made: dict[_Key, Content] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = {}
        self.relied_on: set[str] = set()
        """Prompts that were included as this very write makes them: their numbers are a forecast."""

    async def whole(self, name: str, content: Content, field: str = "content") -> Content:
        """The content with all that it includes, and its variables. Raises INVALID_ARGUMENT, with the place in the
        template.
        """
        if content.source or content.includes:
            raise invalid(Violation(f"{field}.source", "is the registry's to say; give the template as it is written"))
        content = with_json_as_kept(await checked(content, field))
        refuse(check_size(content.size_bytes, field))
        wanted = list(_wanted(content, field))
        if not wanted:
            return content
        await self._read_prompts({include.reference.name for include in wanted})
        targets: dict[Reference, tuple[Include, Content]] = {}
        for include in wanted:
            if include.reference not in targets:
                targets[include.reference] = await self._target(include)
                _check_kind(include, content, targets[include.reference][1])
        await self._check_chain(name, wanted, targets)
        # Before it is put together: a hundred includes of a megabyte each are refused for what they would be.
        size = sum(len(targets[include.reference][1].text.encode()) for include in wanted)
        refuse(check_size(size, field))
        texts = {reference: target.text for reference, (_, target) in targets.items()}
        whole = replace(
            _put_in(content, texts),
            source=content.template,
            includes=tuple(pin for pin, _ in targets.values()),
        )
        return await checked(whole, field, "with what it includes: ")

    async def registered(self, name: str, content: Content, aliases: tuple[str, ...]) -> None:
        """What the write does next: later templates may include it."""
        prompt = await self._prompt(name)
        number = self._last.get(name, prompt.last_version if prompt else 0) + 1
        self._last[name] = number
        self._made[name, number] = content
        for alias in aliases:
            self._aliases[name, alias] = number

    def moved(self, name: str, alias: str, version: int | None) -> None:
        """The same of an alias, None for one that is removed."""
        self._aliases[name, alias] = version or 0

    async def newest(self, name: str) -> int:
        """The newest version as the store has it; 0 for none."""
        prompt = await self._prompt(name)
        return prompt.latest_version if prompt else 0

    async def _target(self, include: "_Wanted") -> tuple[Include, Content]:
        name = include.reference.name
        prompt = await self._prompt(name)
        number = self._number(include.reference, prompt)
        if number is None:
            raise include.refused(_why_not(include.reference, prompt))
        if content := self._made.get((name, number)):
            self.relied_on.add(name)
            return Include(name, number, content.digest), content
        version = await self._version((name, number))
        if version is None:
            raise include.refused(f"there is no version {number} of prompt {name!r}")
        return Include(name, number, version.digest), version.content

    def _number(self, reference: Reference, prompt: PromptRecord | None) -> int | None:
        name, selector = reference.name, reference.selector
        if isinstance(selector, str) and selector != LATEST and (name, selector) in self._aliases:
            return self._aliases[name, selector] or None
        if selector == LATEST and name in self._last:
            return self._last[name]
        if isinstance(selector, int) and (name, selector) in self._made:
            return selector
        return prompt.version_of(selector) if prompt else None

    async def _check_chain(
        self, name: str, wanted: list["_Wanted"], targets: Mapping[Reference, tuple[Include, Content]]
    ) -> None:
        """Refuses includes that lead back to the prompt, and includes within includes that go too deep."""
        for include in wanted:
            level = {(targets[include.reference][0].name, targets[include.reference][0].version)}
            way: dict[_Key, _Key | None] = dict.fromkeys(level)
            depth = 1
            while level:
                if back := next((key for key in sorted(level) if key[0] == name), None):
                    raise include.refused(f"leads back to the prompt itself: {_path(name, way, back)}")
                if depth > includes.DEPTH_MAX:
                    raise include.refused(f"goes over {includes.DEPTH_MAX} deep: {_path(name, way, min(level))}")
                await self._read_versions(level - self._made.keys())
                deeper: set[_Key] = set()
                for key in sorted(level):
                    for pin in self._includes_of(key):
                        below = (pin.name, pin.version)
                        if below not in way:
                            way[below] = key
                            deeper.add(below)
                level, depth = deeper, depth + 1

    def _includes_of(self, key: _Key) -> tuple[Include, ...]:
        if key in self._made:
            return self._made[key].includes
        version = self._versions[key]
        return version.content.includes if version else ()

    async def _prompt(self, name: str) -> PromptRecord | None:
        await self._read_prompts({name})
        return self._prompts[name]

    async def _version(self, key: _Key) -> VersionRecord | None:
        await self._read_versions({key})
        return self._versions[key]

    async def _read_prompts(self, names: set[str]) -> None:
        """Each once, and as many together as the store answers."""
        while wanted := sorted(names - self._prompts.keys()):
            read = await self._store.read_prompts(self._namespace, wanted[:_AT_ONCE])
            self._prompts |= zip(wanted, read.value, strict=False)

    async def _read_versions(self, keys: set[_Key]) -> None:
        while wanted := sorted(keys - self._versions.keys()):
            read = await self._store.read_versions(self._namespace, wanted[:_AT_ONCE])
            self._versions |= zip(wanted, read.value, strict=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One include, and where it stands."""

    reference: Reference
    field: str
    line: int
    column: int

    def refused(self, problem: str) -> Exception:
        error = TemplateError(f"{self.reference}: {problem}", self.line, self.column)
        return invalid(Violation(self.field, str(error)))


def _wanted(content: Content, field: str) -> Iterator[_Wanted]:
    for at, text in texts_of(content, field):
        for include in includes.places_in(text):
            yield _Wanted(include.reference, at, include.line, include.column)


def _put_in(content: Content, texts: Mapping[Reference, str]) -> Content:
    def change(text: str) -> str:
        return includes.replaced(text, texts)

    if content.text:
        return replace(content, text=change(content.text))
    messages = chat.changed_texts(messages_of(content), change)
    return replace(content, messages_json=compact_json(messages))


def _check_kind(include: _Wanted, content: Content, target: Content) -> None:
    if not target.text:
        raise include.refused("is a chat prompt; only the text of text prompts can be included")
    if target.syntax != content.syntax:
        kinds = {JINJA: "Jinja2", "": "{{variable}}"}
        raise include.refused(
            f"is written in {kinds[target.syntax]}, and cannot be part of what is written in {kinds[content.syntax]}"
        )


def _why_not(reference: Reference, prompt: PromptRecord | None) -> str:
    if prompt is None:
        return f"there is no prompt {reference.name!r}"
    if prompt.deleted_ms:
        return f"prompt {reference.name!r} is deleted"
    if isinstance(reference.selector, int):
        deleted = reference.selector in prompt.deleted_versions
        return f"version {reference.selector} is deleted" if deleted else f"there is no version {reference.selector}"
    if reference.selector in prompt.splits:
        return "is a split; an include is of one version"
    return f"there is no alias {reference.selector!r}"


def _path(name: str, way: Mapping[_Key, _Key | None], last: _Key) -> str:
    path: list[str] = []
    key: _Key | None = last
    while key:
        path.append(f"{key[0]}/{key[1]}")
        key = way[key]
    return " > ".join([name, *reversed(path)])
