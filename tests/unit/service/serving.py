"""The transport over a real socket: on fakes, and as a whole service on a store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from promptwire_service.rpc.admin_service import AdminService
from promptwire_service.rpc.admission import Admission
from promptwire_service.rpc.binding import bind
from promptwire_service.rpc.diffs import DiffService
from promptwire_service.rpc.listening import listen
from promptwire_service.rpc.prompt_service import PromptService
from promptwire_service.rpc.release_service import ReleaseService
from promptwire_service.rpc.search_service import SearchService
from promptwire_service.rpc.transport import options
from promptwire_service.server import ADMIN, PROMPTS, Service
from promptwire_service.storage.base import Store
from tests.unit.service.fakes import Below

SECONDS = 10.0
"""Deadline of any call in a test."""


class NoStreams:
    """In place of the streams, where a test has no use for them."""

    async def watch(self, requests: Any, context: Any) -> AsyncIterator[Message]:
        raise NotImplementedError
        yield

    async def stream_changes(self, request: Any, context: Any) -> AsyncIterator[Message]:
        raise NotImplementedError
        yield


@asynccontextmanager
async def serving(
    below: Below, streams: object | None = None, admission: Admission | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the transport on fakes."""
    server = grpc.aio.server(options=options(1_000))
    admission = admission or Admission()
    bind(
        server,
        admission,
        PROMPTS,
        PromptService(below.registry),
        ReleaseService(below.registry, 60.0),
        DiffService(below.registry),
        SearchService(below.registry),
        streams or NoStreams(),
    )
    bind(server, admission, ADMIN, AdminService(below.registry))
    port = listen(server, "127.0.0.1", 0)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


@asynccontextmanager
async def running_service(store: Store) -> AsyncIterator[str]:
    """The address of a whole service on a store, which stays the caller's to close."""
    service = Service(store)
    address = await service.start("127.0.0.1:0")
    try:
        yield address
    finally:
        await service.stop(0)


async def call(channel: grpc.aio.Channel, method: str, request: Message | bytes, reply: type[Message]) -> Any:
    """Calls `Service/Method` of promptwire.v1, also with bytes that are no message."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    return await channel.unary_unary(f"/promptwire.v1.{method}", None, reply.FromString)(data, timeout=SECONDS)


class Told:
    """What a client can read out of a failed call."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        # rpc_status.from_call wants a call; an AioRpcError has the same three methods.
        status = rpc_status.from_call(error)
        assert status is not None, error
        self.code = error.code()
        self.message: str = status.message
        self.status: status_pb2.Status = status
        self.info = error_details_pb2.ErrorInfo()
        self.retry = error_details_pb2.RetryInfo()
        self.fields: list[str] = []
        self.descriptions: list[str] = []
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                detail.Unpack(self.info)
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                detail.Unpack(self.retry)
            else:
                bad_request = error_details_pb2.BadRequest()
                assert detail.Unpack(bad_request)
                self.fields += (violation.field for violation in bad_request.field_violations)
                self.descriptions += (violation.description for violation in bad_request.field_violations)
