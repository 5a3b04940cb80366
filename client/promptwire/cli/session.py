"""What every command begins with: the options that all of them take, the way to the service, the way out."""

import inspect
import os
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_args

import typer

from promptwire.cli.failures import DEBUG, UsageError, reported
from promptwire.cli.output import Output
from promptwire.errors import InvalidArgumentError

if TYPE_CHECKING:
    from promptwire.client import Client

Params = ParamSpec("Params")


@dataclass(frozen=True, slots=True, kw_only=True)
class Globals:
    """Options of every command; what was not given is None, and then the client's own environment variables count."""

    target: str | None = None
    namespace: str | None = None
    token: str | None = field(default=None, repr=False)
    actor: str | None = None
    timeout: float | None = None
    json: bool = False

    def over(self, outer: "Globals") -> "Globals":
        """Those of a command, and where it has none, those before it: the nearer one counts."""
        return Globals(
            target=outer.target if self.target is None else self.target,
            namespace=outer.namespace if self.namespace is None else self.namespace,
            token=outer.token if self.token is None else self.token,
            actor=outer.actor if self.actor is None else self.actor,
            timeout=outer.timeout if self.timeout is None else self.timeout,
            json=outer.json or self.json,
        )


CONNECT_SECONDS = 2.0


class Session:
    """One command's run."""

    def __init__(self, given: Globals) -> None:
        self.given = given
        self.out = Output(given.json)

    def client(self, timeout: float | None = None) -> "Client":
        """To be used in a `with`. `timeout`, in seconds, is for when none was given."""
        return connect(self.given.over(Globals(timeout=timeout)))


def connect(given: Globals) -> "Client":
    """The one place where the command line makes a client; tests put another one here."""
    if not os.environ.get(DEBUG):
        # gRPC's own log lines on stderr are for its developers. It reads this once, when it is imported.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from promptwire.client import Client

    connect = partial(
        Client,
        given.target,
        namespace=given.namespace,
        token=given.token,
        actor=given.actor,
        # A person or a script at a wrong address should not have to wait for the whole timeout.
        connect_timeout_seconds=CONNECT_SECONDS,
    )
    try:
        return connect() if given.timeout is None else connect(timeout_seconds=given.timeout)
    except InvalidArgumentError as error:
        raise UsageError(str(error)) from error


def _option(help: str, metavar: str | None = None) -> Any:
    return typer.Option(help=help, metavar=metavar)


def _options(
    target: Annotated[
        str | None,
        _option("Where the service listens. Default: $PROMPTWIRE_TARGET, or else localhost:50051.", "HOST:PORT"),
    ] = None,
    namespace: Annotated[
        str | None, _option("Whose prompts are meant. Default: $PROMPTWIRE_NAMESPACE, or else default.", "NAME")
    ] = None,
    token: Annotated[
        str | None,
        _option("Bearer token. Better in $PROMPTWIRE_TOKEN, which other users of the machine do not see.", "TOKEN"),
    ] = None,
    actor: Annotated[
        str | None, _option("Who writes, for the history. Default: $PROMPTWIRE_ACTOR, or else user@host.", "WHO")
    ] = None,
    timeout: Annotated[
        float | None, _option("How long a call may take, retries included. Default: 10.", "SECONDS")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON, and tell errors in JSON.")] = False,
) -> None:
    """Only its signature is used: the options as typer knows them."""


def _hidden(parameter: inspect.Parameter) -> inspect.Parameter:
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.hidden = True
    return parameter.replace(annotation=Annotated[kind, option])


_SHOWN = tuple(inspect.signature(_options).parameters.values())
_HIDDEN = tuple(map(_hidden, _SHOWN))
_NAMES = tuple(parameter.name for parameter in _SHOWN)
_EPILOG = f"Also takes {', '.join(f'--{name}' for name in _NAMES)}: see promptwire --help."
_CONTEXT = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def command(
    app: typer.Typer, name: str
) -> Callable[[Callable[Concatenate[Session, Params], None]], Callable[Concatenate[Session, Params], None]]:
    """Makes a function a command that takes every command's options, too; it gets a Session and its own values."""

    def register(
        function: Callable[Concatenate[Session, Params], None],
    ) -> Callable[Concatenate[Session, Params], None]:
        def run(context: typer.Context, **values: Any) -> None:
            session = Session(_taken(values).over(context.obj or Globals()))
            with reported(session.out):
                function(session, **values)  # type: ignore[call-arg]

        own = tuple(inspect.signature(function).parameters.values())[1:]
        _give_signature(run, function.__doc__, (*own, *_HIDDEN))
        app.command(name, epilog=_EPILOG)(run)
        return function

    return register


def group(app: typer.Typer, doc: str, root: Callable[..., None] | None = None) -> None:
    """Makes the options of every command usable before the names of a group's commands, too.

    `root` has the options of the root alone, whose help is the one that shows them all.
    """

    def run(context: typer.Context, **values: Any) -> None:
        context.obj = _taken(values).over(context.obj or Globals())
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(2)

    own = (*inspect.signature(root).parameters.values(), *_SHOWN) if root else _HIDDEN
    _give_signature(run, doc, own)
    app.callback(invoke_without_command=True, epilog=None if root else _EPILOG)(run)


def _taken(values: dict[str, Any]) -> Globals:
    """Takes the options of every command out of the values."""
    return Globals(**{name: values.pop(name) for name in _NAMES})


def _give_signature(function: Any, doc: str | None, own: tuple[inspect.Parameter, ...]) -> None:
    """Typer makes options out of a signature; this is one that no single function has."""
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (_CONTEXT, *own)]
    function.__doc__ = doc
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
