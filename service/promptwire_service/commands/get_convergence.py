"""Which connected agents have the recent changes of aliases; can wait until all have one."""

from dataclasses import dataclass
from typing import Final

from promptwire.domain.names import check_alias, check_namespace, check_prompt_name
from promptwire.domain.splits import plain
from promptwire.domain.violations import Violation
from promptwire_service.commands.context import Registry
from promptwire_service.domain.changes import AliasDeleted, AliasSet
from promptwire_service.domain.convergence import AliasPoint, Part
from promptwire_service.domain.errors import refuse
from promptwire_service.domain.records import Revision

LIMIT_DEFAULT: Final = 20
LIMIT_MOST: Final = 100
WAIT_MOST_SECONDS: Final = 600.0
_LOG_ENTRIES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasState:
    """One change of an alias and who has it; `version` is 0 when it was deleted or split, `time_ms` None when not
    looked up.
    """

    revision: Revision
    name: str
    alias: str
    version: int = 0
    previous_version: int = 0
    time_ms: int | None = None
    actor: str = ""
    part: Part


@dataclass(frozen=True, slots=True)
class Convergences:
    changes: list[AliasState]
    unheard: int


async def get_convergence(
    registry: Registry,
    *,
    namespace: str,
    name: str,
    alias: str,
    revision: Revision | None,
    wait_seconds: float,
    limit: int,
) -> Convergences:
    refuse(
        check_namespace(namespace),
        check_prompt_name(name) if name or revision else None,
        check_alias(alias) if alias or revision else None,
        None if 0 <= limit <= LIMIT_MOST else Violation("limit", f"must be 0 to {LIMIT_MOST}; got {limit}"),
        Violation("wait", "needs the revision to wait for") if wait_seconds and not revision else None,
    )
    if revision:
        point = AliasPoint(revision.number, name, alias)
        survey = await registry.observer.survey(namespace, revision.epoch, [point], wait_seconds)
        state = AliasState(revision=revision, name=name, alias=alias, part=survey.parts[0])
        return Convergences([state], survey.unheard)
    epoch, found = await _recent(registry, namespace, name, alias, limit or LIMIT_DEFAULT)
    points = [AliasPoint(number, change.name, change.alias) for number, _, _, change in found]
    survey = await registry.observer.survey(namespace, epoch, points, 0.0)
    states = [
        AliasState(
            revision=Revision(epoch, number),
            name=change.name,
            alias=change.alias,
            version=plain(change.target) if isinstance(change, AliasSet) else 0,
            previous_version=plain(change.previous),
            time_ms=time_ms,
            actor=actor,
            part=part,
        )
        for (number, time_ms, actor, change), part in zip(found, survey.parts, strict=True)
    ]
    return Convergences(states, survey.unheard)


async def _recent(
    registry: Registry, namespace: str, name: str, alias: str, limit: int
) -> tuple[str, list[tuple[int, int, str, AliasSet | AliasDeleted]]]:
    """From the log itself: a service that began to follow it a moment ago has not seen them."""
    head = (await registry.store.read_log(namespace, after=0, limit=1)).head
    page = await registry.store.read_log(namespace, after=max(0, head.number - _LOG_ENTRIES), limit=_LOG_ENTRIES)
    found = [
        (entry.number, entry.time_ms, entry.actor, change)
        for entry in reversed(page.entries)
        for change in entry.changes
        if isinstance(change, AliasSet | AliasDeleted) and name in ("", change.name) and alias in ("", change.alias)
    ]
    return page.head.epoch, found[:limit]
