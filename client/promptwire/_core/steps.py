"""Work that has to wait, written once: a generator yields what it waits for, and a face of the client blocks or awaits.

So both faces run the same lines, and an event loop meets nothing that blocks it.
"""

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import grpc

T = TypeVar("T")
Request = TypeVar("Request")
Response = TypeVar("Response")


class Waiting(Protocol):
    """Something to wait for; its outcome goes back into the generator, as a value or an exception."""

    def block(self) -> Any: ...

    async def awaited(self) -> Any: ...


Steps = Generator[Waiting, Any, T]


def run(steps: Steps[T]) -> T:
    """In this thread, blocking."""
    try:
        waiting = next(steps)
        while True:
            try:
                outcome = waiting.block()
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = steps.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def drive(steps: Steps[T]) -> T:
    """In this task. A cancellation arrives in the generator where it waits, so its `finally` runs."""
    try:
        waiting = next(steps)
        while True:
            try:
                outcome = await waiting.awaited()
            except BaseException as error:
                waiting = steps.throw(error)
            else:
                waiting = steps.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _settled(call_when_done: Callable[[Callable[[object], None]], object]) -> None:
    """Returns when a future of another thread is done. Cancelling this leaves that future alone: others wait for it."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def tell(_: object) -> None:
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            if not loop.is_closed():  # else nobody waits any more
                raise

    call_when_done(tell)
    await done


@dataclass(frozen=True, slots=True)
class Pause:
    """So many seconds; in a thread, not beyond the client's closing."""

    seconds: float
    closing: threading.Event

    def block(self) -> None:
        self.closing.wait(self.seconds)

    async def awaited(self) -> None:
        await asyncio.sleep(0 if self.closing.is_set() else self.seconds)


@dataclass(frozen=True, slots=True)
class Arrival(Generic[T]):
    """What a future brings within so many seconds; TimeoutError past them."""

    future: Future[T]
    seconds: float

    def block(self) -> T:
        return self.future.result(self.seconds)

    async def awaited(self) -> T:
        if not self.future.done():
            async with asyncio.timeout(self.seconds):
                await _settled(self.future.add_done_callback)
        return self.future.result(0)


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Request, Response]):
    """One call; raises what grpc does."""

    method: "grpc.UnaryUnaryMultiCallable[Request, Response]"
    request: Request
    timeout_seconds: float
    metadata: tuple[tuple[str, str], ...]
    wait_for_ready: bool

    def block(self) -> Response:
        return self.method(
            self.request,
            timeout=self.timeout_seconds,
            metadata=self.metadata,
            wait_for_ready=self.wait_for_ready,
        )

    async def awaited(self) -> Response:
        """Of the same channel, by grpc's own future: an aio channel would belong to one loop."""
        call = self.method.future(
            self.request,
            timeout=self.timeout_seconds,
            metadata=self.metadata,
            wait_for_ready=self.wait_for_ready,
        )
        try:
            await _settled(call.add_done_callback)
        except BaseException:
            call.cancel()
            raise
        response: Response = call.result()
        return response


@dataclass(frozen=True, slots=True)
class InThread(Generic[T]):
    """What only a thread can wait for. `executor` is this caller's own, so that nobody else waits behind it."""

    function: Callable[[], T]
    executor: Any

    def block(self) -> T:
        return self.function()

    async def awaited(self) -> T:
        result: T = await asyncio.get_running_loop().run_in_executor(self.executor, self.function)
        return result
