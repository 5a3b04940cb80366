"""grpc.health.v1 for load balancers and probes: the whole server (""), and each service by name."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2 as pb

from promptwire_service.rpc.binding import Context

HEALTH: Final[Any] = pb.DESCRIPTOR.services_by_name["Health"]


class HealthService:
    """All services are well or none is: they share one store. Bound by `binding.bind`.

    Not grpc_health's own servicer, whose watchers stay until they are thrown out: each would hold up every drain for
    the whole of its grace. Here a watch ends once it has told that the server no longer serves.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = frozenset(services) | {""}
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """NOT_SERVING, from now on and for good."""
        self._draining.set()

    async def check(self, request: pb.HealthCheckRequest, context: Context) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            # A bare NOT_FOUND, as health.proto has it, and not an error of ours.
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return self._answer(request.service)

    async def list(self, _: Message, __: Context) -> Message:
        # By its descriptor: the package's type stubs do not know it yet.
        response = GetMessageClass(HEALTH.methods_by_name["List"].output_type)
        return response(statuses={service: self._answer(service) for service in sorted(self._services)})

    async def watch(self, request: pb.HealthCheckRequest, _: Context) -> AsyncGenerator[pb.HealthCheckResponse, None]:
        told = self._answer(request.service)
        yield told
        await self._draining.wait()
        # Compared with what was told and not asked of the event before: a drain may begin while that was being sent.
        if (answer := self._answer(request.service)) != told:
            yield answer

    def _answer(self, service: str) -> pb.HealthCheckResponse:
        if service not in self._services:
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
        if self._draining.is_set():
            return pb.HealthCheckResponse(status=pb.HealthCheckResponse.NOT_SERVING)
        return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVING)
