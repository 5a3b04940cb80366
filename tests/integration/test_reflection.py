"""The service describes itself: reflection and health, for grpcurl and load balancers."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def test_reflection_lists_the_services_and_their_methods(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"promptwire.v1.PromptService", "promptwire.v1.AdminService", "grpc.health.v1.Health"} <= set(
        database.get_services()
    )
    service = DescriptorPool(database).FindServiceByName("promptwire.v1.PromptService")
    assert {"RegisterPrompt", "Resolve", "SetAlias", "Watch"} <= {method.name for method in service.methods}


@pytest.mark.parametrize("name", ["", "promptwire.v1.PromptService", "promptwire.v1.AdminService"])
def test_health_says_serving(channel: grpc.Channel, name: str) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
