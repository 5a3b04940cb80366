"""What supervisor and worker say to each other."""

import pytest

from promptwire_service.config import load
from promptwire_service.workers.messages import Begin, Failed, HandOver, Message, Serving, decode, encode


@pytest.mark.parametrize(
    "message",
    [
        Begin(1, load(store="redis://:hunter2@host:6379/0", workers=2).model_dump(mode="json"), "somewhere"),
        HandOver(),
        Serving("127.0.0.1:50051", "redis://host:6379/0", "fsync"),
        Failed("cannot listen on 127.0.0.1:1: permission denied\n", 1),
    ],
)
def test_a_message_is_a_line_and_comes_as_it_was_sent(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_settings_come_as_they_were_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        listen="[::1]:1", cache_max_bytes="1GiB", durability="none", data_dir="/srv/data", drain_seconds="7"
    )
    begin = decode(encode(Begin(1, settings.model_dump(mode="json"), "")))
    assert isinstance(begin, Begin)
    monkeypatch.setenv("PROMPTWIRE_LISTEN", "0.0.0.0:2")
    monkeypatch.setenv("PROMPTWIRE_DRAIN_SECONDS", "99")
    assert load(**begin.settings) == settings


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"kind": "Dance"}\n', b'{"kind": "HandOver", "slowly": true}\n'])
def test_what_only_another_version_understands_is_an_error(line: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(line)
