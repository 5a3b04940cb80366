"""Arguments that cannot be what was meant: refused with their name, however large or strange they are."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from promptwire import InvalidArgumentError
from promptwire._core import checks

NOW = 1_764_344_000.5
HUGE = 10**5_000
"""Python refuses to write it in decimal digits."""


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_moment_is_a_datetime_or_milliseconds() -> None:
    assert checks.moment(datetime.fromtimestamp(NOW, UTC), "at") == 1_764_344_000_500
    assert checks.moment(1_764_344_000_500, "at") == 1_764_344_000_500
    assert checks.moment(datetime(1970, 1, 2, tzinfo=UTC), "at") == 86_400_000
    assert checks.moment(datetime.max.replace(tzinfo=UTC), "at") == 253_402_300_799_999
    assert checks.moment(0, "at") == 0


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (NOW, "looks like seconds"),
        (int(NOW), "looks like seconds"),
        (1, "looks like seconds"),
        (NOW * 1e6, "looks like microseconds"),
        (int(NOW) * 10**9, "looks like nanoseconds"),
        (HUGE, "looks like nanoseconds"),
        (-1, "milliseconds since 1970"),
        (float("nan"), "milliseconds since 1970"),
        (float("inf"), "milliseconds since 1970"),
        (True, "milliseconds since 1970"),
        ("2026-11-28", "milliseconds since 1970"),
        (datetime(2026, 11, 28), "time zone"),
        (datetime(1764, 11, 28, tzinfo=UTC), "not be before 1970"),
        (datetime.min.replace(tzinfo=UTC), "not be before 1970"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_moment_in_another_unit_is_refused_and_the_unit_named(value: object, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says) as caught:
        checks.moment(value, "at")
    assert caught.value.violations[0][0] == "at"


def test_the_clocks_of_python_are_told_apart() -> None:
    with pytest.raises(InvalidArgumentError, match="looks like seconds"):
        checks.moment(time.time(), "at")
    with pytest.raises(InvalidArgumentError, match="looks like nanoseconds"):
        checks.moment(time.time_ns(), "at")
    assert checks.moment(time.time_ns() // 1_000_000, "at")


@pytest.mark.parametrize(
    "value", [HUGE, -HUGE, Unprintable(), float("nan"), "\ud800", b"x", None], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize(
    "check",
    [
        lambda value: checks.number(value, "x"),
        lambda value: checks.seconds(value, "x"),
        lambda value: checks.moment(value, "x"),
        lambda value: checks.share(value, "x"),
        lambda value: checks.amount(value, "x"),
        lambda value: checks.weights({1: value}),
        lambda value: checks.weights({value: 1}),
        lambda value: checks.observed({"m": value}, None, None),
        lambda value: checks.tags({"k": value}),
        lambda value: checks.json_object({"a": value} if value is not None else 1, "x"),
        lambda value: checks.wait_seconds(value if value is not None else -1),
        lambda value: checks.content("x", None, None, value or 1),
    ],
)
def test_what_cannot_be_sent_is_refused_whatever_it_is(check: Callable[[object], Any], value: object) -> None:
    if isinstance(value, str):
        value = "\ud800"
    with pytest.raises(InvalidArgumentError) as caught:
        check(value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"temperature": float("inf")}, "not JSON compliant"),
        ({"a": 2**64}, "from -2"),
        ({"a": HUGE}, "JSON can hold"),
        ({1: 1, "1": 2}, "JSON can hold"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
    ],
    ids=range(6),
)
def test_json_that_could_not_be_read_back_is_refused_before_it_is_sent(value: dict[Any, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        checks.json_object(value, "model_config")


def test_json_nested_too_deep_is_refused_before_it_is_sent() -> None:
    for depth in (65, 150, 900, 100_000):
        value: Any = 1
        for _ in range(depth):
            value = [value]
        with pytest.raises(InvalidArgumentError):
            checks.json_object({"a": value}, "model_config")
