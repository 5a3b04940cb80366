"""`promptwire serve`: settings, then one process or several."""

import sys
from typing import Any

from promptwire_service import logs
from promptwire_service.config import Settings, SettingsError, load
from promptwire_service.process import run_to_the_end


def run(**given: Any) -> int:
    """What was given as flags (None is "not given"), then the environment, then `serve` or `supervise`."""
    try:
        settings = load(**given)
        _check_platform(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    logs.set_up(settings.log_format, settings.log_level)
    if settings.workers == 1:
        from promptwire_service.server import serve

        return run_to_the_end(serve(settings))
    from promptwire_service.workers.supervisor import supervise

    return run_to_the_end(supervise(settings))


def _check_platform(settings: Settings) -> None:
    if settings.workers > 1 and sys.platform != "linux":
        raise SettingsError(
            f"--workers: {settings.workers} need Linux, which spreads connections over them; serve with 1"
        )
