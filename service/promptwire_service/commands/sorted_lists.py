"""Where the matches of a search stand in an order that no index has, kept while their pages are read.

A page of a sorted search used to sort all candidates again. Here they are sorted once, and only what a page's token
says of each is kept. A list is as of one revision; a page reads its rows anew, and leaves out those that are deleted
meanwhile or match no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from cachetools import TTLCache

from promptwire_service.domain.records import Revision

MAX_BYTES: Final = 32 << 20
MAX_AGE_SECONDS: Final = 300.0
_CURSOR_BYTES: Final = 80
"""What a cursor costs beside its characters."""

Key = tuple[str, str]
"""Namespace, and digest of subject, filter and order."""


@dataclass(frozen=True, slots=True)
class SortedList:
    """Cursors in order, each with the ranks and the position of a row; as of a revision."""

    cursors: tuple[str, ...]
    revision: Revision

    @property
    def size_bytes(self) -> int:
        return sum(len(cursor) + _CURSOR_BYTES for cursor in self.cursors) + _CURSOR_BYTES


class SortedLists:
    """Keeps lists for some minutes, within a bound of bytes. Several calls for one list wait for one sort."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._kept: TTLCache[Key, SortedList] = TTLCache(max_bytes, MAX_AGE_SECONDS, getsizeof=_size)
        self._sorting: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self.sorts = 0

    async def get(
        self, key: Key, is_right: Callable[[SortedList], bool], sort: Callable[[], Awaitable[SortedList]]
    ) -> SortedList:
        """The list that is kept, if it is right; else what `sort` answers."""
        lock = self._sorting.setdefault(key, asyncio.Lock())
        async with lock:
            kept = self._kept.get(key)
            if kept is not None and is_right(kept):
                return kept
            self.sorts += 1
            made = await sort()
            if made.size_bytes <= self._kept.maxsize:
                self._kept[key] = made
            return made


def _size(kept: SortedList) -> int:
    return kept.size_bytes
