"""What a command line names, read: files, stdin, JSON, tags, references. Raises UsageError."""

import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from promptwire.cli.failures import UsageError
from promptwire.domain import limits
from promptwire.domain.references import Reference, parse_reference
from promptwire.domain.strict_json import InvalidJsonError, parse_json
from promptwire.domain.violations import InvalidValueError
from promptwire.errors import InvalidArgumentError

STDIN: Final = "-"
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])\Z")


def template(file: str | None, text: str | None) -> str:
    """Exactly as it is in the file, on stdin (`-`) or on the command line."""
    if text is not None:
        if file is not None:
            raise UsageError(f"the template is given twice: as {_called(file)} and with --template")
        return text
    if file is None:
        raise UsageError("no template: name a file, or - for stdin, or use --template")
    return read_text(file)


def read_text(file: str) -> str:
    """A file, or stdin for `-`; not more of it than a prompt may have."""
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(limits.CONTENT_MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(limits.CONTENT_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{_called(file)} cannot be read: {error.strerror or error}") from error
    if len(content) > limits.CONTENT_MAX_BYTES:
        raise UsageError(f"{_called(file)} is over {limits.CONTENT_MAX_BYTES:,} bytes, the most that a prompt may have")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        wrong = content[error.start]
        raise UsageError(f"{_called(file)} is not UTF-8: byte 0x{wrong:02x} at offset {error.start}") from error


def json_object(given: str | None, option: str, *, file_unless_json: bool = False) -> dict[str, Any] | None:
    """`{...}` itself or, after `@`, the file that has it. With `file_unless_json` the `@` may be left out."""
    if given is None:
        return None
    source, text = option, given
    if given.startswith("@") or (file_unless_json and not given.lstrip().startswith("{")):
        file = given.removeprefix("@")
        source, text = _called(file), read_text(file)
    try:
        value = parse_json(text)
    except InvalidJsonError as error:
        raise UsageError(f"{source} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{source} must be a JSON object, {{...}}")
    return value


def messages(text: str) -> list[Any]:
    """Chat messages as JSON."""
    try:
        value = parse_json(text)
    except InvalidJsonError as error:
        raise UsageError(f"the messages are not JSON: {error}") from error
    if not isinstance(value, list):
        raise UsageError('the messages must be a JSON array, [{"role": ..., "content": ...}, ...]')
    return value


def tags(given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise UsageError(f"a tag is KEY=VALUE, not {one!r}")
        if key in found:
            raise UsageError(f"tag {key!r} is given twice")
        found[key] = value
    return found


def moment(text: str, option: str = "--at") -> datetime:
    """A time as ISO 8601, local unless it says otherwise; or how long ago, as in 90s, 10m, 2h, 7d."""
    if text.isdecimal() and len(text) != len("20261128"):
        raise UsageError(
            f"{option} is a time, e.g. 2026-11-25T08:30, not a number of seconds or the like; got {text!r:.60}"
        )
    try:
        if match := _AGO.match(text):
            return datetime.now(UTC) - timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{option} is a time, e.g. 2026-11-25T08:30, or how long ago, e.g. 10m, not {text!r:.60}"
        ) from error


def numbers(given: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in given:
        key, equals, value = one.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not equals or not key or not math.isfinite(number):
            raise UsageError(f"a metric is NAME=NUMBER, not {one!r}")
        if key in found:
            raise UsageError(f"metric {key!r} is given twice")
        found[key] = number
    return found


def weights(given: Iterable[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for one in given:
        version, equals, share = one.partition("=")
        try:
            weight = float(share)
        except ValueError:
            weight = -1.0
        if not equals or not (version.isascii() and version.isdecimal()) or weight < 0:
            raise UsageError(f"a share is VERSION=WEIGHT, e.g. 1=90, not {one!r}")
        if int(version) in found:
            raise UsageError(f"version {version} is given twice")
        found[int(version)] = weight
    return found


def reference(text: str) -> Reference:
    """Raises InvalidArgumentError, as the service would."""
    try:
        return parse_reference(text)
    except InvalidValueError as error:
        violation = error.violation
        raise InvalidArgumentError(str(violation), violations=[(violation.field, violation.description)]) from error


def name_or_version(text: str) -> tuple[str, int | None]:
    """`name`, or `name/3`; not an alias, which is neither."""
    parsed = reference(text)
    if isinstance(parsed.selector, int):
        return parsed.name, parsed.selector
    if "@" in text:
        raise UsageError(f"this takes a prompt's name, or name/3 for a version, not {text!r}")
    return parsed.name, None


def _called(file: str) -> str:
    return "stdin" if file == STDIN else file
