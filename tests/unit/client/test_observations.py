"""What waits to be sent is bounded, by its number and by what is in it, and whoever is over it is told."""

import logging
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from promptwire._core import observations
from promptwire._core.observations import Observations, Observed
from promptwire.v1 import metrics_service_pb2 as pb


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The requests that were sent; the service answers while `open` is set, with what is in `refuses`."""
    service = SimpleNamespace(open=threading.Event(), requests=[], refuses=[])

    def run(request: pb.LogMetricsRequest) -> Any:
        service.requests.append(request)
        service.open.wait(20)
        response = pb.LogMetricsResponse()
        if service.refuses:
            response.refused[0].message = service.refuses.pop()
        return response, None

    monkeypatch.setattr(observations, "run", run)
    yield service
    service.open.set()


@pytest.fixture
def buffer(sent: SimpleNamespace) -> Iterator[Observations]:
    options: Any = SimpleNamespace(namespace="default")
    connection: Any = SimpleNamespace(unary=lambda stub, request, seconds: request, closed=False)
    buffer = Observations(options, connection, lambda: 0.0)
    yield buffer
    sent.open.set()
    buffer.stop(10)


def observed(values: int = 4, tags: int = 1) -> Observed:
    return Observed("p", 1, "", {f"m{n}": 1.0 for n in range(values)}, {f"t{n}": "x" for n in range(tags)}, 0.0)


def test_what_waits_is_bounded_by_its_values_and_tags_and_the_oldest_go(
    buffer: Observations, sent: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observations, "BUFFERED_PARTS_MAX", 100)
    monkeypatch.setattr(observations, "BATCH_PARTS_MAX", 20)
    with caplog.at_level(logging.WARNING, "promptwire"):
        for _ in range(30):
            buffer.add(observed())
    assert buffer.waiting <= 100 // 5 + 20 // 5
    assert buffer.dropped >= 30 - 24
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "100 values and tags" in caplog.records[0].message
    sent.open.set()
    buffer.flush(10)
    counts = [sum(len(one.values) + len(one.tags) for one in request.observations) for request in sent.requests]
    assert max(counts) <= 20
    assert sum(counts) + 5 * buffer.dropped == 30 * 5


def test_each_reason_is_told_once(
    buffer: Observations, sent: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    sent.open.set()
    with caplog.at_level(logging.WARNING, "promptwire"):
        for reason in ("too many names", "no such version", "too many names"):
            sent.refuses.append(reason)
            buffer.add(observed())
            buffer.flush(10)
    assert buffer.dropped == 3
    told = [record.message.rpartition(": ")[2] for record in caplog.records]
    assert told == ["too many names", "no such version"]
