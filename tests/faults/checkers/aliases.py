"""Strong reads and writes of each alias are linearizable (G3)."""

import functools
import itertools
import math
from collections.abc import Iterable, Iterator

from tests.faults.checkers.truth import Lineage, Truth
from tests.faults.checkers.violation import Violation
from tests.faults.checkers.wgl import Call, linearizable
from tests.faults.history import MOVES, Change, Entry, History, Op, lineage_of, moves_of

Key = tuple[str, str, str]
"""Namespace, prompt, alias: one register."""
Value = tuple[str, bool]
"""What the alias points at, as `target_text` has it, and whether a deleted prompt hides that."""
NOTHING: Value = ("", False)
_REFUSED = ("ALIAS_NOT_FOUND", "ALIAS_CONFLICT", "PROMPT_DELETED")


def check(history: History, truth: Truth) -> Iterator[Violation]:
    for key, calls in registers(history, truth).items():
        fits, longest = linearizable(calls, NOTHING)
        if not fits:
            yield _violation(key, calls, longest)


def registers(history: History, truth: Truth) -> dict[Key, list[Call[Value]]]:
    """The calls on each alias: moves by their answers, all other writes that the log has by what it says they did."""
    calls: dict[Key, list[Call[Value]]] = {}
    answered: dict[tuple[str, str, str], list[Op]] = {}
    for op in history.ops:
        if op.kind in MOVES and op.outcome == "ok":
            answered.setdefault((op.namespace, op.request_id, lineage_of(op.epoch)), []).append(op)
        elif op.kind in MOVES and op.selector and op.reason in _REFUSED:
            calls.setdefault((op.namespace, op.name, op.selector), []).extend(_refused(op))
        elif op.kind == "read" and op.strong and op.outcome == "ok" and _is_alias(op.selector):
            calls.setdefault((op.namespace, op.name, op.selector), []).append(_read(op))
    for (namespace, request_id, _), ops in answered.items():
        tried = _attempts(truth, namespace, request_id)
        start = min(one.start for one in [*ops, *(one for one in tried if one.outcome == "unknown")])
        for alias, (target, previous) in moves_of(ops[0]).items():
            call = _moved(ops[0], target, previous, start, min(one.end for one in ops))
            calls.setdefault((namespace, ops[0].name, alias), []).append(call)
    for namespace, lineages in truth.lineages.items():
        for entry in (entry for lineage in lineages for entry in lineage.log.entries):
            for change in entry.changes:
                if change.alias:
                    calls.setdefault((namespace, change.name, change.alias), [])
        for lineage in lineages:
            for entry in lineage.log.entries[lineage.log.base :]:
                if (namespace, entry.request_id, lineage.log.lineage) not in answered:
                    _add_logged(calls, namespace, lineage, entry, truth)
    for key in calls:
        calls[key] += _rewinds(key, truth)
    return calls


def _attempts(truth: Truth, namespace: str, request_id: str) -> list[Op]:
    return truth.attempts.get(namespace, {}).get(request_id, [])


def _is_alias(selector: str) -> bool:
    return selector != "latest" and not selector.isdigit()


def _read(op: Op) -> Call[Value]:
    told = op.target or str(op.version or "")
    return Call(op.start, op.end, lambda state: state if _seen(state) == told else None, changes=False, what=op)


def _seen(state: Value) -> str:
    return "" if state[1] else state[0]


def _moved(op: Op, target: str, previous: str, start: int, end: int) -> Call[Value]:
    def step(state: Value) -> Value | None:
        fits = state == (previous, False) and op.expected in (None, previous)
        return (target, False) if fits else None

    return Call(start, end, step, changes=target != previous, what=op)


def _refused(op: Op) -> Iterator[Call[Value]]:
    def fits(state: Value) -> bool:
        if op.reason == "PROMPT_DELETED":
            return state[1]
        if op.reason == "ALIAS_NOT_FOUND":
            return state == NOTHING
        return not state[1] and state[0] != op.expected

    if op.reason != "ALIAS_CONFLICT" or op.expected is not None:
        yield Call(op.start, op.end, lambda state: state if fits(state) else None, changes=False, what=op)


def _add_logged(
    calls: dict[Key, list[Call[Value]]], namespace: str, lineage: Lineage, entry: Entry, truth: Truth
) -> None:
    """From the first attempt to the first answer, if there is one. A purge was at a time that others bound."""
    ops = _attempts(truth, namespace, entry.request_id)
    mine = [op for op in ops if op.outcome == "ok" and lineage_of(op.epoch) == lineage.log.lineage]
    start, end = lineage.began[entry.number], lineage.ended[entry.number]
    if ops:
        start = min(op.start for op in ops)
        end = min((op.end for op in mine), default=math.inf)
    for name in entry.names:
        changes = [change for change in entry.changes if change.name == name]
        for key in _touched(calls, namespace, name, changes):
            step = functools.partial(_as_logged, changes, key[2])
            calls[key].append(Call(start, end, step, what=ops[0] if ops else f"purged {name}"))


def _touched(calls: dict[Key, list[Call[Value]]], namespace: str, name: str, changes: list[Change]) -> Iterable[Key]:
    """Deletions of a prompt are writes of each of its aliases."""
    if any(change.kind in _OF_ALL for change in changes):
        return [key for key in calls if key[:2] == (namespace, name)]
    return {(namespace, name, change.alias) for change in changes if change.alias}


_OF_ALL = ("prompt_deleted", "prompt_undeleted", "prompt_purged")


def _as_logged(changes: list[Change], alias: str, state: Value) -> Value | None:
    target, hidden = state
    purges = any(change.kind == "prompt_purged" for change in changes)
    for change in changes:
        if change.alias == alias:
            if change.previous != target or hidden != purges:
                return None
            target = change.target
        elif change.kind in _OF_ALL:
            if hidden == (change.kind == "prompt_deleted") or (change.kind == "prompt_purged" and target):
                return None
            hidden = change.kind == "prompt_deleted"
    return target, hidden


def _set_back(value: Value, state: Value) -> Value:
    return value


def _rewinds(key: Key, truth: Truth) -> Iterator[Call[Value]]:
    """A backup that was restored sets every alias to what it was then."""
    for before, later in itertools.pairwise(truth.lineages.get(key[0], [])):
        held = later.at(key[1], later.log.base)
        value = held.aliases.get(key[2], ""), held.hidden
        yield Call(later.log.start, before.log.end, functools.partial(_set_back, value), what=f"back to {value}")


def _violation(key: Key, calls: list[Call[Value]], longest: list[Call[Value]]) -> Violation:
    """Shows the answers around the first one that no order explains."""
    taken = {id(call) for call in longest}
    stuck = min((call for call in calls if id(call) not in taken and not call.optional), key=lambda call: call.end)
    value = NOTHING
    for call in longest:
        after = call.step(value)
        value = value if after is None else after
    near = [call for call in calls if call.start <= stuck.end and call.end >= stuck.start and id(call) not in taken]
    shows = [call.what for call in [*longest[-3:], *near[:5]] if isinstance(call.what, Op)]
    message = f"no order explains the answers: after {len(longest)} of {len(calls)} it is {_seen(value) or 'unset'}"
    return Violation("linearizable", f"{message} (@{key[2]})", key[0], key[1], shows)
