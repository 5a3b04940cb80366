"""Times on the command line: ISO 8601 or how long ago; a number of seconds or the like is none."""

from datetime import UTC

import pytest

from promptwire.cli import inputs
from promptwire.cli.failures import UsageError


@pytest.mark.parametrize(
    "text", ["1764344000", "1764344000500", "1764344000500000", "0", "1", "9" * 5_000, "176434400"]
)
def test_a_number_is_not_taken_for_a_time(text: str) -> None:
    with pytest.raises(UsageError, match="not a number of seconds"):
        inputs.moment(text)


@pytest.mark.parametrize(
    "text", ["2026-11-25T08:30", "2026-11-25", "20261125", "2026-11-25T08:30:00+02:00", "10m", "7d"]
)
def test_times_are_taken(text: str) -> None:
    assert inputs.moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "\udcff", "2026-13-01", "99999999999d", "999999999d", "0000-00-00", "9999-12-31T23:59-23:59"],
)
def test_what_is_no_time_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError):
        inputs.moment(text)
