"""`promptwire release`: run, plan, undo, list; and `audit`."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import forms
from promptwire.cli.cells import When, local, target
from promptwire.cli.failures import REFUSED, UsageError
from promptwire.cli.session import Session, command, group

if TYPE_CHECKING:
    from promptwire.values import KeptWrite, Release, ReleaseEffect


def _not_a_move(title: str) -> str:
    """Who leaves the title out would have the first move taken for it."""
    if re.fullmatch(r"\S+@\S+=\d*", title):
        raise typer.BadParameter(f"the title comes first, and {title!r} reads as a move")
    return title


Title = Annotated[
    str,
    typer.Argument(help="What the release is called.", metavar="TITLE", show_default=False, callback=_not_a_move),
]
Moves = Annotated[
    list[str],
    typer.Argument(
        help="name@alias=VERSION; name@alias= removes the alias.", metavar="NAME@ALIAS=VERSION", show_default=False
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the history.", metavar="TEXT", show_default=False)]

app = typer.Typer()
group(app, "Many aliases moved at once, all or nothing.")


def run(session: Session, title: Title, moves: Moves, reason: Reason = "") -> None:
    """Move aliases of many prompts, all or nothing; every agent sees all of it or nothing of it."""
    with session.client() as client:
        done = client.release(title, _moves(moves), reason=reason)
    _show(session, done)


def plan(session: Session, title: Title, moves: Moves) -> None:
    """Tell what a release would do, without doing it; exit code 1 if it would be refused."""
    with session.client() as client:
        planned = client.release(title, _moves(moves), dry_run=True)
    if session.out.json:
        session.out.document({**forms.release(planned), "problems": list(planned.problems)})
    else:
        for effect in planned.effects:
            session.out.line(_moved(effect))
    if planned.problems:
        raise typer.Exit(REFUSED)


def undo(
    session: Session,
    number: Annotated[
        int, typer.Argument(help="The release's number, as release list tells it.", metavar="NUMBER", min=1)
    ],
    reason: Reason = "",
) -> None:
    """Move back every alias that a release moved, if all are still where it left them."""
    with session.client() as client:
        done = client.undo_release(number, reason=reason)
    _show(session, done)


def list_(
    session: Session,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, metavar="N")] = 20,
) -> None:
    """List releases, newest first."""
    with session.client() as client:
        found = [one for one, _ in zip(client.list_releases(), range(limit), strict=False)]
    if session.out.json:
        session.out.document([forms.kept_write(one) for one in found])
        return
    if not found and session.out.for_people:
        session.out.note("no releases")
        return
    session.out.table(
        ("NUMBER", "TITLE", "WHEN", "BY", "CHANGES", "UNDONE BY", "REASON"),
        (
            (
                one.revision.number,
                one.release or "",
                When(one.timestamp),
                one.actor,
                len(one.changes),
                one.undone_by,
                one.reason,
            )
            for one in found
        ),
    )


def audit(
    session: Session,
    since: Annotated[
        int, typer.Option(help="Only writes after this revision's number.", min=0, metavar="REVISION")
    ] = 0,
) -> None:
    """Tell every write of the namespace, oldest first. Nothing is left out, however old."""
    with session.client() as client:
        for one in client.audit(since):
            _tell(session, one)


def _tell(session: Session, one: "KeptWrite") -> None:
    if session.out.json:
        session.out.json_line(forms.kept_write(one))
        return
    from promptwire.cli.watch import what

    time = local(one.timestamp) if session.out.for_people else When(one.timestamp)
    for change in one.changes:
        session.out.columns(time, one.revision.number, one.actor, change.name, what(change), one.reason)


def _moves(given: list[str]) -> dict[str, int | None]:
    moves: dict[str, int | None] = {}
    for one in given:
        reference, equals, version = one.rpartition("=")
        if not equals or (version and not (version.isascii() and version.isdecimal())):
            raise UsageError(f"a move is NAME@ALIAS=VERSION, not {one!r}")
        if reference in moves:
            raise UsageError(f"{reference} is moved twice")
        moves[reference] = int(version) if version else None
    return moves


def _show(session: Session, done: "Release") -> None:
    if session.out.json:
        session.out.document(forms.release(done))
        return
    for effect in done.effects:
        session.out.line(_moved(effect))
    session.out.line(f"release {done.number}: `promptwire release undo {done.number}` takes it back")


def _moved(effect: "ReleaseEffect") -> str:
    if effect.problem:
        return f"{effect.name}@{effect.alias}: {effect.problem}"
    before, after = target(effect.previous_version, effect.previous_split), target(effect.version, effect.split)
    return f"{effect.name}@{effect.alias}: {before} -> {after}"


def add_to(app_: typer.Typer) -> None:
    command(app, "run")(run)
    command(app, "plan")(plan)
    command(app, "undo")(undo)
    command(app, "list")(list_)
    app_.add_typer(app, name="release")
    command(app_, "audit")(audit)
