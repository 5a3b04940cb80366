"""`promptwire` on the command line: one file a command or family of them. docs/cli.md describes each.

Starting has to be quick, so nothing here imports grpc, rich or the service before a command needs it.
"""

import sys
from importlib.util import find_spec


def main() -> None:
    """The console's entry point: exits 0 done, 1 refused, 2 wrong usage, 3 out of reach."""
    if not (find_spec("typer") and find_spec("rich")):
        print("promptwire's command line needs more packages: pip install 'promptwire[cli]'", file=sys.stderr)
        sys.exit(1)
    from promptwire.cli.app import app

    app(prog_name="promptwire")
