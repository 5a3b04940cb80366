"""`promptwire import`: an export, or what another registry holds, into a namespace."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptwire.cli.as_code import files_named, read_folder
from promptwire.cli.failures import UsageError
from promptwire.cli.progress import bar
from promptwire.cli.session import Session, command

if TYPE_CHECKING:
    from promptwire.importing.carried import Carried, Problem


def import_(
    session: Session,
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of an export; or mlflow, or langfuse (./mlflow is a folder of that name).",
            metavar="DIR|mlflow|langfuse",
            show_default=False,
        ),
    ],
    uri: Annotated[
        str | None,
        typer.Option(
            help="MLflow's registry: a database or a server. [env: MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI]",
            metavar="URI",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Langfuse's address; keys come from LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY. [env: LANGFUSE_HOST]",
            metavar="URL",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    no_aliases: Annotated[bool, typer.Option("--no-aliases", help="Leave aliases as they are.")] = False,
) -> None:
    """Bring an export, or another registry's prompts, into a namespace; versions keep their numbers.

    Run again, it goes on where it was interrupted, and brings what is new.
    """
    from promptwire.files.restore import restore

    problems: Sequence[Problem] = ()
    if source in ("mlflow", "langfuse"):
        carried = _carried(session, source, uri, host)
        if no_aliases:
            carried = carried.without_aliases()
        files, problems = carried.files, carried.problems
    else:
        if uri or host:
            raise UsageError("--uri goes with mlflow, --host with langfuse")
        with files_named():
            files = read_folder(session, Path(source))
        if no_aliases:
            files = [file.without_aliases() for file in files]
    total = sum(len(file.versions) for file in files)
    with (
        files_named(),
        session.client() as client,
        bar("import", total, shown=not session.out.json and not dry_run) as advance,
    ):
        restored = restore(client, files, advance, dry_run=dry_run)
    if session.out.json:
        document = {"prompts": len(files), **asdict(restored), "problems": [asdict(one) for one in problems]}
        session.out.document({**document, "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    session.out.line(
        f"{len(files)} prompts: {restored.versions} versions {would}registered, {restored.aliases} aliases {would}set"
    )
    for alias in restored.left_out:
        session.out.note(f"{alias} left out: the files do not have its version (export with --all-versions)")
    for problem in problems:
        of = f"{problem.name}/{problem.version}" if problem.version else problem.name
        session.out.note(f"{of}: {problem.what} left out: {problem.why}")


def _carried(session: Session, source: str, uri: str | None, host: str | None) -> "Carried":
    def track(items: Sequence[Any]) -> Iterator[Any]:
        with bar("read", len(items), shown=not session.out.json) as advance:
            for item in items:
                yield item
                advance(1)

    if source == "mlflow":
        from promptwire.importing import mlflow

        uri = uri or os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI")
        if host or not uri:
            raise UsageError("import mlflow needs --uri, e.g. --uri sqlite:///mlflow.db, and takes no --host")
        return mlflow.read(uri, track)
    from promptwire.importing import langfuse

    host = host or os.environ.get("LANGFUSE_HOST")
    public, secret = (os.environ.get(f"LANGFUSE_{kind}_KEY", "") for kind in ("PUBLIC", "SECRET"))
    if uri or not host or not public or not secret:
        raise UsageError(
            "import langfuse needs --host, and LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY in the environment; no --uri"
        )
    with langfuse.Api(host, public, secret) as api:
        return langfuse.read(api, track)


def add_to(app: typer.Typer) -> None:
    command(app, "import")(import_)
