"""How a command says no: an exit code, one line that says what is wrong, and what to do about it if that is known."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from promptwire.cli.output import Output, discard_stdout
from promptwire.errors import InvalidArgumentError, PromptwireError, StaleError, UnavailableError

REFUSED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130
"""128 and SIGINT, as shells have it."""

DEBUG: Final = "PROMPTWIRE_DEBUG"
"""With this variable set, what failed is shown with its traceback."""

_HINTS: Final = {
    "PROMPT_NOT_FOUND": "`promptwire list` shows the prompts of a namespace; --namespace picks another one",
    "VERSION_NOT_FOUND": "`promptwire versions {name}` shows the versions there are",
    "ALIAS_NOT_FOUND": "`promptwire alias list {name}` shows the aliases there are",
    "ALIAS_CONFLICT": "somebody moved it; `promptwire alias list {name}` shows where it points",
    "COMPACTED": "changes are kept from revision {floor} on",
    "EPOCH_CHANGED": "without --since, `promptwire watch` begins now",
}


class UsageError(Exception):
    """The command line, or a file that it names, cannot be what was meant; nothing was sent."""


@contextmanager
def reported(out: Output) -> Iterator[None]:
    """Runs a command; whatever it raises becomes a line on stderr and typer.Exit with the code."""
    try:
        yield
        sys.stdout.flush()
    except UsageError as error:
        usage(out, str(error))
        raise typer.Exit(USAGE) from error
    except PromptwireError as error:
        _debug(error)
        refusal(out, error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        # Who reads has read enough, as `head` does; the command itself is done.
        discard_stdout()
        raise typer.Exit(0) from error
    except typer.Exit:
        raise
    except Exception as error:
        _debug(error)
        unexpected(out, error)
        raise typer.Exit(REFUSED) from error


def exit_code(error: PromptwireError) -> int:
    if isinstance(error, StaleError):
        return UNREACHABLE
    # A store that is full answers: it refuses.
    return UNREACHABLE if isinstance(error, UnavailableError) and error.code != "RESOURCE_EXHAUSTED" else REFUSED


def refusal(out: Output, error: PromptwireError) -> None:
    violations = error.violations if isinstance(error, InvalidArgumentError) else []
    out.error(
        str(error),
        hint=_hint(error),
        reason=error.reason or error.code or "ERROR",
        metadata=error.metadata,
        violations=[{"field": field, "description": description} for field, description in violations],
    )


def usage(out: Output, message: str, hint: str = "") -> None:
    out.error(message, hint=hint, reason="USAGE", metadata={}, violations=[])


def unexpected(out: Output, error: Exception) -> None:
    if isinstance(error, OSError):
        out.error(str(error), reason="OS_ERROR", metadata={}, violations=[])
        return
    what = f"{type(error).__name__}: {error}"
    hint = f"this is a bug; {DEBUG}=1 shows where it is"
    out.error(f"unexpected {what}", hint=hint, reason="BUG", metadata={}, violations=[])


def _hint(error: PromptwireError) -> str:
    if isinstance(error, UnavailableError) and not error.reason:
        return "is the service running? promptwire serve"
    try:
        return _HINTS.get(error.reason, "").format_map(error.metadata)
    except (KeyError, ValueError):
        return ""


def _debug(error: Exception) -> None:
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
