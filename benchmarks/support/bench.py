"""What a run of benchmarks has at hand: its size, and the servers, started when first asked for."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from benchmarks.peers import floor
from benchmarks.support.processes import READY_SECONDS, Peer, Service
from promptwire.v1 import common_pb2 as common_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.storage.embedded.data_dir import DataDir

PROMPT: Final = "telco_support_technical"
REFERENCE: Final = f"prompts:/{PROMPT}@production"
SET_ALIAS: Final = "/promptwire.v1.PromptService/SetAlias"
RESOLVE: Final = "/promptwire.v1.PromptService/Resolve"
WATCH: Final = "/promptwire.v1.PromptService/Watch"

TEMPLATE_BYTES: Final = 1_024


def template(variable: str = "role") -> str:
    """About 1 KB of prompt with one variable in the middle."""
    sentence = "Ask for one fact at a time, name the next step, and say what it will change for the customer. "
    half = (sentence * 12)[: (TEMPLATE_BYTES - len(variable) - 4) // 2]
    return f"{half}{{{{{variable}}}}}{half}"


class Bench:
    """One run. The service is the real one, in a process of its own, with one prompt of two versions."""

    def __init__(self, directory: Path, *, quick: bool = False, streams: int = 1_000) -> None:
        self.directory = directory
        self.quick = quick
        self.streams = streams
        """Of the largest fan-out."""
        self._stack = ExitStack()

    def pick(self, full: int, quick: int) -> int:
        """A count for this size of run."""
        return quick if self.quick else full

    @property
    def seconds(self) -> float:
        """How long one comparison may go on beginning new rounds."""
        return 3.0 if self.quick else 20.0

    @cached_property
    def service(self) -> Service:
        service = self._stack.enter_context(Service(self._data_dir, "--log-level", "warning"))
        import promptwire

        with promptwire.Client(service.target) as client:
            for number in (1, 2):
                client.register_prompt(PROMPT, template(), commit_message=f"Version {number}")
            client.set_prompt_alias(PROMPT, "production", 1)
        return service

    @cached_property
    def floor(self) -> "FloorServer":
        return self._stack.enter_context(FloorServer())

    @property
    def store_url(self) -> str:
        """Of the service's own embedded store."""
        _ = self.service
        return f"unix://{DataDir(self._data_dir).socket_path}"

    @property
    def _data_dir(self) -> Path:
        return self.directory / "data"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


class FloorServer(Peer):
    """benchmarks.peers.floor."""

    def __init__(self) -> None:
        super().__init__("benchmarks.peers.floor")
        self.target = self.line(READY_SECONDS)

    def set_answer(self, answer: bytes) -> None:
        """What it answers to every call of ANSWER from now on."""
        with grpc.insecure_channel(self.target) as channel:
            call: Any = channel.unary_unary(floor.SET_ANSWER)
            call(answer)


def resolve_request(min_revision: common_pb.Revision | None = None) -> bytes:
    """A ResolveRequest for the prompt, encoded."""
    read = common_pb.ReadOptions(min_revision=min_revision) if min_revision else None
    return pb.ResolveRequest(reference=REFERENCE, read=read).SerializeToString()
