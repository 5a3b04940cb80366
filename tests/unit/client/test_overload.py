"""A service with too much to do is asked again when it said, not all at once, and no longer than the timeout."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import promptwire
from promptwire import AsyncClient, Client
from promptwire._core.connection import Connection
from promptwire._core.steps import Attempt, Pause
from promptwire.options import Options
from promptwire.v1 import prompt_service_pb2 as pb
from tests.unit.client.fakes import FakeClock, FakeService, overloaded
from tests.unit.client.test_errors import Failure, packed

TIMEOUT_SECONDS = 2.0


class Refusal(Failure):
    def __init__(self, retry_seconds: float) -> None:
        status = overloaded(retry_seconds)
        super().__init__(status.code, status.details, dict(status.trailing_metadata)["grpc-status-details-bin"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def steps(clock: FakeClock) -> Iterator[Any]:
    """One call, of which the test plays the service."""
    connection = Connection(Options.read("127.0.0.1:1"), clock)
    steps = connection.unary(lambda stubs: stubs.prompts.GetPrompt, pb.GetPromptRequest(), TIMEOUT_SECONDS)
    assert isinstance(next(steps), Attempt)
    yield steps
    steps.close()
    connection.close()


def test_it_waits_as_long_as_it_is_asked_to_and_up_to_twice_that(steps: Any, clock: FakeClock) -> None:
    pause = steps.throw(Refusal(0.5))
    assert isinstance(pause, Pause)
    assert 0.5 <= pause.seconds <= 2 * 0.5 + 0.05
    clock.pass_(pause.seconds)
    attempt = steps.send(None)
    assert attempt.timeout_seconds == pytest.approx(TIMEOUT_SECONDS - pause.seconds)
    with pytest.raises(StopIteration) as done:
        steps.send("the answer")
    assert done.value.value[0] == "the answer"


def test_waits_differ_from_client_to_client(clock: FakeClock) -> None:
    waits = set()
    for _ in range(20):
        connection = Connection(Options.read("127.0.0.1:1"), clock)
        steps: Any = connection.unary(lambda stubs: stubs.prompts.GetPrompt, pb.GetPromptRequest(), TIMEOUT_SECONDS)
        next(steps)
        waits.add(steps.throw(Refusal(0.5)).seconds)
        steps.close()
        connection.close()
    assert len(waits) == 20


def test_it_gives_up_before_its_timeout_and_says_why(steps: Any, clock: FakeClock) -> None:
    began, attempts = clock.now, 1

    def go_on() -> None:
        nonlocal attempts
        while True:
            clock.pass_(steps.throw(Refusal(0.1)).seconds)
            steps.send(None)
            attempts += 1

    with pytest.raises(promptwire.UnavailableError) as caught:
        go_on()
    assert (caught.value.reason, caught.value.code) == ("OVERLOADED", "RESOURCE_EXHAUSTED")
    assert 3 < attempts < TIMEOUT_SECONDS / 0.1
    assert clock.now - began < TIMEOUT_SECONDS


def test_one_that_asks_for_more_than_is_left_is_not_waited_for(steps: Any) -> None:
    with pytest.raises(promptwire.UnavailableError):
        steps.throw(Refusal(TIMEOUT_SECONDS))


@pytest.mark.parametrize("reason", ["STORE_FULL", ""])
def test_what_does_not_pass_by_itself_is_not_asked_again(steps: Any, reason: str) -> None:
    with pytest.raises(promptwire.UnavailableError):
        steps.throw(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", packed(reason)))


@pytest.mark.parametrize("words", ["SERVER: Received", "CLIENT: Sent"])
def test_a_request_that_is_too_large_is_bad_input(steps: Any, words: str) -> None:
    details = f"{words} message larger than max (20000000 vs. 16777216)"
    with pytest.raises(promptwire.InvalidArgumentError, match="the request is too large"):
        steps.throw(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, details))


def test_a_write_that_was_refused_is_made_once(target: str, service: FakeService) -> None:
    service.failures["RegisterPrompt"] = deque([overloaded(0.01), overloaded(0.01)])
    with Client(target) as client:
        assert client.register_prompt("new", "x").version == 1
    assert len({request.write.request_id for request in service.asked("RegisterPrompt")}) == 1
    assert len(service.asked("RegisterPrompt")) == 3


async def test_the_other_face_does_the_same(target: str, service: FakeService) -> None:
    service.failures["GetPrompt"] = deque([overloaded(0.01), overloaded(0.01)])
    async with AsyncClient(target) as client:
        await client.get_prompt("a")
    assert len(service.asked("GetPrompt")) == 3
