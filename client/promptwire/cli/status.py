"""`promptwire status`."""

from typing import TYPE_CHECKING

import typer

from promptwire.cli import forms
from promptwire.cli.cells import Cell, Size, When
from promptwire.cli.failures import UNREACHABLE
from promptwire.cli.output import Output
from promptwire.cli.session import Session, command

if TYPE_CHECKING:
    from promptwire.status import ServerStatus


def status(session: Session) -> None:
    """Show how the service, its store and its watchers are.

    Exit code 3 when the service or its store is out of reach, so that it serves as a health check.
    """
    with session.client() as client:
        ours = client.status()
        found = client.server_status()
    if session.out.json:
        session.out.document(forms.status(found, ours.target, ours.namespace))
    else:
        _show(session.out, found, ours.target, ours.namespace)
    if not found.store.reachable:
        session.out.note(f"the store is out of reach: {found.store.problem}")
        raise typer.Exit(UNREACHABLE)


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
            ("WATCHER", "CLIENT ID", "PEER", "SINCE", "PROMPTS", "REVISION", "QUEUED", "RESYNCS"),
            (
                (
                    watcher.client_name,
                    watcher.client_id,
                    watcher.peer,
                    When(watcher.start_timestamp),
                    watcher.subscriptions,
                    watcher.sent_revision,
                    watcher.queued,
                    watcher.resyncs,
                )
                for watcher in found.watchers
            ),
        )


def add_to(app: typer.Typer) -> None:
    command(app, "status")(status)
