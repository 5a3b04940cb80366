"""`promptwire alias`: set, split, rm, list, history, rollback."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import forms, inputs
from promptwire.cli.cells import When, target
from promptwire.cli.failures import REFUSED, UsageError
from promptwire.cli.session import Session, command, group
from promptwire.domain.names import LATEST
from promptwire.errors import AliasNotFoundError, PromptNotFoundError

if TYPE_CHECKING:
    from promptwire.client import Client
    from promptwire.values import AgentsReport, AliasMove

Name = Annotated[str, typer.Argument(help="Prompt's name.", metavar="NAME", show_default=False)]
Alias = Annotated[str, typer.Argument(help="Alias, e.g. production.", metavar="ALIAS", show_default=False)]
Wait = Annotated[
    float | None,
    typer.Option(
        help="Wait up to so long till all connected agents have it; exit code 1 if they have not.",
        min=0,
        max=600,
        metavar="SECONDS",
        show_default=False,
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for the history.", metavar="TEXT", show_default=False)]

app = typer.Typer()
group(app, "Movable names for versions, such as production.")


def set_(
    session: Session,
    name: Name,
    alias: Alias,
    version: Annotated[
        str,
        typer.Argument(
            help="A version's number; or another alias, or latest, for the version that it means now.",
            metavar="VERSION",
            show_default=False,
        ),
    ],
    expect: Annotated[
        int | None,
        typer.Option(
            help="Only if the alias points at this version now; 0: only if there is no such alias.",
            min=0,
            metavar="VERSION",
        ),
    ] = None,
    reason: Reason = "",
    wait: Wait = None,
) -> None:
    """Point an alias at a version; every connected agent follows within milliseconds."""
    with session.client() as client:
        source = None if version.isdecimal() and version.isascii() else version.removeprefix("@")
        number = int(version) if source is None else _meaning(client, name, source)
        moved = client.set_prompt_alias(
            name, alias, number, expected_version=expect, reason=reason, wait_for_agents=wait
        )
    if session.out.json:
        session.out.document(
            {
                "name": name,
                "alias": alias,
                "version": number,
                "previous_version": moved.previous_version,
                "previous_split": forms.split(moved.previous_split),
                "resolved_from": source,
                "revision": forms.revision(moved.revision),
                **_agents_form(moved.agents),
            }
        )
    else:
        resolved = f"; {source} is version {number}" if source else ""
        before = target(moved.previous_version, moved.previous_split)
        session.out.line(f"{name}@{alias}: {before} -> {number} (revision {moved.revision.number}{resolved})")
    _end_with(session, moved.agents)


def _agents_form(agents: "AgentsReport | None") -> dict[str, object]:
    return {} if agents is None else {"agents": forms.agents(agents)}


def _show_agents(session: Session, agents: "AgentsReport") -> None:
    half, slowest = agents.delay_seconds(50), agents.slowest_seconds
    timed = (
        f" (half within {half * 1000:.0f} ms, the slowest after {slowest * 1000:.0f} ms)" if half and slowest else ""
    )
    session.out.line(f"{agents.converged} of {agents.total} agents have it{timed}")
    for agent in agents.lagging:
        session.out.note(f"does not have it: {agent.client_name} {agent.client_id} at {agent.peer}")
    if agents.silent:
        session.out.note(f"{agents.silent} agents do not report what they have")
    if agents.unheard_services:
        session.out.note(f"{agents.unheard_services} services did not answer for their agents")
    if not agents.complete:
        session.out.note("the alias is changed all the same")


def _end_with(session: Session, agents: "AgentsReport | None") -> None:
    """Tells who has a change, if that was waited for; exit code 1 if not surely all have it."""
    if agents is None:
        return
    if not session.out.json:
        _show_agents(session, agents)
    if not agents.complete:
        raise typer.Exit(REFUSED)


def _meaning(client: "Client", name: str, alias: str) -> int:
    """The version that an alias means, as the store has it at this moment.

    Listings are read from the store. Other reads may come from a cache: a script that moves `staging` through one
    worker and releases it through another could release the version before. The prompt is the first of those whose
    name begins with its name.
    """
    inputs.reference(f"{name}@{alias}")
    prompt = next(client.list_prompts(name), None)
    if prompt is None or prompt.name != name:
        raise PromptNotFoundError(f"there is no prompt {name!r}", "PROMPT_NOT_FOUND", {"name": name})
    if alias == LATEST:
        return prompt.latest_version
    if alias not in prompt.aliases:
        if alias in prompt.splits:
            raise UsageError(f"{name}@{alias} is split: it means no single version")
        raise AliasNotFoundError(
            f"prompt {name!r} has no alias {alias!r}", "ALIAS_NOT_FOUND", {"name": name, "alias": alias}
        )
    return prompt.aliases[alias]


def rm(
    session: Session,
    name: Name,
    alias: Alias,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="No error if there is no such alias.")] = False,
    expect: Annotated[
        int | None,
        typer.Option(help="Only if the alias points at this version now.", min=1, metavar="VERSION"),
    ] = None,
    reason: Reason = "",
    wait: Wait = None,
) -> None:
    """Remove an alias."""
    with session.client() as client:
        gone = client.delete_prompt_alias(
            name, alias, expected_version=expect, allow_missing=allow_missing, reason=reason, wait_for_agents=wait
        )
    if session.out.json:
        session.out.document(
            {
                "name": name,
                "alias": alias,
                "previous_version": gone.previous_version,
                "previous_split": forms.split(gone.previous_split),
                "revision": forms.revision(gone.revision),
                **_agents_form(gone.agents),
            }
        )
    elif gone.previous_version is None and gone.previous_split is None:
        session.out.line(f"{name}@{alias}: there was none")
    else:
        before = target(gone.previous_version, gone.previous_split)
        session.out.line(f"{name}@{alias}: {before} -> none (revision {gone.revision.number})")
    _end_with(session, gone.agents)


def list_(session: Session, name: Name) -> None:
    """List a prompt's aliases; latest, which is automatic, comes last."""
    with session.client() as client:
        prompt = client.get_prompt(name)
    if session.out.json:
        session.out.document(
            {
                "name": prompt.name,
                "aliases": dict(prompt.aliases),
                "splits": {alias: forms.split(one) for alias, one in prompt.splits.items()},
                "latest_version": prompt.latest_version,
            }
        )
        return
    rows = [(alias, target(None, one)) for alias, one in prompt.splits.items()]
    session.out.table(("ALIAS", "VERSION"), [*prompt.aliases.items(), *rows, (LATEST, prompt.latest_version)])


def history(
    session: Session,
    name: Name,
    alias: Alias,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, metavar="N")] = 50,
) -> None:
    """Tell how an alias moved, newest change first: who, when, why."""
    with session.client() as client:
        found = list(islice(client.prompt_alias_history(name, alias), limit))
    if session.out.json:
        session.out.document([forms.alias_move(one) for one in found])
        return
    if not found and session.out.for_people:
        session.out.note(f"{name}@{alias} has never been there")
        return
    session.out.table(
        ("REVISION", "WHEN", "BY", "FROM", "TO", "REASON"),
        (
            (
                one.revision.number,
                When(one.timestamp),
                one.actor,
                target(one.previous_version, one.previous_split),
                f"{target(one.version, one.split)}{_going_back(one)}",
                one.reason,
            )
            for one in found
        ),
    )


def _going_back(move: "AliasMove") -> str:
    if move.rollback:
        return " (rollback)"
    return f" (undo of {move.undoes})" if move.undoes else ""


def rollback(
    session: Session,
    name: Name,
    alias: Alias,
    to_version: Annotated[
        int | None, typer.Option(help="Back to this version.", min=1, metavar="VERSION", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Back to what it was at a time, e.g. 2026-11-25T08:30, or how long ago, e.g. 10m.",
            metavar="TIME",
            show_default=False,
        ),
    ] = None,
    expect: Annotated[
        int | None, typer.Option(help="Only if the alias points at this version now.", min=1, metavar="VERSION")
    ] = None,
    reason: Reason = "",
    wait: Wait = None,
) -> None:
    """Point an alias back at what was live before. Once more goes back further, never to what was left that way."""
    if to_version is not None and at is not None:
        raise UsageError("--to-version and --at do not go together")
    with session.client() as client:
        moved = client.rollback_prompt_alias(
            name,
            alias,
            to_version=to_version,
            at=None if at is None else inputs.moment(at),
            expected_version=expect,
            reason=reason,
            wait_for_agents=wait,
        )
    if session.out.json:
        session.out.document(
            {
                "name": name,
                "alias": alias,
                "version": moved.version,
                "split": forms.split(moved.split),
                "previous_version": moved.previous_version,
                "previous_split": forms.split(moved.previous_split),
                "revision": forms.revision(moved.revision),
                **_agents_form(moved.agents),
            }
        )
    elif (moved.version, moved.split) == (moved.previous_version, moved.previous_split):
        session.out.line(f"{name}@{alias}: is {target(moved.version, moved.split)} already")
    else:
        before, after = target(moved.previous_version, moved.previous_split), target(moved.version, moved.split)
        session.out.line(f"{name}@{alias}: {before} -> {after} (revision {moved.revision.number})")
    _end_with(session, moved.agents)


def split(
    session: Session,
    name: Name,
    alias: Alias,
    weights: Annotated[
        list[str],
        typer.Argument(help="Versions and their shares, e.g. 1=90 2=10.", metavar="VERSION=WEIGHT", show_default=False),
    ],
    salt: Annotated[
        str | None, typer.Option(help="Makes this split's keys independent of another's. Default: its own.")
    ] = None,
    expect: Annotated[
        int | None,
        typer.Option(
            help="Only if the alias points at this version now; 0: only if there is no such alias.",
            min=0,
            metavar="VERSION",
        ),
    ] = None,
    reason: Reason = "",
    wait: Wait = None,
) -> None:
    """Point an alias at weighted versions: each user's key always gets the same one."""
    shares = inputs.weights(weights)
    with session.client() as client:
        moved = client.set_prompt_alias_split(
            name, alias, shares, salt=salt, expected_version=expect, reason=reason, wait_for_agents=wait
        )
    if session.out.json:
        session.out.document(
            {
                "name": name,
                "alias": alias,
                "split": forms.split(moved.split),
                "previous_version": moved.previous_version,
                "previous_split": forms.split(moved.previous_split),
                "revision": forms.revision(moved.revision),
                **_agents_form(moved.agents),
            }
        )
    else:
        before = target(moved.previous_version, moved.previous_split)
        after = target(None, moved.split)
        session.out.line(f"{name}@{alias}: {before} -> {after} (revision {moved.revision.number})")
    _end_with(session, moved.agents)


command(app, "set")(set_)
command(app, "split")(split)
command(app, "history")(history)
command(app, "rollback")(rollback)
command(app, "rm")(rm)
command(app, "list")(list_)
