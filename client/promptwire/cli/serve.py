"""`promptwire serve`: the only door from the client's package to the service's, opened when it is used."""

from typing import Annotated

import typer

from promptwire.cli.failures import REFUSED
from promptwire.cli.output import Output


def serve(
    listen: Annotated[
        str | None,
        typer.Option(
            help="Where gRPC listens; port 0 takes a free one. Default: 127.0.0.1:50051.", metavar="HOST:PORT"
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Serve without authentication and TLS on an address that other machines reach."
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            help="embedded, or the URL of a Redis or Valkey server; one with a password goes into $PROMPTWIRE_STORE. "
            "Default: embedded.",
            metavar="URL",
        ),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            help="Directory of the embedded store. Default: $XDG_DATA_HOME/promptwire, or ~/.local/share/promptwire.",
            metavar="DIR",
        ),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            help="What an acknowledged write survives: fsync, replicated or none. Default: fsync.", metavar="MODE"
        ),
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            help="With --durability replicated: how many replicas have to have a write. Default: 1.", metavar="N"
        ),
    ] = None,
    replica_timeout_seconds: Annotated[
        str | None, typer.Option(help="How long a write waits for them, at most 4. Default: 1.", metavar="SECONDS")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Processes that serve on the port, 1-64; SIGHUP replaces them. Default: 1.", metavar="N"),
    ] = None,
    cache_max_bytes: Annotated[
        str | None,
        typer.Option(
            help="Most that the caches of a worker hold, e.g. 1GiB; at least 1MiB. Default: 256MiB.", metavar="BYTES"
        ),
    ] = None,
    connection_age_seconds: Annotated[
        str | None,
        typer.Option(
            help="When clients are asked to connect anew, to spread over workers; 0 is never. Default: 600.",
            metavar="SECONDS",
        ),
    ] = None,
    max_connections: Annotated[
        str | None,
        typer.Option(
            help="Most clients that a worker keeps connected. Default: 20000, or what the limit of open files allows.",
            metavar="N",
        ),
    ] = None,
    retention_seconds: Annotated[
        str | None,
        typer.Option(
            help="How long what is deleted can be undeleted before it is purged. Default: 2592000, 30 days.",
            metavar="SECONDS",
        ),
    ] = None,
    drain_seconds: Annotated[
        str | None,
        typer.Option(help="How long calls under way may take to end at a shutdown. Default: 5.", metavar="SECONDS"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. Default: info.", metavar="LEVEL")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="console, for people, or json. Default: console.", metavar="FORMAT")
    ] = None,
) -> None:
    """Run the registry, until Ctrl-C.

    One line on stdout tells the address once it serves. Each option is also an environment variable, as
    PROMPTWIRE_DATA_DIR is for --data-dir; an option counts more.
    """
    # Each value is checked by the service's settings, which know the variables too; None is "not given".
    given = {
        "listen": listen,
        "insecure": insecure or None,
        "store": store,
        "data_dir": data_dir,
        "durability": durability,
        "replicas": replicas,
        "replica_timeout_seconds": replica_timeout_seconds,
        "workers": workers,
        "cache_max_bytes": cache_max_bytes,
        "connection_age_seconds": connection_age_seconds,
        "max_connections": max_connections,
        "retention_seconds": retention_seconds,
        "drain_seconds": drain_seconds,
        "log_level": log_level,
        "log_format": log_format,
    }
    try:
        from promptwire_service.main import run

        code = run(**given)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("promptwire.", "promptwire_service.")):
            raise  # not an extra that is missing but a file of ours
        Output(json=False).error("promptwire serve needs the server parts: pip install 'promptwire[server]'")
        raise typer.Exit(REFUSED) from error
    raise typer.Exit(code)


def add_to(app: typer.Typer) -> None:
    app.command("serve")(serve)
