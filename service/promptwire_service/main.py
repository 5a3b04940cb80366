"""`promptwire serve`: settings, then one process or several."""

import sys
from typing import Any

import structlog

from promptwire_service import logs
from promptwire_service.config import Settings, SettingsError, load, split_address
from promptwire_service.ports import is_loopback
from promptwire_service.process import run_to_the_end

_log = structlog.get_logger(__name__)


def run(**given: Any) -> int:
    """What was given as flags (None is "not given"), then the environment, then `serve` or `supervise`."""
    try:
        settings = load(**given)
        _check_platform(settings)
        reached = _check_exposure(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    logs.set_up(settings.log_format, settings.log_level)
    if reached:
        _log.warning("INSECURE: whoever reaches this address may read and change every prompt", listen=settings.listen)
    if settings.workers == 1:
        from promptwire_service.server import serve

        return run_to_the_end(serve(settings))
    from promptwire_service.workers.supervisor import supervise

    return run_to_the_end(supervise(settings))


def _check_exposure(settings: Settings) -> bool:
    """Says whether other machines reach the address. Raises SettingsError where that was not asked for."""
    reached = not is_loopback(split_address(settings.listen)[0])
    if reached and not settings.insecure:
        raise SettingsError(
            f"--listen: whoever reaches {settings.listen} could read and change every prompt, since there is no "
            "authentication and no TLS yet; listen on 127.0.0.1, or say --insecure in a network that you trust"
        )
    return reached


def _check_platform(settings: Settings) -> None:
    if settings.workers > 1 and sys.platform != "linux":
        raise SettingsError(
            f"--workers: {settings.workers} need Linux, which spreads connections over them; serve with 1"
        )
