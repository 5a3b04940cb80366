"""Where log lines go and how they look: ours through structlog and everybody else's through logging, in one form, on
stderr.
"""

import logging
import re
import sys
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["console", "json"]

HIDDEN: Final = "***"
_SECRET_KEYS: Final = re.compile(r"password|passwd|secret|token|authorization|credential", re.IGNORECASE)
_URL_CREDENTIALS: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]*://)\S*@", re.IGNORECASE)
_BEARER: Final = re.compile(r"\b(?P<word>bearer)\s+\S+", re.IGNORECASE)


def set_up(log_format: Format = "console", level: str = "info", stream: TextIO | None = None, **always: Any) -> None:
    """For a process to call once, before it logs. `console` is for people on a terminal, and key=value elsewhere.

    `always` goes into each line: which of several processes it is.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        lambda _, __, event: {**event, **always},
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        # Before `shared`, so that secrets in the arguments of someone else's record are found too.
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(log_format, stream)],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Values of keys that sound secret, and credentials within URLs and headers anywhere else."""
    for key, value in event.items():
        if key.startswith("_"):
            continue
        event[key] = HIDDEN if _SECRET_KEYS.search(key) else _hide(value)
    return event


def _hide(value: Any) -> Any:
    if isinstance(value, str):
        hidden = _URL_CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", value)
        return _BEARER.sub(rf"\g<word> {HIDDEN}", hidden)
    if isinstance(value, list | tuple):
        return [_hide(item) for item in value]
    if isinstance(value, dict):
        return {key: HIDDEN if _SECRET_KEYS.search(str(key)) else _hide(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | None) else _hide(str(value))


def _renderer(log_format: Format, stream: TextIO) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
