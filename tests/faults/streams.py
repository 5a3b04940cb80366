"""Readers of raw streams: one follows prompts by Watch, one reads the change feed; both go on over reconnects."""

import queue
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc

from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.faults.history import Change, Entry, Sink, Told, lineage_of, now
from tests.faults.raw import open_channel, previous_of, reason_of, split_of, target_of

RENEW_SECONDS = 0.4
SILENT_SECONDS = 3.0
"""After so long without an answer to a Renew the stream is given up."""
LAST_SECONDS = 20.0
"""How long a watcher may take, once all is well again, to be told the last state."""


class Watcher:
    """Follows prompts over one stream after the other, and records all that it is told."""

    def __init__(
        self,
        client: str,
        target: str,
        namespace: str,
        follows: dict[str, list[str]],
        seed: int,
        sink: Sink,
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self.client = client
        self._renew_seconds = renew_seconds
        self._namespace = namespace
        self._follows = follows
        self._draw = random.Random(seed)
        self._sink = sink
        self._channel = open_channel(target)
        self._stub = PromptServiceStub(self._channel)
        self._ended = threading.Event()
        self._finishing = threading.Event()
        self._requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._sent: dict[int, int] = {}
        self._nonce = 0
        self._final_nonce = 0
        self._call: Any = None
        self._at: tuple[str, int] | None = None
        self._told: set[str] = set()
        self._bodies: dict[str, dict[bytes, common.PromptVersion]] = {}
        """By prompt and token: those that the last state of the prompt listed."""
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read, self._tick)]
        for thread in self._threads:
            thread.start()

    def wait_told(self) -> None:
        """Returns once it was told of every prompt that it follows."""
        deadline = now() + LAST_SECONDS * 1e9
        while len(self._told) < len(self._follows):
            assert now() < deadline, "a watcher is not told what it asked for"
            threading.Event().wait(0.01)

    def finish(self) -> None:
        """Waits until a Renew that was sent from now on is answered; then ends. Records `done` either way."""
        self._finishing.set()
        self._ended.wait(LAST_SECONDS)
        self._ended.set()
        if self._call is not None:
            self._call.cancel()
        for thread in self._threads:
            thread.join(LAST_SECONDS)
        self._record("done")
        self._channel.close()

    def _tick(self) -> None:
        """Sends Renews, and gives up a stream that does not answer."""
        while not self._ended.wait(self._renew_seconds):
            call, waiting = self._call, min(self._sent.values(), default=None)
            if call is None:
                continue
            if waiting is not None and now() - waiting > SILENT_SECONDS * 1e9:
                call.cancel()
                continue
            self._nonce += 1
            if self._finishing.is_set() and not self._final_nonce:
                self._final_nonce = self._nonce
            self._sent[self._nonce] = now()
            self._requests.put(pb.WatchRequest(renew=pb.WatchRenew(nonce=self._nonce)))

    def _read(self) -> None:
        while not self._ended.is_set():
            try:
                self._stream()
            except grpc.RpcError as error:
                self._record("end", reason=str(error.code()))
            self._call = None
            # A stream that a drain ended, or a service that is gone: a moment, not a condition, is what is wanted.
            self._ended.wait(self._draw.uniform(0.02, 0.2))

    def _stream(self) -> None:
        resumes = self._at is not None and bool(self._told)
        names = [name for name in self._follows if not resumes or name in self._told]
        if not resumes and len(names) > 1 and self._draw.random() < 0.5:
            names = names[:-1]  # the last one is asked for once the stream runs
        requests: queue.SimpleQueue[pb.WatchRequest | None] = queue.SimpleQueue()
        self._requests, self._sent = requests, {}
        hello = pb.WatchHello(
            namespace=self._namespace,
            client_id=self.client,
            resume=_revision(self._at) if resumes else None,
            subscriptions=self._subscriptions(names),
        )
        follows = {name: self._follows[name] for name in names}
        self._record("open", token=self._at if resumes else None, follows=follows)
        replacing, greeted, parts = not resumes, False, list[pb.WatchUpdate]()
        requests.put(pb.WatchRequest(hello=hello))
        self._call = self._stub.Watch(iter(requests.get, None))
        try:
            for message in self._call:
                match message.WhichOneof("message"):
                    case "resync":
                        # Until what replaces it is complete, there is nothing to resume from.
                        self._at, self._told, replacing, parts = None, set(), True, []
                        self._record("resync", reason=message.resync.reason)
                    case "update":
                        parts.append(message.update)
                        if not message.update.more:
                            self._update(parts)
                            parts, replacing = [], False
                            if not greeted:
                                self._follow_rest(names)
                            greeted = True
                    case "bookmark" if not replacing:
                        self._bookmark(message.bookmark)
                    case "goodbye":
                        self._record("end", reason="goodbye")
                        return
        finally:
            requests.put(None)
            self._call.cancel()

    def _follow_rest(self, names: list[str]) -> None:
        rest = {name: aliases for name, aliases in self._follows.items() if name not in names}
        if rest:
            self._record("follow", follows=rest)
            subscriptions = self._subscriptions(rest)
            self._requests.put(pb.WatchRequest(subscribe=pb.WatchSubscribe(subscriptions=subscriptions)))

    def _update(self, parts: list[pb.WatchUpdate]) -> None:
        first, last = parts[0], parts[-1]
        states = {state.name: self._state(state) for state in _whole(parts)}
        self._at = (last.revision.epoch, last.revision.number)
        self._told |= states.keys()
        self._record("update", epoch=self._at[0], revision=self._at[1], previous=first.prev_revision, states=states)

    def _subscriptions(self, names: Iterable[str]) -> list[pb.Subscription]:
        """Some tell what is held: it counts whatever became of the history since."""
        tells = self._draw.random() < 0.7
        return [
            pb.Subscription(name=name, aliases=self._follows[name], held=self._bodies.get(name, ()) if tells else ())
            for name in names
        ]

    def _state(self, state: pb.PromptState) -> dict[str, Any] | None:
        known = self._bodies.get(state.name, {})
        bodies = {body.token: body for body in state.versions}
        held = {token: known[token] for token in state.held}
        self._bodies[state.name] = held | bodies
        # What a state only confirms was not told again, unless what was told before no longer counts.
        return _state(state, bodies if state.name in self._told else held | bodies)

    def _bookmark(self, bookmark: pb.WatchBookmark) -> None:
        self._at = (bookmark.revision.epoch, bookmark.revision.number)
        sent = self._sent.get(bookmark.nonce, 0)
        for nonce in [nonce for nonce in self._sent if nonce <= bookmark.nonce]:
            del self._sent[nonce]
        self._record("bookmark", epoch=self._at[0], revision=self._at[1], sent=sent)
        if self._final_nonce and bookmark.nonce >= self._final_nonce and len(self._told) == len(self._follows):
            self._ended.set()

    def _record(self, kind: str, **what: Any) -> None:
        self._sink.add(Told(client=self.client, namespace=self._namespace, kind=kind, at=now(), **what))


class FeedReader:
    """Reads every change, from the first one on."""

    def __init__(self, client: str, target: str, namespace: str, sink: Sink) -> None:
        self.client = client
        self._namespace = namespace
        self._sink = sink
        self._channel = open_channel(target)
        self._stub = PromptServiceStub(self._channel)
        self._ended = threading.Event()
        self._at: tuple[str, int] | None = None
        self._call: Any = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Reads to the end, once no more is written; records `feed_done`."""
        self._ended.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(LAST_SECONDS)
        deadline = now() + LAST_SECONDS * 1e9
        while now() < deadline and not self._stream(to_end=True):
            threading.Event().wait(0.1)
        self._record("feed_done")
        self._channel.close()

    def _read(self) -> None:
        while not self._ended.is_set():
            self._stream(to_end=False)
            self._ended.wait(0.1)

    def _stream(self, to_end: bool) -> bool:
        """Whether it came to the end, if that was asked for."""
        try:
            if self._at is None:
                self._at = (self._first(None).epoch, 0)
            request = pb.StreamChangesRequest(namespace=self._namespace, after=_revision(self._at), stop_at_end=to_end)
            call = self._call = self._stub.StreamChanges(request, timeout=SILENT_SECONDS if to_end else None)
            first = next(call)
            self._record("from", epoch=first.revision.epoch, revision=first.revision.number, token=self._at)
            for message in call:
                self._at = (message.revision.epoch, message.revision.number)
                self._record("change", epoch=self._at[0], revision=self._at[1], entry=_entry(message).plain())
            return to_end
        except grpc.RpcError as error:
            if reason_of(error)[0] == "EPOCH_CHANGED":
                self._cross()
        return False

    def _cross(self) -> None:
        """Goes on in another epoch: where it was if nothing was lost, else from the start."""
        try:
            found = self._first(None)
        except grpc.RpcError:
            return  # tried again with the next stream
        before = self._at or ("", 0)
        goes_on = lineage_of(before[0]) == lineage_of(found.epoch) and before[1] <= found.number
        self._at = (found.epoch, before[1] if goes_on else 0)

    def _first(self, after: tuple[str, int] | None) -> common.Revision:
        request = pb.StreamChangesRequest(namespace=self._namespace, after=_revision(after), stop_at_end=True)
        found: common.Revision = next(self._stub.StreamChanges(request, timeout=SILENT_SECONDS)).revision
        return found

    def _record(self, kind: str, **what: Any) -> None:
        self._sink.add(Told(client=self.client, namespace=self._namespace, kind=kind, at=now(), **what))


def _revision(at: tuple[str, int] | None) -> common.Revision | None:
    return common.Revision(epoch=at[0], number=at[1]) if at else None


def _whole(parts: list[pb.WatchUpdate]) -> Iterator[pb.PromptState]:
    """The states of an update, put together from its parts."""
    whole: pb.PromptState | None = None
    for state in (state for part in parts for state in part.states):
        if state.continues and whole is not None:
            whole.versions.extend(state.versions)
            continue
        if whole is not None:
            yield whole
        whole = state
    if whole is not None:
        yield whole


def _state(state: pb.PromptState, bodies: Mapping[bytes, common.PromptVersion]) -> dict[str, Any] | None:
    if not state.HasField("prompt"):
        return None
    prompt = state.prompt
    splits = {alias: target_of(0, split) for alias, split in prompt.splits.items()}
    return {
        "latest": prompt.latest_version,
        "aliases": {alias: target_of(version) for alias, version in prompt.aliases.items()} | splits,
        "tags": dict(prompt.tags),
        "etag": prompt.etag,
        "deleted": sorted(prompt.deleted_versions),
        "hidden": prompt.HasField("delete_time"),
        "bodies": {str(body.version): {"text": body.content.text, "tags": dict(body.tags)} for body in bodies.values()},
    }


def _entry(message: pb.StreamChangesResponse) -> Entry:
    number, request_id = message.revision.number, message.request_id
    return Entry(number=number, request_id=request_id, changes=tuple(map(_change, message.changes)))


def _change(change: pb.Change) -> Change:
    kind = change.WhichOneof("change") or ""
    what = getattr(change, kind)
    has = what.DESCRIPTOR.fields_by_name
    moves = kind == "alias_set"
    return Change(
        kind,
        change.name,
        version=what.version if "version" in has and not moves else 0,
        alias=what.alias if "alias" in has else "",
        target=target_of(what.version, split_of(what, "split")) if moves else "",
        previous=previous_of(what) if "previous_version" in has else "",
        tags=dict(what.tags) if "tags" in has else {},
        keys=tuple(what.keys) if "keys" in has else (),
    )
