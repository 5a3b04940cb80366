"""`promptwire tag`: set, rm."""

from typing import Annotated

import typer

from promptwire.cli import forms, inputs
from promptwire.cli.session import Session, command, group

Name = Annotated[str, typer.Argument(help="Prompt's name.", metavar="NAME", show_default=False)]
Version = Annotated[
    int | None,
    typer.Option(
        "--version", help="The version whose tags are meant, instead of the prompt itself.", metavar="VERSION", min=1
    ),
]

app = typer.Typer()
group(app, "Keys and values of a prompt or of one version.")


def set_(
    session: Session,
    name: Name,
    tags: Annotated[list[str], typer.Argument(help="Tags.", metavar="KEY=VALUE", show_default=False)],
    version: Version = None,
) -> None:
    """Set tags; others stay."""
    wanted = inputs.tags(tags)
    with session.client() as client:
        if version is None:
            revision = client.set_prompt_tags(name, wanted)
        else:
            revision = client.set_prompt_version_tags(name, version, wanted)
    if session.out.json:
        session.out.document({"name": name, "version": version, "tags": wanted, "revision": forms.revision(revision)})
        return
    session.out.line(f"{_subject(name, version)}: set {', '.join(wanted)} (revision {revision.number})")


def rm(
    session: Session,
    name: Name,
    keys: Annotated[list[str], typer.Argument(help="Keys.", metavar="KEY", show_default=False)],
    version: Version = None,
) -> None:
    """Remove tags; absent ones are no error."""
    with session.client() as client:
        if version is None:
            revision = client.delete_prompt_tags(name, keys)
        else:
            revision = client.delete_prompt_version_tags(name, version, keys)
    if session.out.json:
        session.out.document({"name": name, "version": version, "keys": keys, "revision": forms.revision(revision)})
        return
    session.out.line(f"{_subject(name, version)}: removed {', '.join(keys)} (revision {revision.number})")


def _subject(name: str, version: int | None) -> str:
    return name if version is None else f"{name}/{version}"


command(app, "set")(set_)
command(app, "rm")(rm)
