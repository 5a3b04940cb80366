"""`promptwire status`."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import forms
from promptwire.cli.cells import Cell, Size, When, local
from promptwire.cli.failures import UNREACHABLE
from promptwire.cli.output import Output, now_ms
from promptwire.cli.session import Session, command
from promptwire.errors import UnavailableError

if TYPE_CHECKING:
    from promptwire.client import Client
    from promptwire.status import ServerStatus
    from promptwire.values import AgentsReport, Convergence


_SILENT_SECONDS = 1.0


def status(
    session: Session,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Again and again, until Ctrl-C: which agents have the last changes of aliases."),
    ] = False,
    interval: Annotated[
        float, typer.Option(help="How long between two looks, with --watch.", min=0.1, max=3600, metavar="SECONDS")
    ] = 1.0,
) -> None:
    """Show how the service, its store and its watchers are, and which agents have the last changes of aliases.

    Exit code 3 when the service or its store is out of reach, so that it serves as a health check.
    """
    if watch:
        _watch(session, interval)
        return
    with session.client() as client:
        ours, found, changes = client.status(), client.server_status(), _changes(client)
    if session.out.json:
        session.out.document(forms.status(found, changes, ours.target, ours.namespace))
    else:
        _show(session.out, found, ours.target, ours.namespace)
        _show_changes(session.out, changes)
    if not found.store.reachable:
        session.out.note(f"the store is out of reach: {found.store.problem}")
        raise typer.Exit(UNREACHABLE)


def _changes(client: "Client") -> "list[Convergence]":
    """None while the store is away: there is a status all the same."""
    try:
        return client.convergence()
    except UnavailableError:
        return []


def _watch(session: Session, interval: float) -> None:
    seen = False
    with suppress(KeyboardInterrupt), session.client(_SILENT_SECONDS) as client:
        while True:
            try:
                changes = client.convergence()
                seen = True
            except UnavailableError as error:
                if not seen:
                    raise
                session.out.note(f"{error}; waiting for it to come back")
            else:
                _refresh(session.out, client.status().target, changes)
            time.sleep(interval)


def _refresh(out: Output, target: str, changes: "list[Convergence]") -> None:
    if out.json:
        out.json_line([{**asdict(one), "agents": forms.agents(one.agents)} for one in changes])
        return
    out.clear()
    if out.for_people:
        out.line(f"{target} at {local(now_ms())}; Ctrl-C ends")
    _show_changes(out, changes)


def _show_changes(out: Output, changes: "list[Convergence]") -> None:
    if not changes:
        return
    out.line("")
    out.table(
        ("REVISION", "CHANGED", "BY", "ALIAS", "CHANGE", "AGENTS", "HALF", "99 %", "SLOWEST", "MISSING"),
        (
            (
                one.revision.number,
                When(one.timestamp),
                one.actor,
                f"{one.name}@{one.alias}",
                f"{one.previous_version or 'none'} -> {one.version or 'none'}",
                f"{one.agents.converged} of {one.agents.total}",
                _delay(one.agents.delay_seconds(50)),
                _delay(one.agents.delay_seconds(99)),
                _delay(one.agents.slowest_seconds),
                ", ".join(_missing(one.agents)),
            )
            for one in changes
        ),
    )


def _delay(seconds: float | None) -> Cell:
    return None if seconds is None else f"{seconds * 1000:.0f} ms"


def _missing(agents: "AgentsReport") -> Iterator[str]:
    """Who does not have a change, or may not."""
    yield from (f"{agent.client_name} ({agent.peer})" for agent in agents.lagging)
    if agents.silent:
        yield f"{agents.silent} that do not report"
    if agents.unheard_services:
        yield f"agents of {agents.unheard_services} services that do not answer"


def _show(out: Output, found: "ServerStatus", target: str, namespace: str) -> None:
    store = found.store
    facts: list[tuple[str, Cell]] = [
        ("service", f"promptwire {found.version}"),
        ("address", target),
        ("started", When(found.start_timestamp)),
        ("store", store.location),
        ("store server", store.server),
        ("store reachable", store.reachable),
        ("durability", store.durability),
        ("namespace", namespace),
        # Without an epoch the service has not looked at this namespace yet, and its 0 is no count.
        ("revision", found.revision.number if found.revision.epoch else None),
        ("epoch", found.revision.epoch),
        ("checked", When(found.checked_timestamp)),
        ("watchers", f"{len(found.watchers)} of this namespace, {found.watcher_count} in all"),
    ]
    if not store.reachable:
        facts.append(("problem", store.problem))
    out.pairs(facts)
    if found.caches:
        out.line("")
        out.table(
            ("CACHE", "ENTRIES", "SIZE", "MOST", "HITS", "MISSES", "FENCED", "INVALIDATIONS"),
            (
                (
                    cache.name,
                    cache.entries,
                    Size(cache.bytes),
                    Size(cache.max_bytes),
                    cache.hits,
                    cache.misses,
                    cache.fenced,
                    cache.invalidations,
                )
                for cache in found.caches
            ),
        )
    if found.watchers:
        out.line("")
        out.table(
            ("WATCHER", "CLIENT ID", "PEER", "SINCE", "PROMPTS", "SENT", "APPLIED", "QUEUED", "RESYNCS"),
            (
                (
                    watcher.client_name,
                    watcher.client_id,
                    watcher.peer,
                    When(watcher.start_timestamp),
                    watcher.subscriptions,
                    watcher.sent_revision,
                    watcher.applied_revision,
                    watcher.queued,
                    watcher.resyncs,
                )
                for watcher in found.watchers
            ),
        )


def add_to(app: typer.Typer) -> None:
    command(app, "status")(status)
