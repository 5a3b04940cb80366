"""A real service on its embedded store, attacked over a socket while another client's reads have to go on."""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

import promptwire
from promptwire.v1 import prompt_service_pb2
from tests.fuzz.calls import METHODS, NEVER, SECONDS, is_endless, learn, make, scene, unpacked
from tests.fuzz.messages import Seen
from tests.support.service import ServiceProcess

_AT_ONCE: Final = 16
_LOOK_EVERY: Final = 100
_OWN_CORE: Final = "Internal error from Core"
"""What gRPC's client says itself of a stream that the service ended while it was still sending."""
_NEVER_LOGGED: Final = ("unexpected error", "Traceback")

Failed = Callable[[bytes, BaseException], None]


class Served:
    """The service that targets share, with prompts in it, and a bystander who reads one of another namespace."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="promptwire-fuzz-")
        self.process = ServiceProcess(Path(self._directory.name, "data"))
        self.process.start()
        with grpc.insecure_channel(self.process.target) as channel:
            for path, request in scene():
                channel.unary_unary(path)(request.SerializeToString(), timeout=SECONDS)
        with promptwire.Client(self.process.target, namespace="bystander") as client:
            client.register_prompt("p", "Hello")

    def check(self) -> None:
        """Raises AssertionError if the service has died, or has logged what may never happen."""
        assert self.process.process.poll() is None, f"the service died: {self._log()[-3000:]}"
        if found := next((one for one in _NEVER_LOGGED if one in self._log()), None):
            raise AssertionError(
                f"the service's log has {found!r}: {self._log()[self._log().index(found) - 300 :][:3000]}"
            )

    def _log(self) -> str:
        return self.process.log_path.read_text()

    def close(self) -> None:
        if self.process.process.poll() is None:
            self.process.stop()
        self._directory.cleanup()


class Wire:
    """Every method over a socket, some calls at a time."""

    name = "wire"

    def __init__(self, served: Served) -> None:
        self._served = served
        self._seen = Seen()
        self._loop = asyncio.new_event_loop()

    def make(self, rng: random.Random) -> bytes:
        return make(rng, self._seen)

    def run(self, data: bytes) -> None:
        self._loop.run_until_complete(self._once(data))
        self._served.check()

    async def _once(self, data: bytes) -> None:
        async with grpc.aio.insecure_channel(self._served.process.target) as channel:
            await self._call(channel, data)

    def attack(self, rng: random.Random, until: float, most: int, failed: Failed) -> int:
        """Runs inputs, some at a time, till a time or a number of them; how many there were."""
        return self._loop.run_until_complete(self._attack(rng, until, most, failed))

    async def _attack(self, rng: random.Random, until: float, most: int, failed: Failed) -> int:
        count = 0
        async with (
            grpc.aio.insecure_channel(self._served.process.target) as channel,
            grpc.aio.insecure_channel(self._served.process.target, [("grpc.use_local_subchannel_pool", 1)]) as other,
        ):

            async def work() -> None:
                nonlocal count
                while time.monotonic() < until and count < most:
                    count += 1
                    data = self.make(rng)
                    try:
                        if count % _LOOK_EVERY == 0:
                            await self._look(other)
                        await self._call(channel, data)
                    except Exception as error:
                        failed(data, error)

            await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        self._served.check()
        return count

    @staticmethod
    async def _look(channel: grpc.aio.Channel) -> None:
        """The bystander, who has to be answered whatever others send."""
        request = prompt_service_pb2.ResolveRequest(namespace="bystander", reference="p")
        resolve: Any = channel.unary_unary("/promptwire.v1.PromptService/Resolve")
        await resolve(request.SerializeToString(), timeout=SECONDS)

    async def _call(self, channel: grpc.aio.Channel, data: bytes) -> None:
        path, messages = unpacked(data)
        method = METHODS[path]
        answers: Sequence[bytes] = ()
        try:
            if method.client_streaming:
                stream: Any = channel.stream_stream(path)(iter(messages), timeout=SECONDS)
                answers = [answer async for answer in stream]
            elif method.server_streaming:
                stream = channel.unary_stream(path)(messages[0], timeout=SECONDS)
                answers = (
                    [await stream.read()] if is_endless(path, messages[0]) else [answer async for answer in stream]
                )
                stream.cancel()
            else:
                unary: Any = channel.unary_unary(path)
                answers = [await unary(messages[0], timeout=SECONDS)]
        except grpc.aio.AioRpcError as error:
            never = {*NEVER, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED}
            if error.code() in never and error.details() != _OWN_CORE:
                raise AssertionError(f"{path}: {error.code().name}: {error.details()}") from error
        learn(self._seen, method, [one for one in answers if isinstance(one, bytes)])

    def close(self) -> None:
        self._loop.close()
