"""A clock that tests turn, messages as the service would send them, and the service itself, in a few lines."""

import hashlib
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

from promptwire.domain.content import Content
from promptwire.domain.references import parse_reference
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceServicer, add_PromptServiceServicer_to_server

WAIT_SECONDS = 10.0


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def eventually(condition: Callable[[], Any]) -> None:
    """Waits until a condition is true. A condition that looks for a stream that is not there yet is false."""

    def holds() -> bool:
        try:
            return bool(condition())
        except LookupError:
            return False

    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def version_message(
    name: str, number: int, text: str = "", tags: Mapping[str, str] | None = None, aliases: tuple[str, ...] = ()
) -> common.PromptVersion:
    content = Content(text or f"{name} {number}: {{{{who}}}}")
    told = repr((name, number, content.text, sorted((tags or {}).items())))
    return common.PromptVersion(
        name=name,
        version=number,
        content=common.Content(text=content.text),
        digest=content.digest,
        tags=tags,
        aliases=aliases,
        variables=["who"],
        token=hashlib.sha256(told.encode()).digest()[:8],
    )


def rpc_status(code: grpc.StatusCode, reason: str, message: str = "no", **metadata: str) -> grpc.Status:
    info = AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="promptwire", metadata=metadata))
    packed = status_pb2.Status(code=code.value[0], message=message, details=[info]).SerializeToString()
    return _Status(code, message, packed)


def overloaded(retry_seconds: float) -> grpc.Status:
    """As a service with too much to do says it."""
    info, retry = AnyMessage(), AnyMessage()
    info.Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="promptwire"))
    delay = error_details_pb2.RetryInfo()
    delay.retry_delay.FromMilliseconds(round(retry_seconds * 1000))
    retry.Pack(delay)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = status_pb2.Status(code=code.value[0], message="too much", details=[info, retry]).SerializeToString()
    return _Status(code, "too much", packed)


class _Status(grpc.Status):
    def __init__(self, code: grpc.StatusCode, details: str, packed: bytes) -> None:
        self.code = code
        self.details = details
        self.trailing_metadata = (("grpc-status-details-bin", packed),)


class Registry:
    """The service's state, and its answers. Every method may be called from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.epoch = "one"
        self.number = 0
        self.prompts: dict[str, common.Prompt] = {}
        self.versions: dict[tuple[str, int], common.PromptVersion] = {}
        self.log: list[pb.StreamChangesResponse] = []

    @property
    def revision(self) -> common.Revision:
        return common.Revision(epoch=self.epoch, number=self.number)

    def _step(self, name: str, **change: Any) -> common.Revision:
        self.number += 1
        self.prompts[name].etag = self.number
        self.log.append(pb.StreamChangesResponse(revision=self.revision, changes=[pb.Change(name=name, **change)]))
        self.changed.notify_all()
        return self.revision

    def register(self, name: str, text: str = "", tags: Mapping[str, str] | None = None) -> common.Revision:
        with self.changed:
            prompt = self.prompts.setdefault(name, common.Prompt(name=name))
            prompt.latest_version += 1
            self.versions[name, prompt.latest_version] = version_message(name, prompt.latest_version, text, tags)
            return self._step(name, version_registered=pb.VersionRegistered(version=prompt.latest_version))

    def alias(self, name: str, alias: str, version: int) -> common.Revision:
        with self.changed:
            self.prompts[name].aliases[alias] = version
            return self._step(name, alias_set=pb.AliasSet(alias=alias, version=version))

    def drop_alias(self, name: str, alias: str) -> common.Revision:
        with self.changed:
            del self.prompts[name].aliases[alias]
            return self._step(name, alias_deleted=pb.AliasDeleted(alias=alias))

    def tag(self, name: str, version: int, key: str, value: str) -> common.Revision:
        with self.changed:
            self.versions[name, version].tags[key] = value
            return self._step(name, tags_set=pb.TagsSet(version=version, tags={key: value}))

    def number_of(self, name: str, selector: str | int) -> int:
        prompt = self.prompts[name]
        if isinstance(selector, int):
            return selector
        return prompt.latest_version if selector == "latest" else prompt.aliases.get(selector, 0)

    def version(self, name: str, number: int, with_aliases: bool) -> common.PromptVersion:
        message = common.PromptVersion()
        message.CopyFrom(self.versions[name, number])
        if with_aliases:
            message.aliases.extend(sorted(a for a, v in self.prompts[name].aliases.items() if v == number))
        return message

    def resolve(self, reference: str) -> common.PromptVersion | tuple[grpc.StatusCode, str]:
        parsed = parse_reference(reference)
        if parsed.name not in self.prompts:
            return grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND"
        number = self.number_of(parsed.name, parsed.selector)
        if (parsed.name, number) not in self.versions:
            return grpc.StatusCode.NOT_FOUND, "ALIAS_NOT_FOUND" if number == 0 else "VERSION_NOT_FOUND"
        return self.version(parsed.name, number, with_aliases=True)


class FakeService(PromptServiceServicer):
    """Answers from a Registry; keeps what it was asked; fails, waits and keeps silent when told to."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.calls: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, Any]] = []
        self.failures: dict[str, deque[grpc.Status]] = {}
        self.gates: dict[str, threading.Semaphore] = {}
        """A method with a gate answers once for each release."""
        self.bookmarks = True
        self.pushes = True
        self.streams: list[ServedStream] = []
        self.batch_fits = 1_000
        """Versions that fit into an answer of BatchResolve; what is held takes up no room."""
        self.between_batches: Callable[[], object] = lambda: None
        """Done after each answer of BatchResolve."""
        self.replies: dict[str, Any] = {}
        """First answers by request id."""

    def asked(self, method: str) -> list[Any]:
        return [request for name, request in list(self.calls) if name == method]

    def _begin(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        self.calls.append((method, request))
        if gate := self.gates.get(method):
            assert gate.acquire(timeout=WAIT_SECONDS)
        if failures := self.failures.get(method):
            context.abort_with_status(failures.popleft())

    def Resolve(self, request: pb.ResolveRequest, context: grpc.ServicerContext) -> pb.ResolveResponse:
        with self.registry.changed:
            found, revision = self.registry.resolve(request.reference), self.registry.revision
        self._begin("Resolve", request, context)
        if self.registry.number < request.read.min_revision.number:
            context.abort_with_status(rpc_status(grpc.StatusCode.UNAVAILABLE, "STORE_BEHIND"))
        if revision.number < request.read.min_revision.number:
            with self.registry.changed:
                found, revision = self.registry.resolve(request.reference), self.registry.revision
        if isinstance(found, tuple):
            where = {"epoch": revision.epoch, "revision": str(revision.number)}
            context.abort_with_status(rpc_status(*found, **where))
        return pb.ResolveResponse(version=found, info=common.ReadInfo(revision=revision))

    def BatchResolve(self, request: pb.BatchResolveRequest, context: grpc.ServicerContext) -> pb.BatchResolveResponse:
        self._begin("BatchResolve", request, context)
        with self.registry.changed:
            outcomes: list[pb.ResolveOutcome] = []
            left = self.batch_fits
            for reference in request.references:
                found = self.registry.resolve(reference)
                if isinstance(found, tuple):
                    problem = pb.Problem(code=found[0].value[0], reason=found[1], message="no")
                    outcomes.append(pb.ResolveOutcome(reference=reference, problem=problem))
                elif found.token in request.held:
                    bare = common.PromptVersion(name=found.name, version=found.version, aliases=found.aliases)
                    bare.token = found.token
                    outcomes.append(pb.ResolveOutcome(reference=reference, version=bare, held=True))
                elif left:
                    left -= 1
                    outcomes.append(pb.ResolveOutcome(reference=reference, version=found))
                else:
                    break
            revision = self.registry.revision
            self.between_batches()
            return pb.BatchResolveResponse(outcomes=outcomes, info=common.ReadInfo(revision=revision))

    def _once(self, request: Any, write: Callable[[], Any]) -> Any:
        with self.registry.changed:
            if request.write.request_id not in self.replies:
                self.replies[request.write.request_id] = write()
            return self.replies[request.write.request_id]

    def RegisterPrompt(
        self, request: pb.RegisterPromptRequest, context: grpc.ServicerContext
    ) -> pb.RegisterPromptResponse:
        def write() -> pb.RegisterPromptResponse:
            revision = self.registry.register(request.name, request.content.text, request.tags)
            latest = self.registry.prompts[request.name].latest_version
            message = self.registry.versions[request.name, latest]
            message.content.CopyFrom(request.content)
            message.digest = Content(
                request.content.text, request.content.response_format_json, request.content.model_config_json
            ).digest
            version = self.registry.version(request.name, latest, with_aliases=True)
            return pb.RegisterPromptResponse(version=version, revision=revision)

        answer = self._once(request, write)
        self._begin("RegisterPrompt", request, context)
        return answer

    def SetAlias(self, request: pb.SetAliasRequest, context: grpc.ServicerContext) -> pb.SetAliasResponse:
        answer = self._once(
            request,
            lambda: pb.SetAliasResponse(
                previous_version=self.registry.prompts[request.name].aliases.get(request.alias, 0),
                revision=self.registry.alias(request.name, request.alias, request.version),
            ),
        )
        self._begin("SetAlias", request, context)
        return answer

    def GetPrompt(self, request: pb.GetPromptRequest, context: grpc.ServicerContext) -> pb.GetPromptResponse:
        self._begin("GetPrompt", request, context)
        return pb.GetPromptResponse(
            prompt=self.registry.prompts[request.name], info=common.ReadInfo(revision=self.registry.revision)
        )

    def ListPrompts(self, request: pb.ListPromptsRequest, context: grpc.ServicerContext) -> pb.ListPromptsResponse:
        self._begin("ListPrompts", request, context)
        names = [name for name in sorted(self.registry.prompts) if name.startswith(request.name_prefix)]
        rest = [name for name in names if name > request.page_token]
        return pb.ListPromptsResponse(
            prompts=[self.registry.prompts[name] for name in rest[:2]], next_page_token=rest[1] if rest[2:] else ""
        )

    def StreamChanges(
        self, request: pb.StreamChangesRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamChangesResponse]:
        self._begin("StreamChanges", request, context)
        at = request.after.number if request.HasField("after") else self.registry.number
        yield pb.StreamChangesResponse(revision=common.Revision(epoch=self.registry.epoch, number=at))
        while True:
            with self.registry.changed:
                while len(self.registry.log) <= at:
                    if request.stop_at_end:
                        return
                    self.registry.changed.wait(0.05)
                    if not context.is_active():
                        return
                entry = self.registry.log[at]
            at += 1
            yield entry
            if failures := self.failures.get("StreamChanges"):
                context.abort_with_status(failures.popleft())

    def Watch(self, requests: Iterator[pb.WatchRequest], context: grpc.ServicerContext) -> Iterator[pb.WatchResponse]:
        hello = next(requests).hello
        self._begin("Watch", hello, context)
        stream = ServedStream(self.registry, hello, self)
        context.add_callback(lambda: stream.outbox.put(None))
        self.streams.append(stream)
        threading.Thread(target=stream.listen, args=(requests,), daemon=True).start()
        yield from iter(stream.outbox.get, None)

    def push(self) -> None:
        """Tells every stream what it has not been told."""
        for stream in self.streams:
            stream.tell()


class ServedStream:
    """The service's half of one Watch stream. It needs no thread: only `listen` makes one."""

    def __init__(self, registry: Registry, hello: pb.WatchHello, service: FakeService | None = None) -> None:
        self.service = service or FakeService(registry)
        self.registry = registry
        self.hello = hello
        self.outbox: queue.SimpleQueue[pb.WatchResponse | None] = queue.SimpleQueue()
        self.follows: dict[str, set[str | int]] = {}
        self.told: dict[str, bytes] = {}
        self.at = 0
        self.over = False
        with self.registry.changed:
            resumes = hello.HasField("resume") and hello.resume.epoch == self.registry.epoch
            if hello.HasField("resume") and not resumes:
                self.outbox.put(pb.WatchResponse(resync=pb.WatchResync(reason="EPOCH_CHANGED")))
            self._follow(hello.subscriptions)
            if resumes:
                self.at = hello.resume.number
                self.told = {
                    name: self._state(name).SerializeToString(deterministic=True)
                    for name in self.follows
                    if name not in self.registry.prompts or self.registry.prompts[name].etag <= self.at
                }
            self.tell(even_nothing=True)

    def _follow(self, subscriptions: Any) -> None:
        for one in subscriptions:
            self.follows.setdefault(one.name, set()).update(one.aliases, one.versions)
            self.told.pop(one.name, None)

    def _state(self, name: str) -> pb.PromptState:
        if name not in self.registry.prompts:
            return pb.PromptState(name=name)
        numbers = {self.registry.number_of(name, selector) for selector in self.follows[name]}
        bodies = [
            self.registry.version(name, number, with_aliases=False)
            for number in sorted(numbers)
            if (name, number) in self.registry.versions
        ]
        return pb.PromptState(name=name, prompt=self.registry.prompts[name], versions=bodies)

    def tell(self, even_nothing: bool = False) -> None:
        with self.registry.changed:
            states = []
            for name in self.follows:
                state = self._state(name)
                packed = state.SerializeToString(deterministic=True)
                if self.told.get(name) != packed:
                    self.told[name] = packed
                    states.append(state)
            if states or even_nothing:
                update = pb.WatchUpdate(prev_revision=self.at, revision=self.registry.revision, states=states)
                self.outbox.put(pb.WatchResponse(update=update))
                self.at = self.registry.number

    def listen(self, requests: Iterator[pb.WatchRequest]) -> None:
        threading.Thread(target=self._follow_changes, daemon=True).start()
        try:
            for request in requests:
                self.service.calls.append((f"Watch.{request.WhichOneof('message')}", request))
                if self.service.bookmarks or not request.HasField("renew"):
                    self.handle(request)
        except grpc.RpcError:
            pass
        self.over = True

    def handle(self, request: pb.WatchRequest) -> None:
        with self.registry.changed:
            if request.HasField("subscribe"):
                self._follow(request.subscribe.subscriptions)
                self.tell()
            elif request.HasField("unsubscribe"):
                for name in request.unsubscribe.names:
                    self.follows.pop(name, None)
            elif request.HasField("renew"):
                self.tell()
                bookmark = pb.WatchBookmark(nonce=request.renew.nonce, revision=self.registry.revision)
                self.outbox.put(pb.WatchResponse(bookmark=bookmark))
                self.at = self.registry.number

    def restart(self, reason: str) -> None:
        """History is another one."""
        with self.registry.changed:
            self.outbox.put(pb.WatchResponse(resync=pb.WatchResync(reason=reason)))
            self.told.clear()
            self.at = 0
            self.tell(even_nothing=True)

    def _follow_changes(self) -> None:
        while not self.over:
            with self.registry.changed:
                self.registry.changed.wait(0.05)
                if self.service.pushes:
                    self.tell()

    def end(self) -> None:
        self.outbox.put(None)


@contextmanager
def serving(service: FakeService, port: int = 0) -> Iterator[str]:
    """Its target, while it serves."""
    server = grpc.server(futures.ThreadPoolExecutor(16))
    add_PromptServiceServicer_to_server(service, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        for gate in service.gates.values():
            gate.release(100)
        for stream in service.streams:
            stream.over = True
            stream.end()
        server.stop(None).wait(5)


def main() -> None:
    """Serves a prompt `a` with two versions, `production` at the first, until stdin ends. Prints its target."""
    registry = Registry()
    registry.register("a")
    registry.register("a")
    registry.alias("a", "production", 1)
    with serving(FakeService(registry)) as target:
        print(target, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
