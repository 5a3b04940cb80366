"""grpc.reflection.v1alpha for grpcurl and the like: what services there are, and their descriptors."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import Any, Final

from grpc_reflection.v1alpha import reflection, reflection_pb2

from promptwire_service.rpc.binding import Context

REFLECTION: Final[Any] = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class ReflectionService:
    """grpc_reflection's own servicer, bound by `binding.bind`: so that bytes that are no request are refused."""

    def __init__(self, services: Collection[str]) -> None:
        self._servicer: Any = reflection.aio.ReflectionServicer(services)

    async def server_reflection_info(self, requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any, None]:
        async for answer in self._servicer.ServerReflectionInfo(requests, context):
            yield answer
