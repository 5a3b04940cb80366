"""What the open stream was told to follow, and what it has still to be told."""

import itertools
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from promptwire._core.followed import Followed, Item
from promptwire.domain import limits
from promptwire.domain.references import Selector

_MESSAGE_MAX_BYTES: Final = 1 << 20
"""About how large a message may be that tells what to follow; one prompt goes into it whatever its size."""


class Subscribed(NamedTuple):
    """A prompt that the stream is told to follow."""

    name: str
    selectors: list[Selector]
    held: list[bytes]
    """Tokens of bodies that need not be sent."""


Told = list[Subscribed]


class Subscriptions:
    """Every followed item is untold, told, or acked: see Item.told. Guarded by the live table's lock."""

    def __init__(self) -> None:
        self._untold: dict[Followed, list[Item]] = {}
        self._unacked: list[Item] = []
        self._dropped: list[str] = []

    def add(self, item: Item) -> None:
        self._untold.setdefault(item.prompt, []).append(item)

    def drop(self, item: Item) -> None:
        """Of an item that was taken out of its prompt. The stream stops following the prompt once it has no other."""
        if (untold := self._untold.get(item.prompt)) and item in untold:
            untold.remove(item)
            if not untold:
                del self._untold[item.prompt]
        if not item.prompt.items:
            self._dropped.append(item.prompt.name)

    def take_dropped(self) -> list[str]:
        """Prompts to unsubscribe; before what is untold, which may follow one of them again."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def begin(self, prompts: Iterable[Followed], resumes: bool, most: int, next_nonce: int) -> Told:
        """For a new stream: what it follows from the start, at most so many selectors.

        What the last stream did not tell whole cannot be resumed, so it is not among these.
        """
        self._untold = {prompt: list(prompt.items.values()) for prompt in prompts}
        self._unacked = []
        self._dropped = []
        for item in itertools.chain.from_iterable(self._untold.values()):
            item.told, item.acked = math.inf, False
        whole = (prompt for prompt in self._untold if prompt.complete or not resumes)
        return self._tell(whole, most, next_nonce, opens=True)

    def take(self, most: int, next_nonce: int) -> Told:
        """What the open stream has to be told next, at most so many selectors."""
        return self._tell(self._untold, most, next_nonce, opens=False)

    def acknowledge(self, nonce: int) -> None:
        """The Renew with this nonce was answered, and so all that the stream was told before."""
        for item in self._unacked:
            item.acked = item.told <= nonce
        self._unacked = [item for item in self._unacked if not item.acked]

    def _tell(self, prompts: Iterable[Followed], most: int, next_nonce: int, opens: bool) -> Told:
        told: Told = []
        size, held_most = 0, limits.HELD_MAX_PER_MESSAGE
        for prompt in list(itertools.islice(prompts, most)):
            items = self._untold[prompt][:most]
            held = prompt.tokens(untold_only=not opens)[:held_most]
            one = Subscribed(prompt.name, [item.selector for item in items], held)
            size += _size_bytes(one)
            if told and size > _MESSAGE_MAX_BYTES:
                break
            told.append(one)
            most -= len(items)
            held_most -= len(held)
            for item in items:
                item.told = next_nonce
                self._unacked.append(item)
            if rest := self._untold[prompt][len(items) :]:
                self._untold[prompt] = rest
            else:
                del self._untold[prompt]
            if not most:
                break
        return told


def _size_bytes(one: Subscribed) -> int:
    selectors = sum(len(selector) + 2 if isinstance(selector, str) else 5 for selector in one.selectors)
    return 10 + len(one.name) + selectors + sum(len(token) + 2 for token in one.held)
