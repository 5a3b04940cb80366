"""`promptwire export`, `plan`, `apply` and `import`: a namespace as a folder of files. See docs/prompts-as-code.md."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promptwire.cli.cells import target
from promptwire.cli.diff import unified_text
from promptwire.cli.failures import REFUSED, UsageError
from promptwire.cli.progress import bar
from promptwire.cli.session import Session, command
from promptwire.errors import PromptwireError, UnavailableError

if TYPE_CHECKING:
    from promptwire.client import Client
    from promptwire.files.plan import Plan
    from promptwire.files.prompt_file import PromptFile
    from promptwire.values import Prompt, Release

Folder = Annotated[Path, typer.Argument(help="Folder of .prompt.yaml files.", metavar="DIR", show_default=False)]
Aliases = Annotated[
    bool, typer.Option("--aliases", help="Make and move aliases as the files say, too; else they are left alone.")
]


def export(
    session: Session,
    folder: Folder,
    prefix: Annotated[str, typer.Option(help="Only prompts whose name begins so.", metavar="PREFIX")] = "",
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Every version, for a backup that `import` takes; else the newest.")
    ] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove the files of prompts that are there no more.")] = False,
) -> None:
    """Write a namespace into a folder, a readable file a prompt; files that are right already are not touched.

    A prompt that cannot be exported is named, the others are written, and the exit code is 1.
    """
    with files_named(), session.client() as client:
        counts = _export(session, client, folder, prefix, all_versions=all_versions, prune=prune)
    if session.out.json:
        session.out.document(counts)
    else:
        for alias in counts["splits"]:
            session.out.note(f"{alias} left out: only --all-versions keeps splits")
        for one in counts["failed"]:
            session.out.error(f"{one['name']} is not exported: {one['problem']}")
        session.out.line(f"{folder}: {counts['written']} written, {counts['unchanged']} unchanged, {_gone(counts)}")
    if counts["failed"]:
        raise typer.Exit(REFUSED)


def _gone(counts: dict[str, Any]) -> str:
    if counts["stale"]:
        return f"{len(counts['stale'])} of prompts that are there no more (--prune removes them)"
    return f"{len(counts['removed'])} removed"


def _export(
    session: Session, client: "Client", folder: Path, prefix: str, *, all_versions: bool, prune: bool
) -> dict[str, Any]:
    from promptwire.files import folder as folders
    from promptwire.files import registry
    from promptwire.files.prompt_file import write_checked

    held = registry.prompts(client, prefix)
    # A file's place may depend on all prompts' names, also of those that are not exported now.
    places, here = folders.places(folder, registry.prompts(client) if prefix else held)
    written = 0
    failed: list[dict[str, str]] = []
    with bar("export", len(held), shown=not session.out.json) as advance:
        for prompt, make_file in _exported(client, held, all_versions=all_versions):
            try:
                written += folders.write_file(folder, places[prompt.name], write_checked(make_file()))
            except UnavailableError:
                raise
            except PromptwireError as error:
                failed.append({"name": prompt.name, "problem": str(error)})
            advance(1)
    stale = [path for name, path in here.items() if name not in held and name.startswith(prefix)]
    for path in stale if prune else ():
        path.unlink()
    return {
        "written": written,
        "unchanged": len(held) - written - len(failed),
        "failed": failed,
        "removed": [str(path) for path in stale] if prune else [],
        "stale": [] if prune else [str(path) for path in stale],
        "splits": [] if all_versions else [f"{one.name}@{alias}" for one in held.values() for alias in one.splits],
    }


def _exported(
    client: "Client", held: dict[str, "Prompt"], *, all_versions: bool
) -> Iterator[tuple["Prompt", Callable[[], "PromptFile"]]]:
    from promptwire.files import registry

    if all_versions:
        yield from ((prompt, partial(registry.whole_file, client, prompt)) for prompt in held.values())
    else:
        yield from registry.newest_files(client, held.values())


def plan(
    session: Session,
    folder: Folder,
    aliases: Aliases = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 if anything would change.")] = False,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Only read the files, for what breaks a rule; asks no registry.")
    ] = False,
) -> None:
    """Tell what `apply` would change, without doing it."""
    from promptwire.files.plan import make_plan

    with files_named():
        files = read_folder(session, folder)
        if files_only:
            _told_read(session, len(files))
            return
        with session.client() as client:
            planned = make_plan(client, files, aliases=aliases)
    if session.out.json:
        session.out.document(_document(planned))
    else:
        _show(session, planned)
    _warn(session, planned)
    if check and planned:
        raise typer.Exit(REFUSED)


def apply(
    session: Session,
    folder: Folder,
    aliases: Aliases = False,
    title: Annotated[str, typer.Option(help="What the release is called.", metavar="TEXT")] = "Apply",
    reason: Annotated[str, typer.Option(help="Why, for the history.", metavar="TEXT", show_default=False)] = "",
) -> None:
    """Register the prompts that differ from their files, all or nothing. Run twice, it does nothing the second time."""
    from promptwire.files.plan import apply_plan, make_plan

    with files_named():
        files = read_folder(session, folder)
        with session.client() as client:
            planned = make_plan(client, files, aliases=aliases)
            done = apply_plan(client, planned, title, reason)
    _warn(session, planned)
    if session.out.json:
        session.out.document({**_document(planned), "release": done.number if done else None})
        return
    if done is None:
        session.out.line(f"nothing to do: {planned.unchanged} unchanged")
        return
    _tell(session, done)


def _tell(session: Session, done: "Release") -> None:
    for effect in done.effects:
        if effect.alias is None:
            session.out.line(f"registered {effect.name} version {effect.version}")
        else:
            before = target(effect.previous_version, effect.previous_split)
            session.out.line(f"{effect.name}@{effect.alias}: {before} -> {effect.version}")
    session.out.line(f"release {done.number}: `promptwire release undo {done.number}` takes its moves back")


def _told_read(session: Session, count: int) -> None:
    if session.out.json:
        session.out.document({"prompts": count})
    else:
        session.out.line(f"{count} prompts read")


def read_folder(session: Session, folder: Path) -> list["PromptFile"]:
    from promptwire.files import folder as folders

    total = len(folders.files_in(folder))
    with bar("read", total, shown=not session.out.json) as advance:
        files = []
        for found in folders.read_folder(folder):
            files.append(found.prompt)
            advance(1)
    if not files:
        raise UsageError(f"{folder} has no file that ends in {folders.SUFFIX}")
    return files


@contextmanager
def files_named() -> Iterator[None]:
    """A file that breaks a rule is wrong usage: nothing was sent."""
    from promptwire.files.reading import FileError

    try:
        yield
    except FileError as error:
        raise UsageError(str(error)) from error


def _document(planned: "Plan") -> dict[str, Any]:
    return {
        "registrations": [
            {
                "name": one.name,
                "path": one.path,
                "before": one.before,
                "parts": [asdict(part) for part in one.parts],
                "warnings": list(map(str, one.warnings)),
            }
            for one in planned.registrations
        ],
        "moves": [asdict(move) for move in planned.moves],
        "unchanged": planned.unchanged,
    }


def _show(session: Session, planned: "Plan") -> None:
    from promptwire.diffs import unified

    for one in planned.registrations:
        session.out.line(f"register {one.name}: {f'after version {one.before}' if one.before else 'new'} ({one.path})")
        for part in one.parts if one.before else ():
            text = unified(part, f"prompts:/{one.name}/{one.before}", one.path)
            if session.out.for_people:
                session.out.coloured(unified_text(text))
            else:
                session.out.block(text)
    for move in planned.moves:
        after = move.after or "the new version"
        session.out.line(f"move {move.name}@{move.alias}: {move.before or 'none'} -> {after}")
    counts = f"{len(planned.registrations)} to register, {len(planned.moves)} to move, {planned.unchanged} unchanged"
    session.out.line(counts)


def _warn(session: Session, planned: "Plan") -> None:
    for one in planned.registrations:
        for warning in one.warnings:
            session.out.warning(f"{one.path}: {warning}")


def add_to(app: typer.Typer) -> None:
    command(app, "export")(export)
    command(app, "plan")(plan)
    command(app, "apply")(apply)
