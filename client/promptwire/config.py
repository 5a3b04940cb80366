"""Prompts chosen by configuration: keys that an application knows, and the references that they mean today."""

from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from typing import Any, Generic, TypeVar

from promptwire.handle import Handle

Loaded = TypeVar("Loaded")


def read_config(source: str | PathLike[str] | Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """What a configuration is called, and its references by key."""
    from promptwire.files.references import read_references  # only who has a configuration pays for it

    return read_references(source)


class Config(Mapping[str, Handle], Generic[Loaded]):
    """The references of a configuration as live handles, by key: `Client.load_config` makes it.

    `config["billing"].current` is an attribute that pushes keep up to date. Keys of nested mappings are joined by dots:
    `config["support.billing"]`.
    """

    __slots__ = ("_handles", "_load", "references", "source")

    references: Mapping[str, str]
    """What each key means, as it is written."""
    source: str
    """File that it is from, or `dict`."""

    def __init__(self, source: str, references: Mapping[str, str], handles: Mapping[str, Handle], load: Any) -> None:
        self.source = source
        self.references = references
        self._handles = handles
        self._load: Callable[..., Loaded] = load

    def __getitem__(self, key: str) -> Handle:
        """Raises KeyError, which names the file and the keys that it has."""
        try:
            return self._handles[key]
        except KeyError:
            raise KeyError(
                f"{self.source} has no prompt {key!r}; it has {', '.join(self._handles) or 'none'}"
            ) from None

    def load(self, key: str, /, **options: Any) -> Loaded:
        """What a key's reference means now; `options` are those of `Client.load_prompt`. To be awaited with asyncio."""
        return self._load(self[key].reference, **options)

    def __iter__(self) -> Iterator[str]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def __repr__(self) -> str:
        return f"<Config {self.source!r} {dict(self.references)!r}>"
