"""Linearizability of one object: the search of Wing and Gong, with Lowe's cache of states already tried.

J. Wing, C. Gong, "Testing and verifying concurrent objects" (1993); G. Lowe, "Testing for linearizability" (2017).

Iterative, over a linked list of calls and returns. What was tried is kept as (first operation not taken, bits of the
taken ones from there on, state), so that a cache entry is as small as the overlap, however long the history is.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Call(Generic[State]):
    """An operation on the object.

    `step` returns the state after it, or None when it cannot have happened in that state. `end` is infinite for one
    whose outcome is not known: it may take effect at any time from `start` on, or never.
    """

    start: float
    end: float
    step: Callable[[State], State | None]
    changes: bool = True
    """False for one that never changes the state: it is taken as soon as it fits."""
    what: object = None

    @property
    def optional(self) -> bool:
        return self.end == math.inf


@dataclass(slots=True, eq=False)
class _Node:
    index: int
    """Of its call; for a return, of the call that it ends."""
    returns: bool
    partner: "_Node | None" = None
    before: "_Node | None" = field(default=None, repr=False)
    after: "_Node | None" = field(default=None, repr=False)


def linearizable(calls: Sequence[Call[State]], initial: State) -> tuple[bool, list[Call[State]]]:
    """Whether some order explains every answer, and the longest order found that explains a beginning."""
    calls = sorted(calls, key=lambda call: call.start)
    head = _linked(calls)
    state, taken, first = initial, 0, 0
    tried: set[tuple[int, int, State]] = set()
    stack: list[tuple[_Node, State, int, int]] = []
    longest: list[int] = []
    node = head.after
    while node is not None:
        if not node.returns:
            call = calls[node.index]
            after = call.step(state)
            if after is not None and not (call.optional and after == state):
                bits = taken | 1 << (node.index - first)
                new_first = first
                while bits & 1:
                    bits >>= 1
                    new_first += 1
                key = (new_first, bits, after)
                if key not in tried:
                    tried.add(key)
                    stack.append((node, state, taken, first))
                    state, taken, first = after, bits, new_first
                    _lift(node)
                    node = head.after
                    continue
            node = node.after
            continue
        # A call that is not taken has returned: what was taken before is wrong somewhere.
        if len(stack) > len(longest):
            longest = [one.index for one, *_ in stack]
        while stack:
            node, state, taken, first = stack.pop()
            _drop_back(node)
            if calls[node.index].changes:
                break
            # Taking what fits and changes nothing was no choice: there is no other way to try here.
        else:
            return False, [calls[index] for index in longest]
        node = node.after
    return True, [calls[one.index] for one, *_ in stack]


def _linked(calls: Sequence[Call[State]]) -> _Node:
    marks: list[tuple[float, int, int]] = []
    for index, call in enumerate(calls):
        marks.append((call.start, 0, index))
        if not call.optional:
            marks.append((call.end, 1, index))
    head = last = _Node(-1, False)
    begun: dict[int, _Node] = {}
    for _, returns, index in sorted(marks):
        node = _Node(index, bool(returns), before=last)
        if returns:
            begun[index].partner = node
        else:
            begun[index] = node
        last.after = node
        last = node
    return head


def _lift(node: _Node) -> None:
    for one in (node, node.partner):
        if one is not None:
            assert one.before is not None
            one.before.after = one.after
            if one.after is not None:
                one.after.before = one.before


def _drop_back(node: _Node) -> None:
    for one in (node.partner, node):
        if one is not None:
            assert one.before is not None
            one.before.after = one
            if one.after is not None:
                one.after.before = one
