"""Strong reads and writes of each alias are linearizable (G3)."""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

from tests.faults.checkers.truth import Truth
from tests.faults.checkers.violation import Violation
from tests.faults.checkers.wgl import Call, linearizable
from tests.faults.history import Entry, History, Op, lineage_of

Key = tuple[str, str, str]
"""Namespace, prompt, alias: one register, which holds a version; 0 when there is no such alias."""


def check(history: History, truth: Truth) -> Iterator[Violation]:
    for key, calls in registers(history, truth).items():
        fits, longest = linearizable(calls, 0)
        if not fits:
            yield _violation(key, calls, longest)


def registers(history: History, truth: Truth | None = None) -> dict[Key, list[Call[int]]]:
    """The calls on each alias. With the truth, a write in doubt counts if the log has it, and else does not."""
    writes: dict[Key, dict[tuple[str, str], list[Op]]] = {}
    calls: dict[Key, list[Call[int]]] = {}
    for op in itertools.chain.from_iterable(map(_parts, history.ops)):
        key = (op.namespace, op.name, op.selector)
        if op.kind in ("set_alias", "delete_alias"):
            calls.setdefault(key, [])
            if op.outcome == "failed":
                calls[key] += _refused(op)
            else:
                lineage = lineage_of(op.epoch) if op.outcome == "ok" else ""
                writes.setdefault(key, {}).setdefault((op.request_id, lineage), []).append(op)
        elif op.kind == "read" and op.strong and op.outcome == "ok" and _is_alias(op.selector):
            calls.setdefault(key, []).append(_read(op))
    for key, by_request in writes.items():
        for (request_id, lineage), ops in by_request.items():
            if lineage:
                started = min(one.start for one in [*ops, *by_request.get((request_id, ""), ())])
                calls[key].append(_write(ops[0], started, min(op.end for op in ops)))
            else:
                answered = {of for one, of in by_request if one == request_id and of}
                calls[key] += _in_doubt(ops, answered, truth)
    for key in calls:
        calls[key] += _rewinds(key, truth)
    return calls


def _parts(op: Op) -> Iterator[Op]:
    """A release is a write of each of its aliases."""
    if op.kind != "release":
        yield op
    for alias, previous in op.moves.items():
        yield replace(op, kind="set_alias", selector=alias, previous=previous, moves={})


def _is_alias(selector: str) -> bool:
    return selector != "latest" and not selector.isdigit()


def _read(op: Op) -> Call[int]:
    return Call(op.start, op.end, lambda state: state if state == op.version else None, changes=False, what=op)


def _write(op: Op, start: int, end: float) -> Call[int]:
    def step(state: int) -> int | None:
        if state != op.previous or (op.expected is not None and op.expected != state):
            return None
        return op.version if op.kind == "set_alias" else 0

    return Call(start, end, step, what=op)


def _refused(op: Op) -> Iterator[Call[int]]:
    if op.reason == "ALIAS_NOT_FOUND":
        yield Call(op.start, op.end, lambda state: None if state else 0, changes=False, what=op)
    elif op.reason == "ALIAS_CONFLICT":
        yield Call(op.start, op.end, lambda state: None if state == op.expected else state, changes=False, what=op)


def _in_doubt(ops: list[Op], answered: set[str], truth: Truth | None) -> Iterator[Call[int]]:
    op, start = ops[0], min(one.start for one in ops)
    if truth is None:
        if not answered:
            yield Call(start, math.inf, lambda state: _maybe(op, state), what=op)
        return
    for lineage in truth.lineages.get(op.namespace, ()):
        entry = lineage.entry_of(op.request_id)
        entry = entry.move_of(op.selector) if entry and entry.moves else entry
        if entry and entry.number > lineage.log.base and lineage.log.lineage not in answered:
            yield Call(start, math.inf, functools.partial(_as_logged, entry), what=op)


def _maybe(op: Op, state: int) -> int | None:
    if op.expected not in (None, state) or (op.kind == "delete_alias" and not state):
        return None
    return op.version if op.kind == "set_alias" else 0


def _as_logged(entry: Entry, state: int) -> int | None:
    return (entry.version if entry.kind == "alias_set" else 0) if state == entry.previous else None


def _set_back(value: int, state: int) -> int:
    return value


def _rewinds(key: Key, truth: Truth | None) -> Iterator[Call[int]]:
    """A backup that was restored sets every alias to what it was then."""
    lineages = truth.lineages.get(key[0], []) if truth else []
    for before, later in itertools.pairwise(lineages):
        value = later.at(key[1], later.log.base).aliases.get(key[2], 0)
        yield Call(later.log.start, before.log.end, functools.partial(_set_back, value), what=f"back to {value}")


def _violation(key: Key, calls: list[Call[int]], longest: list[Call[int]]) -> Violation:
    """Shows the answers around the first one that no order explains."""
    taken = {id(call) for call in longest}
    stuck = min((call for call in calls if id(call) not in taken and not call.optional), key=lambda call: call.end)
    value = 0
    for call in longest:
        after = call.step(value)
        value = value if after is None else after
    near = [call for call in calls if call.start <= stuck.end and call.end >= stuck.start and id(call) not in taken]
    shows = [call.what for call in [*longest[-3:], *near[:5]] if isinstance(call.what, Op)]
    message = f"no order explains the answers: after {len(longest)} of {len(calls)} it is {value or 'unset'}"
    return Violation("linearizable", f"{message} (@{key[2]})", key[0], key[1], shows)
