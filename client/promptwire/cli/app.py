"""The command line as a whole: its commands, and what is said when it is used wrongly."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import typer
from typer.core import TyperGroup

from promptwire import __version__
from promptwire.cli import (
    alias,
    as_code,
    deleting,
    diff,
    failures,
    importing,
    metrics,
    reading,
    register,
    release,
    serve,
    status,
    tag,
    watch,
)
from promptwire.cli.output import Output
from promptwire.cli.session import group


@runtime_checkable
class _ParseError(Protocol):
    """What typer raises for a command line that it cannot read: click's, or its own copy, which has no public name."""

    exit_code: int

    def format_message(self) -> str: ...


class _Root(TyperGroup):
    """Tells of wrong usage as commands tell of all else: in one line, in JSON with --json, with exit code 2."""

    def main(self, *args: Any, **extra: Any) -> Any:
        given: Sequence[str] | None = extra.get("args") or (args[0] if args else None)
        words = list(sys.argv[1:] if given is None else given)
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.Abort:
            code = failures.INTERRUPTED
        except Exception as error:
            if not isinstance(error, _ParseError):
                raise
            self._report(error, Output("--json" in words))
            code = error.exit_code
        sys.exit(code)

    def _report(self, error: _ParseError, out: Output) -> None:
        message = error.format_message().rstrip(".")
        if not message:
            return  # a group without a command has shown its help
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "promptwire"
        failures.usage(out, message[0].lower() + message[1:], f"{command} --help shows how it is used")


app = typer.Typer(
    cls=_Root,
    name="promptwire",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 service or store out of reach.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"promptwire {__version__}")
        raise typer.Exit()


def _own_options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Only its signature is used."""


group(
    app, "Prompts for fleets of LLM agents: immutable versions, movable aliases, pushed to every agent.", _own_options
)

serve.add_to(app)
register.add_to(app)
reading.add_to(app)
diff.add_to(app)
app.add_typer(alias.app, name="alias")
app.add_typer(tag.app, name="tag")
release.add_to(app)
metrics.add_to(app)
as_code.add_to(app)
importing.add_to(app)
deleting.add_to(app)
status.add_to(app)
watch.add_to(app)
