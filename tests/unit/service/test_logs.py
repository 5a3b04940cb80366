"""Log lines: one form for ours and everybody else's, and no secret in any."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from promptwire_service import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # Taken away first: set_up would close pytest's own.
    root.handlers[:] = []
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_json_lines_carry_event_level_logger_and_time(stream: io.StringIO) -> None:
    logs.set_up("json", stream=stream)
    structlog.get_logger("ours").info("served", method="Resolve", seconds=1.5)
    logging.getLogger("theirs").warning("lost %s", "it")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["logger"], ours["method"], ours["seconds"]) == (
        "served",
        "info",
        "ours",
        "Resolve",
        1.5,
    )
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost it", "warning", "theirs")
    assert ours["timestamp"].endswith("Z")


def test_where_stderr_is_no_terminal_the_console_form_is_key_value_a_line(stream: io.StringIO) -> None:
    logs.set_up("console", stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("ours").exception("failed", name="a b")
    (line,) = stream.getvalue().splitlines()
    assert "level=error event=failed" in line
    assert 'name="a b"' in line
    assert "ValueError" in line


def test_a_level_holds_for_ours_and_theirs(stream: io.StringIO) -> None:
    logs.set_up("json", "warning", stream)
    structlog.get_logger("ours").info("no")
    logging.getLogger("theirs").info("no")
    structlog.get_logger("ours").warning("yes")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_stay_out_of_every_line(stream: io.StringIO, log_format: logs.Format) -> None:
    logs.set_up(log_format, stream=stream)
    log = structlog.get_logger("ours")
    log.info("store", url="redis://user:hunter2@host:6379/0", token="hunter2", nested={"password": "hunter2"})
    log.info("redis://:hun/ter2@host", errors=["rediss://a:hunter2@b", OSError("unix://:hunter2@/x")])
    log.info("call", headers="Authorization: Bearer hunter2")
    logging.getLogger("theirs").warning("cannot reach %s", "redis://:hunter2@host")
    try:
        raise OSError("redis://:hunter2@host is away")
    except OSError:
        log.exception("failed")
        logging.getLogger("theirs").exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "ter2" not in text
    assert "host:6379/0" in text


def test_a_reference_is_no_secret(stream: io.StringIO) -> None:
    logs.set_up("json", stream=stream)
    structlog.get_logger("ours").info("resolved", reference="prompts:/team/greeting@production", count=3, none=None)
    entry = json.loads(stream.getvalue())
    assert (entry["reference"], entry["count"], entry["none"]) == ("prompts:/team/greeting@production", 3, None)


def test_lines_of_one_process_among_several_say_which(stream: io.StringIO) -> None:
    logs.set_up("json", stream=stream, worker=2)
    structlog.get_logger("ours").info("served")
    logging.getLogger("theirs").warning("lost")
    assert [json.loads(line)["worker"] for line in stream.getvalue().splitlines()] == [2, 2]
