"""`promptwire register`."""

from typing import Annotated

import typer

from promptwire.cli import forms, inputs
from promptwire.cli.session import Session, command


def register(
    session: Session,
    name: Annotated[
        str, typer.Argument(help="Prompt's name; folders are parted by /.", metavar="NAME", show_default=False)
    ],
    file: Annotated[
        str | None, typer.Argument(help="File with the template; - is stdin.", metavar="FILE", show_default=False)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="The template itself, with {{variable}} placeholders.", metavar="TEXT"),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="The template is a JSON array of messages.")] = False,
    syntax: Annotated[
        str | None, typer.Option(help="jinja2; left out, it is {{variable}}.", metavar="SYNTAX", show_default=False)
    ] = None,
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Why this version exists.", metavar="TEXT")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="A tag of this version; may be given again.", metavar="KEY=VALUE"),
    ] = None,
    response_format: Annotated[
        str | None, typer.Option(help="JSON Schema of the expected answer, in a file.", metavar="FILE")
    ] = None,
    model_config: Annotated[
        str | None,
        typer.Option(help="Model settings: a JSON object, or @ and the file that has it.", metavar="JSON|@FILE"),
    ] = None,
) -> None:
    """Add a version to a prompt; the first one makes the prompt."""
    text = inputs.template(file, template)
    given = inputs.messages(text) if chat else text
    tags = inputs.tags(tag or ())
    schema = inputs.json_object(response_format, "--response-format", file_unless_json=True)
    settings = inputs.json_object(model_config, "--model-config")
    with session.client() as client:
        made = client.register_prompt(name, given, message, tags, schema, settings, syntax)
    if session.out.json:
        session.out.document({**forms.version(made), "warnings": list(made.warnings)})
        return
    session.out.line(f"registered {made.name} version {made.version}")
    session.out.line(f"variables: {', '.join(made.variables) or 'none'}")
    if made.includes:
        session.out.line(f"includes: {', '.join(f'{one.name}/{one.version}' for one in made.includes)}")
    for warning in made.warnings:
        session.out.warning(warning)


def add_to(app: typer.Typer) -> None:
    command(app, "register")(register)
