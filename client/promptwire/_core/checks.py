"""Arguments, checked before protobuf sees them: its own complaints name no field.

Only what protobuf and JSON could not carry is refused here; the registry's rules are the service's to check, once.
"""

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from promptwire.domain import limits
from promptwire.domain.content import JINJA, SYNTAXES, Content
from promptwire.domain.references import Reference, parse_reference
from promptwire.domain.strict_json import compact_json, parse_json
from promptwire.domain.violations import InvalidValueError, shape, shown
from promptwire.errors import InvalidArgumentError
from promptwire.values import Revision

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_METRIC = re.compile(rf"[A-Za-z0-9_.\-/]{{1,{limits.METRIC_MAX_CHARS}}}\Z")
_NANOSECONDS_MIN = 100_000_000_000_000_000


def invalid(field: str, description: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{field}: {description}", violations=[(field, description)])


def text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise invalid(field, f"must be text (str); got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(field, f"must be Unicode; got a lone surrogate at index {error.start}") from None
    return value


def optional_text(value: object, field: str) -> str:
    return "" if value is None else text(value, field)


def number(value: object, field: str, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid(field, f"must be a whole number (int); got {type(value).__name__}")
    if not least <= value <= limits.VERSION_MAX:
        raise invalid(field, f"must be a whole number from {least}; got {shown(value)}")
    return value


def optional_number(value: object, field: str, least: int = 1) -> int | None:
    return None if value is None else number(value, field, least)


def selector(value: object, field: str) -> str:
    """A version's number, or an alias."""
    return value if isinstance(value, str) and text(value, field) else str(number(value, field))


def revision(value: object, field: str) -> Revision | None:
    """Returns a revision of the right shape, or None. Raises InvalidArgumentError."""
    if value is None:
        return None
    if not isinstance(value, Revision):
        raise invalid(field, f"must be a promptwire.Revision; got {type(value).__name__}")
    text(value.epoch, f"{field}.epoch")
    number(value.number, f"{field}.number", 0)
    return value


def seconds(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise invalid(field, f"must be a number of seconds above 0, at most a day; got {shown(value)}")
    return float(value)


def moment(value: object, field: str) -> int:
    """Returns milliseconds since 1970, of a number of them or an aware datetime.

    Raises InvalidArgumentError for what can only be another unit: `time.time()` is seconds.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise invalid(field, "must have a time zone, e.g. datetime.now(timezone.utc); got one without")
        if (milliseconds := (value - _EPOCH) // timedelta(milliseconds=1)) < 0:
            raise invalid(field, f"must not be before 1970; got {value.isoformat()}")
        return milliseconds
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise invalid(field, f"must be a datetime, or milliseconds since 1970; got {shown(value)}")
    if 0 < value < limits.TIME_MIN_MS:
        raise invalid(field, f"must be milliseconds since 1970, or a datetime; {shown(value)} looks like seconds")
    if value > limits.TIME_MAX_MS:
        looks = "microseconds" if value < _NANOSECONDS_MIN else "nanoseconds"
        raise invalid(field, f"must be milliseconds since 1970, or a datetime; {shown(value)} looks like {looks}")
    return int(value)


def weights(value: object) -> dict[int, float]:
    if not isinstance(value, Mapping):
        raise invalid("weights", f"must be {{version: weight}}; got {type(value).__name__}")
    for weight in value.values():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise invalid("weights", f"must be numbers; got {type(weight).__name__}")
        if not 0 <= weight <= sys.float_info.max:
            raise invalid("weights", f"must be numbers from 0; got {shown(weight)}")
    return {number(version, "weights"): float(weight) for version, weight in value.items()}


def observed(values: object, run_id: object, given_tags: object) -> tuple[dict[str, float], dict[str, str]]:
    """Values by metric, and tags, of which the run is one."""
    if not isinstance(values, Mapping) or not 1 <= len(values) <= limits.METRICS_MAX:
        raise invalid("metrics", f"must be a mapping of 1-{limits.METRICS_MAX} names to numbers; got {shown(values)}")
    numbers: dict[str, float] = {}
    for metric, value in values.items():
        if not _METRIC.match(text(metric, "metrics")):
            rule = f"must be 1-{limits.METRIC_MAX_CHARS} of A-Z a-z 0-9 _ . - /"
            raise invalid("metrics", f"a metric's name {rule} ; got {shape(metric)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= limits.METRIC_VALUE_MAX:
            most = f"{limits.METRIC_VALUE_MAX:g}"
            raise invalid(f"metrics[{metric}]", f"must be a number from -{most} to {most}; got {shown(value)}")
        numbers[metric] = float(value)
    found = {} if given_tags is None else tags(given_tags)
    if run_id is not None:
        found["run_id"] = text(run_id, "run_id")
    if len(found) > limits.METRIC_TAGS_MAX:
        raise invalid("tags", f"must be at most {limits.METRIC_TAGS_MAX}, with run_id; got {len(found)}")
    for one in (*found, *found.values()):
        if not 1 <= len(one) <= limits.METRIC_TAG_MAX_CHARS or "\0" in one:
            raise invalid(
                "tags", f"keys and values must be 1-{limits.METRIC_TAG_MAX_CHARS} characters; got {shape(one)}"
            )
    return numbers, found


def candidates(given: object, aliases: Mapping[str, int]) -> list[int]:
    """Versions, of numbers and aliases; at least two different ones."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise invalid("candidates", f"must be several versions or aliases; got {type(given).__name__}")
    found = []
    for one in given:
        if isinstance(one, str) and one not in aliases:
            known = ", ".join(sorted(aliases)[:10]) or "none"
            raise invalid("candidates", f"there is no alias {shape(one)} with one version; there are {known}")
        found.append(aliases[one] if isinstance(one, str) else number(one, "candidates"))
    if len(set(found)) != len(found) or len(found) < 2:
        raise invalid("candidates", f"must be at least two different versions; got {found}")
    return found


def share(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise invalid(field, f"must be a number between 0 and 1; got {shown(value)}")
    return float(value)


def amount(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
        raise invalid(field, f"must be a number from 0; got {shown(value)}")
    return float(value)


def one_of(**given: object) -> None:
    """Raises InvalidArgumentError when more than one of these is given."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise invalid(names[0], f"does not go with {names[1]}: give one or the other")


def tags(value: object, field: str = "tags") -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise invalid(field, f"must be a mapping of str to str; got {type(value).__name__}")
    return {text(key, field): text(item, f"{field}[{key!r}]") for key, item in value.items()}


def several(value: object, field: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise invalid(field, f"must be a list; got {type(value).__name__}")
    return list(value)


def texts(value: object, field: str) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise invalid(field, f"must be several texts, e.g. a list of str; got {type(value).__name__}")
    return [text(item, field) for item in value]


def json_object(value: object, field: str) -> str:
    """Compact JSON with sorted keys: equal values make equal bytes, and so equal digests.

    A pydantic model class stands for its JSON Schema.
    """
    if value is None:
        return ""
    if isinstance(value, type) and (schema := getattr(value, "model_json_schema", None)):
        value = schema()
    if not isinstance(value, Mapping):
        raise invalid(field, f"must be a mapping that JSON can hold; got {type(value).__name__}")
    return _json(dict(value), field, "a mapping", sort_keys=True)


def content(
    template: object, response_format: object, model_config: object, syntax: object, field: str = ""
) -> Content:
    """Of text, or of a list of messages, which becomes compact JSON."""
    of_text = isinstance(template, str)
    if not of_text and (isinstance(template, Mapping | bytes) or not isinstance(template, Sequence)):
        raise invalid(f"{field}template", f"must be text (str) or a list of messages; got {type(template).__name__}")
    if syntax not in (None, *SYNTAXES):
        raise invalid(f"{field}syntax", f"must be {JINJA!r}, or None for {{{{variable}}}}; got {shown(syntax)}")
    return Content(
        text=text(template, f"{field}template") if of_text else "",
        messages_json="" if of_text else _json(list(cast("Sequence[Any]", template)), f"{field}template", "messages"),
        response_format_json=json_object(response_format, f"{field}response_format"),
        model_config_json=json_object(model_config, f"{field}model_config"),
        syntax=str(syntax or ""),
    )


def _json(value: object, field: str, what: str, *, sort_keys: bool = False) -> str:
    try:
        encoded = compact_json(value, sort_keys=sort_keys)
        # As the service will read it: two keys may be written alike, 1 and "1".
        parse_json(text(encoded, field))
    except InvalidArgumentError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid(field, f"must be {what} that JSON can hold; {error}") from error
    return encoded


def key(value: object) -> str:
    """A reference as a key of the table: exactly a str, since a subclass could bring its own idea of equality."""
    return str.__str__(text(value, "reference"))


def reference(value: str) -> Reference:
    try:
        return parse_reference(text(value, "reference"))
    except InvalidValueError as error:
        violation = error.violation
        raise invalid(violation.field, violation.description) from error


def with_version(written: object, version: object) -> str:
    """`prompts:/name` and 3 make `prompts:/name/3`. Cheap, since it stands before a hit."""
    prefix, chosen = text(written, "reference"), number(version, "version")
    last = prefix.rpartition("/")[2]
    if "@" in last or (last.isascii() and last.isdigit()):
        raise invalid("version", f"the reference picks one already: {shape(prefix)}; give one or the other")
    return f"{prefix}/{chosen}"


def wait_seconds(value: object, most: float = 600.0) -> float | None:
    """Raises InvalidArgumentError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise invalid("wait_for_agents", f"must be seconds, 0 to {most:g}; got {shown(value)}")
    return float(value)
