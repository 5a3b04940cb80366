"""The streams of promptwire.v1.PromptService: an agent's Watch, and the change feed."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import suppress

from promptwire.domain import limits
from promptwire.domain.names import (
    check_namespace,
    check_prompt_name,
    check_selector_alias,
    check_version,
)
from promptwire.domain.references import Selector
from promptwire.domain.violations import Violation
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.domain.errors import RegistryError, compacted, epoch_changed, invalid, refuse, shutting_down
from promptwire_service.domain.records import Revision
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context, Reply
from promptwire_service.rpc.connection_age import ConnectionAge
from promptwire_service.rpc.wire_values import revision_of, seconds_of
from promptwire_service.storage.tasks import end
from promptwire_service.watch.coherence import Coherence
from promptwire_service.watch.hub import Hub
from promptwire_service.watch.tail import Tail
from promptwire_service.watch.watcher import Bookmark, Frame, Goodbye, Resync, State, Tokens, Update, Watcher

_AGED_RETRY_MS = 0
"""An old connection is the agent's alone: there is nothing to wait for before it comes on another."""
_CHANGES_PAGE = 256
_CHANGES_WAIT_SECONDS = 30.0
_RENEW_PATIENCE_SECONDS = 0.025
"""How much later a lease may be renewed, so that the renewals of many streams share a round trip to the store."""
_SUBSCRIPTIONS_AT_ONCE = 500
"""Read in one turn of the event loop."""
_HELD_MAX_SECONDS = 365 * 86_400.0


class WatchService:
    """Bound by `binding.bind` beside PromptService."""

    def __init__(self, coherence: Coherence, age: ConnectionAge | None = None) -> None:
        self._coherence = coherence
        self._age = age or ConnectionAge(0.0)

    async def watch(self, requests: AsyncIterator[pb.WatchRequest], context: Context) -> AsyncGenerator[Reply, None]:
        first = await anext(requests, None)
        if first is None:
            return
        if first.WhichOneof("message") != "hello":
            raise invalid(Violation("hello", "must be the first message of the stream, once"))
        hello = first.hello
        namespace = translate.namespace_of(hello.namespace)
        refuse(
            check_namespace(namespace),
        )
        follows, held = await _follows(hello.subscriptions, "hello.subscriptions")
        resume = revision_of(hello, "resume", "hello.resume")
        peer = context.peer()
        async with self._coherence.watching(peer, namespace) as space:
            hub = space.hub
            # Nothing is waited for between this and the hub's knowing the watcher: a drain finds it, or is found here.
            self._refuse_if_draining()
            watcher = Watcher(hub, hello.client_id, hello.client_name, peer, time.time_ns() // 1_000_000)
            watcher.reports = hello.reports
            try:
                await hub.open(watcher, follows, resume, held)
                reader = asyncio.create_task(_listen(requests, hub, watcher))
                try:
                    with self._age.at_end_of_stream(watcher.goodbye, _AGED_RETRY_MS):
                        async for frame in watcher.frames():
                            yield encode(frame)
                finally:
                    await end(reader)
            finally:
                hub.leave(watcher)

    async def stream_changes(self, request: pb.StreamChangesRequest, context: Context) -> AsyncGenerator[Reply, None]:
        namespace = translate.namespace_of(request.namespace)
        refuse(check_namespace(namespace), *(check_prompt_name(name, "names") for name in request.names))
        names, after = set(request.names), revision_of(request, "after")
        async with self._coherence.watching(context.peer(), namespace) as space:
            async for change in self._changes(request, namespace, space.tail, names, after):
                yield change

    async def _changes(
        self,
        request: pb.StreamChangesRequest,
        namespace: str,
        tail: Tail,
        names: set[str],
        after: Revision | None,
    ) -> AsyncGenerator[pb.StreamChangesResponse, None]:
        await tail.poll()
        at = after or tail.head
        begun = False
        aged = self._age.stream_ends_at()
        while True:
            page = await self._coherence.store.read_log(namespace, after=at.number, limit=_CHANGES_PAGE)
            if page.head.epoch != at.epoch or at.number > page.head.number:
                raise epoch_changed(page.head.epoch)
            if at.number < page.floor:
                raise compacted(at.number, page.floor)
            if not begun:
                # Told at once where the stream begins, so that the caller can resume even if nothing ever changes.
                yield pb.StreamChangesResponse(revision=translate.revision(at))
                begun = True
            for entry in page.entries:
                at = Revision(at.epoch, entry.number)
                reply = translate.log_entry(entry, at.epoch)
                if not names or any(change.name in names for change in entry.changes):
                    yield reply
            left = aged - asyncio.get_running_loop().time()
            if left <= 0 and not request.stop_at_end:
                return
            if at.number < page.head.number:
                continue
            if request.stop_at_end:
                return
            self._refuse_if_draining()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _CHANGES_WAIT_SECONDS)):
                    await tail.wait_moved(at)

    def _refuse_if_draining(self) -> None:
        if self._coherence.draining:
            raise shutting_down()


async def _listen(requests: AsyncIterator[pb.WatchRequest], hub: Hub, watcher: Watcher) -> None:
    """Does what the agent asks; a failure ends the stream with it, as does the end of the requests."""
    try:
        async for request in requests:
            match request.WhichOneof("message"):
                case "subscribe":
                    subscriptions = request.subscribe.subscriptions
                    follows, tokens = await _follows(subscriptions, "subscribe.subscriptions", watcher)
                    await hub.follow(watcher, follows, tokens)
                case "unsubscribe":
                    hub.unfollow(watcher, request.unsubscribe.names)
                case "renew":
                    # With the store away there is no bookmark, and the agent's lease tells it so; the stream stays.
                    with suppress(RegistryError):
                        await hub.tail.poll(_RENEW_PATIENCE_SECONDS)
                        watcher.bookmark(request.renew.nonce)
                case "applied":
                    at = revision_of(request.applied, "revision", "applied.revision")
                    held = seconds_of(request.applied, "held", _HELD_MAX_SECONDS, "applied.held")
                    if at is not None and at.epoch == hub.revision.epoch:
                        # No agent has what is not published.
                        hub.convergence.applied(watcher, min(at.number, hub.revision.number), held)
                case "hello":
                    raise invalid(Violation("hello", "must be the first message of the stream, once"))
    except Exception as error:
        watcher.end(error)
    else:
        watcher.end()


async def _follows(
    subscriptions: Iterable[pb.Subscription], field: str, watcher: Watcher | None = None
) -> tuple[dict[str, set[Selector]], dict[str, Tokens]]:
    """The selectors of each prompt, and the tokens of what the agent holds of it."""
    follows: dict[str, set[Selector]] = {}
    violations: list[Violation | None] = []
    held: dict[str, Tokens] = {}
    for index, subscription in enumerate(subscriptions):
        name, where = subscription.name, f"{field}[{index}]"
        violations.append(check_prompt_name(name, f"{where}.name"))
        violations += (check_selector_alias(alias, f"{where}.aliases") for alias in subscription.aliases)
        violations += (check_version(version, f"{where}.versions") for version in subscription.versions)
        follows.setdefault(name, set()).update(subscription.aliases, subscription.versions)
        if subscription.held:
            held[name] = held.get(name, frozenset()).union(subscription.held)
        followed = watcher.follows.get(name, ()) if watcher else ()
        if len(follows[name]) + len(followed) > limits.SELECTORS_MAX_PER_PROMPT:
            most = f"must be at most {limits.SELECTORS_MAX_PER_PROMPT:,} aliases and versions of one prompt on a stream"
            violations.append(Violation(where, most))
        if index % _SUBSCRIPTIONS_AT_ONCE == _SUBSCRIPTIONS_AT_ONCE - 1:
            await asyncio.sleep(0)
    refuse(*violations)
    return follows, held


def encode(frame: Frame) -> bytes:
    if isinstance(frame, Update):
        if frame.wire is None:
            frame.wire = pb.WatchResponse(update=_update(frame)).SerializeToString()
        return frame.wire
    return _message(frame).SerializeToString()


def _message(frame: Bookmark | Resync | Goodbye) -> pb.WatchResponse:
    match frame:
        case Bookmark(nonce, at):
            return pb.WatchResponse(bookmark=pb.WatchBookmark(nonce=nonce, revision=translate.revision(at)))
        case Resync(reason):
            return pb.WatchResponse(resync=pb.WatchResync(reason=reason))
        case Goodbye(retry_after_ms):
            return pb.WatchResponse(goodbye=pb.WatchGoodbye(retry_after_ms=retry_after_ms))


def _update(update: Update) -> pb.WatchUpdate:
    return pb.WatchUpdate(
        prev_revision=update.prev,
        revision=translate.revision(update.revision),
        states=[_state(state) for state in update.states],
        more=update.more,
    )


def _state(state: State) -> pb.PromptState:
    return pb.PromptState(
        name=state.name,
        prompt=translate.prompt(state.prompt) if state.prompt else None,
        versions=[translate.version(body) for body in state.bodies],
        held=state.held,
        continues=state.continues,
    )
