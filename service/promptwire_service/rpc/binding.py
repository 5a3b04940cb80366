"""Methods of a service bound to gRPC: one wrapper for unary calls, one for streams.

In place of the generated `add_..._to_server`, because a request that does not parse must be answered as bad input,
errors are mapped in one place, and a wrapper costs a call less than an interceptor. See docs/adr/0003-rpc-binding.md.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from promptwire.domain import limits
from promptwire.domain.violations import Violation
from promptwire_service.domain.errors import RegistryError, answer_too_large, invalid
from promptwire_service.rpc.admission import Admission, Gate
from promptwire_service.rpc.bounds import Checker
from promptwire_service.rpc.errors import from_exception, log_refusal, to_status
from promptwire_service.rpc.malformed import Malformed

SLOW_SECONDS: Final = 1.0
"""A unary call that takes longer is logged."""

OWN_QUEUE: Final = frozenset(
    {
        *("Resolve", "BatchResolve", "GetPrompt", "GetPromptVersion"),
        *("RegisterPrompt", "SetAlias", "LogMetrics"),
        *("SearchPrompts", "SearchVersions"),
        *("Watch", "Check"),
    }
)
"""Methods that gRPC queues by themselves until they are accepted, so that a flood of one is not before the others; all
the others share a queue. Each of these costs each call about a microsecond, for grpc.aio looks at all queues in turn.
"""

_LARGE: Final = frozenset({"Release", "LogMetrics", "Watch"})
"""Methods whose requests have many parts: see `limits.LARGE_REQUEST_MAX_BYTES`."""

Context = grpc.aio.ServicerContext[Any, Any]
Reply = Message | bytes
"""What a handler answers: a message, or one serialized already (where many streams are sent the same)."""
Unary = Callable[[Any, Context], Awaitable[Reply]]
Streaming = Callable[[Any, Context], AsyncGenerator[Reply, None]]

_log = structlog.get_logger(__name__)


def bind(server: grpc.aio.Server, admission: Admission, service: ServiceDescriptor, *parts: object) -> None:
    """Adds every method of a service to a server, by name: `GetPrompt` is `get_prompt` of the first part that has it.

    A unary method is `async def (request, context)`, one with a streamed response an async generator; a streamed
    request is an async iterator. Raises TypeError where no part has a method.
    """
    handlers = {method.name: _handler(service, method, parts, admission.gate(method)) for method in service.methods}
    own = {name: handler for name, handler in handlers.items() if name in OWN_QUEUE}
    if own:
        server.add_registered_method_handlers(service.full_name, own)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(
    service: ServiceDescriptor, method: MethodDescriptor, parts: tuple[object, ...], gate: Gate
) -> "grpc.RpcMethodHandler[Any, Any]":
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", method.name).lower()
    bound = next((getattr(part, name) for part in parts if hasattr(part, name)), None)
    if bound is None:
        raise TypeError(f"nothing implements {service.full_name}.{method.name}: no part has {name}()")
    if not method.server_streaming:
        return grpc.unary_unary_rpc_method_handler(_unary(method.name, bound, gate), _parser(method, gate))
    if method.client_streaming:
        checking = _streaming(method.name, _checking(bound), gate)
        return grpc.stream_stream_rpc_method_handler(checking, _parser(method))
    return grpc.unary_stream_rpc_method_handler(_streaming(method.name, bound, gate), _parser(method))


def _parser(method: MethodDescriptor, gate: Gate | None = None) -> Callable[[bytes], Message | RegistryError | None]:
    """Returns the request, or why it is refused: it cannot be parsed, or it holds more than it may (see bounds).

    Returns None, without looking at it, where the gate is going to refuse it. Never raises: gRPC would answer an
    exception in here as a failure of the service. Raises TypeError itself for a message with a field that has no limit.
    """
    descriptor = method.input_type
    parse, checker = GetMessageClass(descriptor).FromString, Checker(descriptor)
    over_bytes = checker.over_bytes
    most_bytes = limits.LARGE_REQUEST_MAX_BYTES if method.name in _LARGE else limits.REQUEST_MAX_BYTES

    def parse_or_refuse(data: bytes) -> Message | RegistryError | None:
        if gate is not None and gate.is_full:
            return None
        if len(data) > most_bytes:
            return invalid(Violation("request", f"must be at most {most_bytes:,} bytes; it has {len(data):,}"))
        try:
            request = parse(data)
        except (DecodeError, ValueError, RecursionError):
            return invalid(Malformed(descriptor, data).violation())
        if len(data) > over_bytes and (violations := checker.violations(request, len(data))):
            return invalid(*violations)
        return request

    return parse_or_refuse


def _unary(method: str, handle: Unary, gate: Gate) -> Callable[[Any, Context], Awaitable[bytes]]:
    if gate.turns is not None:
        handle = _in_turn(handle, gate.turns)

    async def call(request: Any, context: Context) -> bytes:
        if request is None:
            await gate.refuse(context)
        began = monotonic()
        gate.in_progress += 1
        try:
            if context.time_remaining() == 0:
                # Nobody waits for the answer any more; it was in a queue for too long.
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline had passed before the call began")
            if request.__class__ is RegistryError:
                raise request
            reply = await handle(request, context)
            data = reply if isinstance(reply, bytes) else reply.SerializeToString()
            if len(data) > limits.ANSWER_MAX_BYTES:  # pages and batches are cut before; what cannot be is refused
                raise answer_too_large(limits.ANSWER_MAX_BYTES)
        except Exception as error:
            await _abort(method, error, context)
        finally:
            gate.in_progress -= 1
        if (seconds := monotonic() - began) > SLOW_SECONDS:
            _log.warning("slow call", method=method, seconds=round(seconds, 3))
        return data

    return call


def _in_turn(handle: Unary, turns: asyncio.Semaphore) -> Unary:
    """Lets only so many begin. One whose caller has gone is cancelled, and leaves the line."""

    async def call(request: Any, context: Context) -> Reply:
        async with turns:
            return await handle(request, context)

    return call


def _streaming(method: str, handle: Streaming, gate: Gate) -> Callable[[Any, Context], AsyncIterator[bytes]]:
    async def call(request: Any, context: Context) -> AsyncIterator[bytes]:
        if gate.is_full:
            await gate.refuse(context)
        gate.in_progress += 1
        try:
            if request.__class__ is RegistryError:
                raise request
            # Closed here and not by the garbage collector: a stream that ends early must let go of its watcher at once.
            async with aclosing(handle(request, context)) as replies:
                async for reply in replies:
                    yield reply if isinstance(reply, bytes) else reply.SerializeToString()
        except Exception as error:
            await _abort(method, error, context)
        finally:
            gate.in_progress -= 1

    return call


def _checking(handle: Streaming) -> Streaming:
    async def call(requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Reply, None]:
        async with aclosing(handle(_parsed(requests), context)) as replies:
            async for reply in replies:
                yield reply

    return call


async def _parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if request.__class__ is RegistryError:
            raise request
        yield request


async def _abort(method: str, error: Exception, context: Context) -> NoReturn:
    """Ends the call with the error's status."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, RegistryError):
        log_refusal(method, error)
    else:
        error = from_exception(method, error)
    await context.abort_with_status(to_status(error))
