"""promptwire.v1.AdminService: each method is its command, with messages on either side."""

from promptwire.v1 import admin_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.get_convergence import WAIT_MOST_SECONDS, get_convergence
from promptwire_service.commands.get_status import get_status
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context
from promptwire_service.rpc.wire_values import revision_of, seconds_of

NAME = pb.DESCRIPTOR.services_by_name["AdminService"].full_name


class AdminService:
    """Bound by `binding.bind`, which also answers what is raised here."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def get_status(self, request: pb.GetStatusRequest, _: Context) -> pb.GetStatusResponse:
        namespace = translate.namespace_of(request.namespace)
        return translate.status(await get_status(self._registry, namespace=namespace))

    async def get_convergence(self, request: pb.GetConvergenceRequest, _: Context) -> pb.GetConvergenceResponse:
        found = await get_convergence(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            alias=request.alias,
            revision=revision_of(request, "revision"),
            wait_seconds=seconds_of(request, "wait", WAIT_MOST_SECONDS),
            limit=request.limit,
        )
        return translate.convergences(found)
