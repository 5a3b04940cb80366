"""Every method of the service: in this process over a store in memory, and over a socket to a real service.

An input is the method's path, then each message with its length before it; a unary call has one.
"""

import asyncio
import random
import struct
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from promptwire.v1 import common_pb2, metrics_service_pb2, prompt_service_pb2
from promptwire_service import server
from promptwire_service.server import SERVICES, Service
from promptwire_service.storage.memory import MemoryStore
from tests.fuzz import values
from tests.fuzz.messages import NAMES, NAMESPACE, Requests, Seen

METHODS: Final = {f"/{one.full_name}/{method.name}": method for one in SERVICES for method in one.methods}
SECONDS: Final = 20.0
_OFTEN: Final = [path for path in METHODS for _ in range(1 if "/Delete" in path else 8)]
"""What takes prompts away comes seldom: requests about what is not there end early."""
_FRESH_AFTER: Final = 2_000
NEVER: Final = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


def packed(path: str, messages: list[bytes]) -> bytes:
    return path.encode() + b"\n" + b"".join(struct.pack("<I", len(one)) + one for one in messages)


def unpacked(data: bytes) -> tuple[str, list[bytes]]:
    path, _, rest = data.partition(b"\n")
    messages = []
    while rest:
        size = struct.unpack_from("<I", rest)[0]
        messages.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return path.decode(), messages


def make(rng: random.Random, seen: Seen) -> bytes:
    path = rng.choice(_OFTEN)
    method, requests = METHODS[path], Requests(rng, seen)
    made = [requests.message(method.input_type) for _ in range(rng.randrange(1, 5) if method.client_streaming else 1)]
    if made and isinstance(made[0], prompt_service_pb2.WatchRequest) and rng.random() < 0.9:
        made[0].hello.namespace = NAMESPACE
    for one in made:
        _keep_short(one)
    data = [one.SerializeToString() for one in made]
    if rng.random() < 0.15:
        at = rng.randrange(len(data))
        data[at] = values.bent(rng, data[at])
    return packed(path, data)


def _keep_short(request: Any) -> None:
    """Takes away what makes a call wait by design."""
    match request.DESCRIPTOR.name:
        case "StreamChangesRequest":
            request.stop_at_end = True
        case "GetConvergenceRequest" if 0 < request.wait.seconds <= 600:
            request.wait.seconds = 0


def scene() -> Iterator[tuple[str, Message]]:
    """Writes that give later requests something to find."""

    def write() -> common_pb2.WriteOptions:
        return common_pb2.WriteOptions(request_id=uuid.uuid4().hex, actor="fuzz")

    contents = {
        "chat": common_pb2.Content(messages_json='[{"role":"user","content":"{{x}}"}]'),
        "jinja": common_pb2.Content(text="{% if x %}{{ x }}{% endif %}", syntax=common_pb2.TEMPLATE_SYNTAX_JINJA2),
        "config": common_pb2.Content(text="Hello", model_config_json='{"t":0.5}', response_format_json="{}"),
    }
    prompts = "/promptwire.v1.PromptService/"
    for name in NAMES:
        for _ in range(2):
            content = contents.get(name, common_pb2.Content(text="Hello {{name}}"))
            register = prompt_service_pb2.RegisterPromptRequest(
                namespace=NAMESPACE, name=name, content=content, tags={"t": "1"}, write=write()
            )
            yield f"{prompts}RegisterPrompt", register
        for alias in ("production", "staging"):
            move = prompt_service_pb2.SetAliasRequest(
                namespace=NAMESPACE, name=name, alias=alias, version=1, write=write()
            )
            yield f"{prompts}SetAlias", move
        split = prompt_service_pb2.SetAliasSplitRequest(
            namespace=NAMESPACE, name=name, alias="split", weights={1: 1.0, 2: 3.0}, write=write()
        )
        yield f"{prompts}SetAliasSplit", split
    gone = prompt_service_pb2.DeletePromptRequest(namespace=NAMESPACE, name="gone", write=write())
    yield f"{prompts}DeletePrompt", gone
    observed = metrics_service_pb2.Observation(name="p", version=1, values={"m": 1.0})
    log = metrics_service_pb2.LogMetricsRequest(
        namespace=NAMESPACE, observations=[observed], request_id=uuid.uuid4().hex
    )
    yield "/promptwire.v1.MetricsService/LogMetrics", log


def is_endless(path: str, message: bytes) -> bool:
    """Whether a stream goes on until there is news: of such one answer is read."""
    if path == "/promptwire.v1.PromptService/StreamChanges":
        try:
            return not prompt_service_pb2.StreamChangesRequest.FromString(message).stop_at_end
        except DecodeError:
            return False
    return path == "/grpc.health.v1.Health/Watch"


def learn(seen: Seen, method: MethodDescriptor, answers: list[bytes]) -> None:
    for answer in answers[:3]:
        try:
            seen.learn(GetMessageClass(method.output_type).FromString(answer))
        except DecodeError as error:
            raise AssertionError(f"{method.full_name} answered what is no {method.output_type.name}") from error


@dataclass
class _Kept:
    """In place of gRPC's server: keeps the handlers that the service gives it."""

    handlers: list[Any]

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """They are among the generic ones, too."""

    async def start(self) -> None:
        pass

    async def stop(self, grace: float | None) -> None:
        pass


@dataclass(frozen=True)
class _Called:
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


class _Aborted(grpc.aio.AbortError):
    pass


class _Context:
    """In place of a call's context."""

    code: grpc.StatusCode | None = None

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: object = ()) -> None:
        self.code = code
        raise _Aborted(details)

    async def abort_with_status(self, status: Any) -> None:
        await self.abort(status.code, status.details)

    def peer(self) -> str:
        return "fuzz"

    def time_remaining(self) -> float:
        return SECONDS

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class InProcess:
    """The service with all its layers, but for the socket and the store's own process."""

    name = "calls"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._seen = Seen()
        self._service: Service | None = None
        self._calls = 0
        self._methods: dict[str, Any] = {}

    def make(self, rng: random.Random) -> bytes:
        return make(rng, self._seen)

    def run(self, data: bytes) -> None:
        self._loop.run_until_complete(self._run(data))

    async def _run(self, data: bytes) -> None:
        if self._calls % _FRESH_AFTER == 0:
            await self._start()
        self._calls += 1
        path, messages = unpacked(data)
        answers = await self._call(path, messages)
        learn(self._seen, METHODS[path], answers)

    async def _start(self) -> None:
        if self._service:
            await self._service.stop(0)
        kept = _Kept([])
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(server.grpc.aio, "server", lambda *_, **__: kept)
            patched.setattr(server, "listen", lambda *_, **__: 1)
            self._service = Service(MemoryStore())
            await self._service.start("127.0.0.1:0")
        self._methods = {path: one for path in METHODS for one in (self._handler(kept, path),) if one}
        for path, request in scene():
            await self._call(path, [request.SerializeToString()])

    @staticmethod
    def _handler(kept: _Kept, path: str) -> Any:
        return next((found for one in kept.handlers if (found := one.service(_Called(path)))), None)

    async def _call(self, path: str, messages: list[bytes]) -> list[bytes]:
        handler, context = self._methods[path], _Context()
        parse = handler.request_deserializer

        async def requests() -> AsyncIterator[Any]:
            for message in messages:
                yield parse(message)
                await asyncio.sleep(0)

        answers: list[bytes] = []
        try:
            async with asyncio.timeout(SECONDS):
                if handler.stream_stream:
                    answers += [answer async for answer in handler.stream_stream(requests(), context)]
                elif handler.unary_stream:
                    async with aclosing(handler.unary_stream(parse(messages[0]), context)) as stream:
                        async for answer in stream:
                            answers.append(answer)
                            if is_endless(path, messages[0]):
                                break
                else:
                    answers.append(await handler.unary_unary(parse(messages[0]), context))
        except _Aborted:
            assert context.code not in NEVER, f"{path}: {context.code}"
        except TimeoutError:
            raise AssertionError(f"{path} did not end") from None
        return [one if isinstance(one, bytes) else handler.response_serializer(one) for one in answers]

    def close(self) -> None:
        if self._service:
            self._loop.run_until_complete(self._service.stop(0))
        self._loop.close()
