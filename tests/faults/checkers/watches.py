"""Watch streams are bookmarkable, ordered, unique, atomic, reliable and resumable: they tell states that existed (G9).

The properties are those that etcd promises of its watches (https://etcd.io/docs/latest/learning/api_guarantees/), read
for streams of states: intermediate ones may be skipped, the last one never.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.faults.checkers.truth import Lineage, State, Truth
from tests.faults.checkers.violation import Violation
from tests.faults.history import History, Told, lineage_of

_KINDS = ("open", "follow", "update", "bookmark", "resync", "end", "done")


@dataclass(slots=True)
class _View:
    """What one watcher knows, by what it was told."""

    follows: dict[str, set[str]] = field(default_factory=dict)
    states: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By prompt and version: the newest that was told."""
    at: tuple[str, int] | None = None
    """Epoch and revision."""
    pending: set[str] = field(default_factory=set)
    """Asked for and not told yet: these may be told again."""
    replacing: bool = True
    last: Told | None = None


def check(history: History, truth: Truth) -> Iterator[Violation]:
    views: dict[tuple[str, str], _View] = {}
    for told in history.told:
        if told.kind in _KINDS:
            view = views.setdefault((told.client, told.namespace), _View())
            for name, message, prompt in _take(view, told, truth):
                shows = [one for one in (view.last, told) if one]
                yield Violation(name, f"{told.client}: {message}", told.namespace, prompt, shows)
            view.last = told


def _take(view: _View, told: Told, truth: Truth) -> Iterator[tuple[str, str, str]]:
    match told.kind:
        case "open":
            view.follows = {name: set(aliases) for name, aliases in told.follows.items()}
            view.replacing, view.pending = told.token is None, set()
        case "follow":
            for name, aliases in told.follows.items():
                view.follows.setdefault(name, set()).update(aliases)
                view.pending.add(name)
        case "resync":
            view.replacing = True
        case "update":
            yield from _update(view, told, truth)
        case "bookmark":
            yield from _bookmark(view, told, truth)
        case "done":
            lineage = truth.lineages[told.namespace][-1]
            at = view.at
            if at is None or lineage_of(at[0]) != lineage.log.lineage or not lineage.ends_at(at[1]):
                message = f"at the end it was told everything up to {view.at}, but the log ends at {lineage.head}"
                yield "reliable", message, ""


def _update(view: _View, told: Told, truth: Truth) -> Iterator[tuple[str, str, str]]:
    number, before = told.revision, view.at
    fresh = view.replacing
    if view.replacing:
        view.states, view.bodies, view.replacing = {}, {}, False
        if missing := view.follows.keys() - told.states.keys() - view.pending:
            yield "resumable", f"what replaces everything does not tell of {sorted(missing)}", ""
    elif before is not None:
        if before[0] != told.epoch:
            yield "resumable", "the epoch changed without a resync", ""
        elif told.previous != before[1] or number < before[1]:
            yield "ordered", f"an update from {told.previous} to {number} at {before[1]}", ""
    for name in told.states.keys() - view.follows.keys():
        yield "atomic", "told of what was not asked for", name
    lineage = truth.lineage(told.namespace, told.epoch)
    for name, state in told.states.items():
        known = view.states.get(name)
        again = state and known and state["etag"] == known["etag"] and not state["bodies"]
        if again and not fresh and name not in view.pending:
            yield "unique", "told what it had told already", name
        view.states[name] = state
        view.bodies.setdefault(name, {}).update(state["bodies"] if state else {})
    view.pending -= told.states.keys()
    view.at = (told.epoch, number)
    yield from _compare(view, lineage, number, told, truth)


def _bookmark(view: _View, told: Told, truth: Truth) -> Iterator[tuple[str, str, str]]:
    if view.replacing:
        return  # it speaks of a state that has not been told
    before, lineage = view.at, truth.lineage(told.namespace, told.epoch)
    if before is not None and (before[0] != told.epoch or told.revision < before[1]):
        yield "ordered", f"a bookmark at {told.epoch}:{told.revision} after {before}", ""
    if lineage is not None:
        least = lineage.head_by(told.sent)
        if told.revision < least and not truth.excuse(told.namespace, told.epoch, told.revision, told.sent):
            message = f"a bookmark at {told.revision} answers a Renew sent after {least} was acknowledged"
            yield "bookmarkable", message, ""
        if lineage.over < told.sent:
            yield "bookmarkable", "a bookmark vouches for a history that was gone when its Renew was sent", ""
    view.at = (told.epoch, told.revision)
    yield from _compare(view, lineage, told.revision, told, truth)


def _compare(
    view: _View, lineage: Lineage | None, number: int, told: Told, truth: Truth
) -> Iterator[tuple[str, str, str]]:
    """All that the watcher knows is what there was at this revision."""
    wrong = list(_differences(view, lineage, number, told, truth))
    if wrong and not truth.excuse(told.namespace, told.epoch, number, told.at):
        yield from wrong


def _differences(
    view: _View, lineage: Lineage | None, number: int, told: Told, truth: Truth
) -> Iterator[tuple[str, str, str]]:
    if lineage is None or number > lineage.head:
        if any(view.states.values()) or number:
            yield "atomic", f"revision {number} of epoch {told.epoch} is in no log", ""
        return
    # A rest from before is checked at bookmarks; an update has to have told everything that is new at its revision.
    for name, state in view.states.items():
        held = lineage.at(name, number)
        if not _same(state, held):
            check = "atomic" if name in told.states else "reliable"
            yield check, f"at revision {number} it is {_brief(held)}, but the watcher knows {state}", name
            continue
        followed = ((alias, one) for alias in view.follows.get(name, ()) for one in held.versions_of(alias))
        for alias, version in followed:
            body = view.bodies.get(name, {}).get(str(version))
            if body is None:
                yield "reliable", f"the body of version {version} was not told (@{alias})", name
            elif body["text"] not in truth.texts(told.namespace, name, version):
                yield "content", f"version {version} was told as {body['text']!r}", name
            elif body["tags"] != held.version_tags.get(version, {}):
                yield "reliable", f"tags of version {version} are told as {body['tags']}", name


def _same(state: dict[str, Any] | None, held: State) -> bool:
    if state is None or not held.there:
        return state is None and not held.there
    told = {name: value for name, value in state.items() if name != "bodies"}
    return told == {
        "latest": held.latest,
        "aliases": held.aliases,
        "tags": held.tags,
        "etag": held.etag,
        "deleted": sorted(held.deleted),
        "hidden": held.hidden,
    }


def _brief(held: State) -> str:
    if not held.there:
        return "not there"
    deleted = "deleted" if held.hidden else f"deleted={sorted(held.deleted)}"
    return f"latest={held.latest} aliases={held.aliases} tags={held.tags} etag={held.etag} {deleted}"
