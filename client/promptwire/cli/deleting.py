"""`promptwire delete`, `undelete` and `deleted`."""

from typing import Annotated

import typer

from promptwire.cli import forms, inputs
from promptwire.cli.cells import When
from promptwire.cli.session import Session, command

What = Annotated[
    str,
    typer.Argument(help="A prompt's name, or name/3 for a version.", metavar="NAME[/VERSION]", show_default=False),
]
Reason = Annotated[str, typer.Option(help="Why, for the history.", metavar="TEXT", show_default=False)]


def delete(
    session: Session,
    what: What,
    drop_aliases: Annotated[
        bool, typer.Option("--drop-aliases", help="Of a version: aliases that lead to it go with it.")
    ] = False,
    reason: Reason = "",
) -> None:
    """Hide a prompt, or one version; undelete brings it back until it is purged."""
    name, version = inputs.name_or_version(what)
    with session.client() as client:
        if version is None:
            revision = client.delete_prompt(name, reason=reason)
        else:
            revision = client.delete_prompt_version(name, version, drop_aliases=drop_aliases, reason=reason)
    if session.out.json:
        session.out.document({"name": name, "version": version, "revision": forms.revision(revision)})
        return
    session.out.line(f"{what}: deleted (revision {revision.number}); `promptwire undelete {what}` brings it back")


def undelete(session: Session, what: What, reason: Reason = "") -> None:
    """Bring back a deleted prompt as it was, or a deleted version without its aliases."""
    name, version = inputs.name_or_version(what)
    with session.client() as client:
        if version is None:
            revision = client.undelete_prompt(name, reason=reason)
        else:
            revision = client.undelete_prompt_version(name, version, reason=reason)
    if session.out.json:
        session.out.document({"name": name, "version": version, "revision": forms.revision(revision)})
        return
    session.out.line(f"{what}: there again (revision {revision.number})")


def deleted(session: Session) -> None:
    """List what is deleted and can be undeleted."""
    with session.client() as client:
        found = list(client.list_deleted_prompts())
    if session.out.json:
        session.out.document([forms.deleted(one) for one in found])
        return
    if not found and session.out.for_people:
        session.out.note("nothing is deleted")
        return
    session.out.table(
        ("NAME", "VERSION", "DELETED", "PURGED FROM"),
        ((one.name, one.version or "all", When(one.timestamp), _day(one.purge_timestamp)) for one in found),
    )


def _day(timestamp: int) -> str:
    from promptwire.cli.cells import iso

    return iso(timestamp)[:10]


def add_to(app: typer.Typer) -> None:
    command(app, "delete")(delete)
    command(app, "undelete")(undelete)
    command(app, "deleted")(deleted)
