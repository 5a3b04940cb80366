"""Entries that look at the clock on each hit, for `strict_lease`."""

from collections import UserDict
from collections.abc import Mapping

from promptwire.prompt_version import PromptVersion


class LeasedEntries(UserDict[str, PromptVersion]):
    """Without what is past its lease, at any moment. Others have a plain dict: their hits must not pay for this."""

    def __getitem__(self, key: str) -> PromptVersion:
        value = self.data[key]
        if value.stale:
            raise KeyError(key)
        return value

    def update(self, shown: Mapping[str, PromptVersion], /) -> None:  # type: ignore[override]
        """In one step, as a dict's: UserDict's own goes key by key."""
        self.data.update(shown)
