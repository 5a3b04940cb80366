"""Items that rest on a lease of their own, because the watch does not vouch for them yet."""

import heapq
import itertools
import math
from collections.abc import Iterator

from promptwire._core.followed import Item
from promptwire._core.lease import Lease


class OwnLeases:
    """Knows which items these are, and whose lease ends next. Guarded by the live table's lock."""

    def __init__(self) -> None:
        self._items: set[Item] = set()
        self._order = itertools.count()
        self._ends: list[tuple[float, int, Item, Lease]] = []
        """Heap; what has another lease by now is skipped."""

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._items))

    def put(self, item: Item, lease: Lease) -> None:
        item.rest_on(lease)
        self._items.add(item)
        heapq.heappush(self._ends, (lease.until, next(self._order), item, lease))

    def drop(self, item: Item) -> None:
        self._items.discard(item)

    def lapsed(self, now: float) -> list[Item]:
        """Items whose lease has ended since the last call and that were handed out until then."""
        ended: list[Item] = []
        while self._ends and self._ends[0][0] <= now:
            _, _, item, lease = heapq.heappop(self._ends)
            if item.lease is lease and item.value is not None and not item.asks:
                ended.append(item)
        return ended

    @property
    def next_end(self) -> float:
        """When the next lease ends, by the clock; infinite if there is none."""
        return self._ends[0][0] if self._ends else math.inf
