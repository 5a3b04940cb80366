"""`promptwire get`, `search`, `versions` and `list`."""

import json
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from promptwire.cli import forms, inputs
from promptwire.cli.cells import Cell, Size, When, target
from promptwire.cli.session import Session, command
from promptwire.domain.diffs import readable

if TYPE_CHECKING:
    from promptwire.client import Client
    from promptwire.prompt_version import PromptVersion
    from promptwire.values import Prompt


def get(
    session: Session,
    ref: Annotated[
        str,
        typer.Argument(help="name@alias, name/3, or name for the newest version.", metavar="REF", show_default=False),
    ],
    template_only: Annotated[
        bool, typer.Option("--template-only", "-t", help="The template and nothing else, byte for byte.")
    ] = False,
    at: Annotated[
        str | None,
        typer.Option(
            help="What it meant at a time, e.g. 2026-11-25T08:30, or how long ago, e.g. 10m.",
            metavar="TIME",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a version: what it says and what is known of it."""
    with session.client() as client:
        version = _resolve(client, ref) if at is None else client.load_prompt_as_of(ref, inputs.moment(at))
    if session.out.json:
        session.out.document(forms.version(version))
    elif template_only:
        session.out.raw(version.content.template)
    else:
        session.out.pairs(_facts(version))
        session.out.line("")
        session.out.block("\n\n".join(map(readable, version.template)) if version.is_chat else version.template)
        for warning in version.warnings:
            session.out.warning(warning)


def _resolve(client: "Client", ref: str) -> "PromptVersion":
    """In one call, without the watch that load_prompt begins for the calls that come after."""
    reference = inputs.reference(ref)
    if isinstance(reference.selector, int):
        return client.get_prompt_version(reference.name, reference.selector)
    return client.get_prompt_version_by_alias(reference.name, reference.selector)


def _facts(version: "PromptVersion") -> list[tuple[str, Cell]]:
    facts: list[tuple[str, Cell]] = [
        ("name", version.name),
        ("version", version.version),
        ("aliases", version.aliases),
        ("message", version.commit_message),
        ("author", version.author),
        ("created", When(version.creation_timestamp)),
        ("variables", version.variables),
        ("size", _size(version)),
        ("uri", version.uri),
        ("digest", version.digest),
    ]
    if version.syntax:
        facts.append(("syntax", version.syntax))
    if version.includes:
        facts.append(("includes", [f"{one.name}/{one.version}" for one in version.includes]))
    facts += [(f"tag {key}", value) for key, value in version.tags.items()]
    if version.response_format is not None:
        facts.append(("response format", json.dumps(version.response_format, ensure_ascii=False)))
    if version.model_config is not None:
        facts.append(("model config", json.dumps(version.model_config, ensure_ascii=False)))
    return facts


def search(
    session: Session,
    filter: Annotated[
        str,
        typer.Argument(
            help="E.g. \"tags.use_case = 'billing' AND latest = true\", \"name LIKE 'telco%'\"; empty for all.",
            metavar="FILTER",
            show_default=False,
        ),
    ] = "",
    prompts: Annotated[bool, typer.Option("--prompts", help="Prompts, one row each, instead of versions.")] = False,
    order_by: Annotated[
        list[str] | None,
        typer.Option(help="A field to order by, e.g. 'created_at DESC'; may be repeated.", metavar="FIELD"),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, metavar="N")] = 100,
) -> None:
    """Find versions, newest first within a name, or prompts, by a filter."""
    with session.client() as client:
        if prompts:
            _show_prompts(session, list(islice(client.list_prompts("", filter, order_by or ()), limit)))
            return
        found = list(client.search_prompts(filter, order_by or (), limit))
    if session.out.json:
        session.out.document([forms.version(one) for one in found])
        return
    if not found and session.out.for_people:
        session.out.note("nothing matches")
        return
    session.out.table(
        ("NAME", "VERSION", "ALIASES", "AUTHOR", "CREATED", "MESSAGE", "TAGS"),
        (
            (
                one.name,
                one.version,
                one.aliases,
                one.author,
                When(one.creation_timestamp),
                one.commit_message,
                one.tags,
            )
            for one in found
        ),
    )


def versions(
    session: Session, name: Annotated[str, typer.Argument(help="Prompt's name.", metavar="NAME", show_default=False)]
) -> None:
    """List a prompt's versions, newest first."""
    with session.client() as client:
        found = list(client.list_prompt_versions(name))
    if session.out.json:
        session.out.document([forms.version(one) for one in found])
        return
    session.out.table(
        ("VERSION", "ALIASES", "AUTHOR", "CREATED", "MESSAGE", "TAGS", "SIZE"),
        (
            (
                one.version,
                one.aliases,
                one.author,
                When(one.creation_timestamp),
                one.commit_message,
                one.tags,
                _size(one),
            )
            for one in found
        ),
    )


def dependents(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(help="A prompt's name, or name/3 for a version.", metavar="NAME[/VERSION]", show_default=False),
    ],
) -> None:
    """List what includes a prompt, by the version that it includes."""
    name, version = inputs.name_or_version(what)
    with session.client() as client:
        found = list(client.prompt_dependents(name, version))
    if session.out.json:
        session.out.document([forms.dependent(one) for one in found])
        return
    if not found and session.out.for_people:
        session.out.note(f"nothing includes {what}")
        return
    session.out.table(
        ("VERSION", "INCLUDED BY", "ITS VERSION"), ((one.version, one.by_name, one.by_version) for one in found)
    )


def list_(
    session: Session,
    prefix: Annotated[
        str, typer.Argument(help="Only prompts whose name begins so.", metavar="PREFIX", show_default=False)
    ] = "",
) -> None:
    """List prompts, in order of their names."""
    with session.client() as client:
        found = list(client.list_prompts(prefix))
    if not found and session.out.for_people and not session.out.json:
        session.out.note("no prompts" + (f" whose name begins with {prefix}" if prefix else ""))
        return
    _show_prompts(session, found)


def _show_prompts(session: Session, found: "list[Prompt]") -> None:
    if session.out.json:
        session.out.document([forms.prompt(one) for one in found])
        return
    session.out.table(
        ("NAME", "LATEST", "ALIASES", "AUTHOR", "CREATED", "UPDATED", "TAGS"),
        (
            (
                one.name,
                one.latest_version,
                [f"{alias}={version}" for alias, version in one.aliases.items()]
                + [f"{alias}={target(None, split)}" for alias, split in one.splits.items()],
                one.author,
                When(one.creation_timestamp),
                When(one.last_updated_timestamp),
                one.tags,
            )
            for one in found
        ),
    )


def _size(version: "PromptVersion") -> Size:
    return Size(len(version.content.template.encode()))


def add_to(app: typer.Typer) -> None:
    command(app, "get")(get)
    command(app, "search")(search)
    command(app, "versions")(versions)
    command(app, "list")(list_)
    command(app, "dependents")(dependents)
