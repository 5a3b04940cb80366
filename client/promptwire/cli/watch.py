"""`promptwire watch`."""

import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import forms
from promptwire.cli.cells import When, local, target
from promptwire.cli.failures import UsageError
from promptwire.cli.following import follow
from promptwire.cli.session import Session, command

if TYPE_CHECKING:
    from promptwire.client import Client
    from promptwire.values import Change, Changes, Revision

_SILENT_SECONDS = 1.0
"""An outage that is over sooner is not told of: the client bridges it, and nothing is missed."""


def watch(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Only these prompts; without any, all.", metavar="NAME", show_default=False),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Begin after this revision instead of now. With an epoch, only if that is still the store's.",
            metavar="REVISION|EPOCH:REVISION",
        ),
    ] = None,
) -> None:
    """Print every change as it happens, until Ctrl-C.

    After an outage it goes on where it was. What it knows besides changes, it says on stderr.
    """
    try:
        with session.client(_SILENT_SECONDS) as client:
            after = None if since is None else _revision(client, since)
            for one in follow(client, after, names or [], session.out.note, time.sleep):
                _show(session, one)
    except KeyboardInterrupt:
        return  # the way in which a watch ends


def _revision(client: "Client", since: str) -> "Revision":
    """Raises PromptwireError when the feed cannot begin there."""
    from promptwire.values import Revision

    epoch, colon, number = since.rpartition(":")
    if not (number.isascii() and number.isdecimal()) or (colon and not epoch):
        raise UsageError(f"--since is a revision's number, or its epoch and number as EPOCH:REVISION, not {since!r}")
    if not colon:
        # The feed begins at the store's own revision; server_status tells what the service has seen so far.
        epoch = next(client.changes(follow=False)).revision.epoch
    revision = Revision(epoch, int(number))
    # The feed begins with what it was asked for. Only what comes next, if only its end, shows that it can go on there.
    list(islice(client.changes(revision, follow=False), 2))
    return revision


def _show(session: Session, one: "Changes") -> None:
    if session.out.json:
        session.out.json_line(forms.changes(one))
        return
    time_ = local(one.timestamp) if session.out.for_people else When(one.timestamp)
    for change in one.changes:
        session.out.columns(time_, one.revision.number, one.actor, change.name, what(change), one.reason)


def what(change: "Change") -> str:
    match change.kind:
        case "version_registered":
            return f"version {change.version} registered"
        case "alias_set":
            before = target(change.previous_version, change.previous_split)
            return f"{change.alias} {before} -> {target(change.version, change.split)}"
        case "alias_deleted":
            return f"{change.alias} {target(change.previous_version, change.previous_split)} -> none"
        case "tags_set":
            return _of_tags(change, [f"{key}={value}" for key, value in change.tags.items()])
        case "tags_deleted":
            return _of_tags(change, [f"{key} removed" for key in change.keys])
        case "version_deleted" | "version_undeleted" | "version_purged":
            return f"version {change.version} {change.kind.removeprefix('version_')}"
        case "prompt_deleted" | "prompt_undeleted" | "prompt_purged":
            return change.kind.removeprefix("prompt_")


def _of_tags(change: "Change", said: list[str]) -> str:
    subject = f"tags of version {change.version}" if change.version else "tags"
    return f"{subject}: {', '.join(said)}"


def add_to(app: typer.Typer) -> None:
    command(app, "watch")(watch)
