"""What a whole service answers besides its own methods, and where it listens."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from promptwire.v1 import admin_service_pb2 as admin_pb
from promptwire_service.ports import ListenError, check_free
from promptwire_service.rpc.health import HealthService
from promptwire_service.server import ADMIN, METRICS, PROMPTS, Service
from promptwire_service.storage.memory import MemoryStore
from tests.unit.service.serving import SECONDS, call, running_service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    async with running_service(MemoryStore()) as address, grpc.aio.insecure_channel(address) as opened:
        yield opened


@pytest.mark.parametrize("service", ["", PROMPTS.full_name, ADMIN.full_name])
async def test_health_tells_that_server_and_services_serve(channel: grpc.aio.Channel, service: str) -> None:
    request = health_pb2.HealthCheckRequest(service=service)
    assert (await health_pb2_grpc.HealthStub(channel).Check(request, timeout=SECONDS)).status == SERVING


async def test_health_of_a_service_that_is_not_there_is_not_found(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(request, timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(request, timeout=SECONDS)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_health_lists_what_it_tells_of(channel: grpc.aio.Channel) -> None:
    listing = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["List"]
    listed = GetMessageClass(listing.output_type).FromString
    answer: Any = await channel.unary_unary("/grpc.health.v1.Health/List", None, listed)(b"", timeout=SECONDS)
    statuses = {service: one.status for service, one in answer.statuses.items()}
    assert statuses == dict.fromkeys(["", PROMPTS.full_name, ADMIN.full_name, METRICS.full_name], SERVING)


async def test_reflection_names_every_service_and_describes_them(channel: grpc.aio.Channel) -> None:
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="promptwire.v1.PromptService"),
    ]
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    listed, described = [reply async for reply in stub.ServerReflectionInfo(iter(requests), timeout=SECONDS)]
    assert {service.name for service in listed.list_services_response.service} == {
        "promptwire.v1.PromptService",
        "promptwire.v1.AdminService",
        "promptwire.v1.MetricsService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert described.file_descriptor_response.file_descriptor_proto


async def test_status_is_answered_by_a_whole_service(channel: grpc.aio.Channel) -> None:
    request = admin_pb.GetStatusRequest()
    answer = await call(channel, "AdminService/GetStatus", request, admin_pb.GetStatusResponse)
    assert answer.store.reachable
    assert {cache.name for cache in answer.caches} == {"prompts", "versions"}


async def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, "PromptService/Nothing", b"", admin_pb.GetStatusResponse)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_health_watch_is_told_of_the_drain_and_does_not_hold_it_up() -> None:
    service = Service(MemoryStore())
    address = await service.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        # Asked for beforehand: once a stream's status has come, grpc.aio's client reads no message that came before it.
        told = asyncio.ensure_future(watch.read())
        async with asyncio.timeout(SECONDS):
            await service.stop(3_600)
        assert (await told).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF


async def test_a_drain_that_begins_while_a_health_watch_is_being_answered_is_told_too() -> None:
    health = HealthService(())
    watch = health.watch(health_pb2.HealthCheckRequest(), None)
    assert (await anext(watch)).status == SERVING
    health.drain()
    assert (await anext(watch)).status == NOT_SERVING
    assert await anext(watch, None) is None


async def test_a_health_watch_that_begins_in_a_drain_is_told_once() -> None:
    health = HealthService(())
    health.drain()
    watch = health.watch(health_pb2.HealthCheckRequest(), None)
    assert [answer.status async for answer in watch] == [NOT_SERVING]


def taken(host: str = "127.0.0.1") -> socket.socket:
    listener = socket.create_server((host, 0))
    listener.listen()
    return listener


async def test_a_taken_port_is_an_error_that_says_so() -> None:
    with taken() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address in use$"):
            await Service(MemoryStore()).start(f"127.0.0.1:{port}")


async def test_a_second_service_does_not_share_the_port() -> None:
    async with running_service(MemoryStore()) as address:
        with pytest.raises(ListenError, match="address in use"):
            await Service(MemoryStore()).start(address)


def test_a_port_taken_on_one_of_a_host_s_addresses_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with taken() as listener:
        port = listener.getsockname()[1]
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        with pytest.raises(ListenError, match="address in use"):
            check_free("localhost", port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("192.0.2.1", "this machine has no such address"), ("no.such.host.invalid", "the host name is not known")],
)
def test_an_address_that_is_not_ours_is_named(host: str, reason: str) -> None:
    with pytest.raises(ListenError, match=reason):
        check_free(host, 0)
