"""The service called as its protocol says, without the client's help: each attempt is recorded as it was answered."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc

from promptwire._core.rpc_errors import from_rpc_error
from promptwire.v1 import common_pb2 as common
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.faults.history import Op, Outcome, Sink, now, target_text

CALL_SECONDS = 2.0
_REFUSED = {
    "ABORTED",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
}
"""Codes that mean: surely not carried out."""
_ABSENT = ("ALIAS_NOT_FOUND", "PROMPT_NOT_FOUND", "VERSION_NOT_FOUND", "PROMPT_DELETED", "VERSION_DELETED")
"""Reasons that mean: there is none."""
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Each its own connection: else all sessions of a process would break together.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.lb_policy_name", "round_robin"),
]


def open_channel(target: str) -> grpc.Channel:
    return grpc.insecure_channel(target, options=_OPTIONS)


class Raw:
    """One session on one channel. It keeps the newest revision of each namespace that it was told, its token."""

    def __init__(self, client: str, target: str, sink: Sink) -> None:
        self.client = client
        self.tokens: dict[str, tuple[str, int]] = {}
        self._sink = sink
        self._numbers = itertools.count(1)
        self._channel = open_channel(target)
        self.stub = PromptServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def request_id(self) -> str:
        return f"{self.client}.{next(self._numbers)}"

    def register(self, namespace: str, name: str, text: str, request_id: str) -> Op:
        request = pb.RegisterPromptRequest(
            namespace=namespace, name=name, content=common.Content(text=text), write=_write(request_id)
        )
        asked = {"kind": "register", "text": text}
        return self._write(self.stub.RegisterPrompt, request, asked, lambda answer: {"version": answer.version.version})

    def set_alias(
        self, namespace: str, name: str, alias: str, version: int, request_id: str, expected: int | None = None
    ) -> Op:
        request = pb.SetAliasRequest(
            namespace=namespace,
            name=name,
            alias=alias,
            version=version,
            expected_version=expected,
            write=_write(request_id),
        )
        asked = {"kind": "set_alias", "selector": alias, "version": version, "target": str(version)}
        return self._write(self.stub.SetAlias, request, asked | _expects(expected), _moved)

    def set_split(self, namespace: str, name: str, alias: str, weights: Mapping[int, float], request_id: str) -> Op:
        request = pb.SetAliasSplitRequest(
            namespace=namespace, name=name, alias=alias, weights=weights, write=_write(request_id)
        )
        return self._write(
            self.stub.SetAliasSplit,
            request,
            {"kind": "set_split", "selector": alias},
            lambda answer: {**_moved(answer), "target": target_of(0, answer.split)},
        )

    def delete_alias(self, namespace: str, name: str, alias: str, request_id: str, expected: int | None = None) -> Op:
        request = pb.DeleteAliasRequest(
            namespace=namespace, name=name, alias=alias, expected_version=expected, write=_write(request_id)
        )
        asked = {"kind": "delete_alias", "selector": alias} | _expects(expected)
        return self._write(self.stub.DeleteAlias, request, asked, _moved)

    def rollback(self, namespace: str, name: str, alias: str, request_id: str, to_version: int = 0) -> Op:
        """To what was live before, or to a version."""
        request = pb.RollbackAliasRequest(
            namespace=namespace, name=name, alias=alias, to_version=to_version or None, write=_write(request_id)
        )
        return self._write(
            self.stub.RollbackAlias,
            request,
            {"kind": "rollback", "selector": alias, "version": to_version},
            lambda answer: {**_moved(answer), "target": target_of(answer.version, split_of(answer, "split"))},
        )

    def release(self, namespace: str, name: str, aliases: Iterable[str], version: int, request_id: str) -> Op:
        """Points aliases of one prompt at a version, at once."""
        steps = [pb.ReleaseStep(move=pb.MoveStep(name=name, alias=alias, version=version)) for alias in aliases]
        request = pb.ReleaseRequest(namespace=namespace, title="faults", steps=steps, write=_write(request_id))
        return self._write(self.stub.Release, request, {"kind": "release", "name": name, "version": version}, _effects)

    def undo(self, namespace: str, name: str, number: int, request_id: str) -> Op:
        """Takes back the release of a revision, which was of this prompt."""
        request = pb.UndoReleaseRequest(namespace=namespace, number=number, write=_write(request_id))
        asked = {"kind": "undo", "name": name, "undoes": number}
        return self._write(self.stub.UndoRelease, request, asked, _effects)

    def set_tags(self, namespace: str, name: str, version: int, tags: dict[str, str], request_id: str) -> Op:
        """Of a version, or with version 0 of the prompt."""
        request = pb.SetTagsRequest(
            namespace=namespace, name=name, version=version or None, tags=tags, write=_write(request_id)
        )
        return self._write(self.stub.SetTags, request, {"kind": "set_tags", "version": version, "tags": tags})

    def delete_tags(self, namespace: str, name: str, version: int, keys: tuple[str, ...], request_id: str) -> Op:
        """Of a version, or with version 0 of the prompt."""
        request = pb.DeleteTagsRequest(
            namespace=namespace, name=name, version=version or None, keys=keys, write=_write(request_id)
        )
        return self._write(self.stub.DeleteTags, request, {"kind": "delete_tags", "version": version, "keys": keys})

    def delete_version(self, namespace: str, name: str, version: int, request_id: str, *, drop: bool = False) -> Op:
        """With `drop`, aliases that lead to it go with it."""
        request = pb.DeleteVersionRequest(
            namespace=namespace, name=name, version=version, drop_aliases=drop, write=_write(request_id)
        )
        return self._write(self.stub.DeleteVersion, request, {"kind": "delete_version", "version": version})

    def undelete_version(self, namespace: str, name: str, version: int, request_id: str) -> Op:
        request = pb.UndeleteVersionRequest(namespace=namespace, name=name, version=version, write=_write(request_id))
        return self._write(self.stub.UndeleteVersion, request, {"kind": "undelete_version", "version": version})

    def delete_prompt(self, namespace: str, name: str, request_id: str) -> Op:
        request = pb.DeletePromptRequest(namespace=namespace, name=name, write=_write(request_id))
        return self._write(self.stub.DeletePrompt, request, {"kind": "delete_prompt"})

    def undelete_prompt(self, namespace: str, name: str, request_id: str) -> Op:
        request = pb.UndeletePromptRequest(namespace=namespace, name=name, write=_write(request_id))
        return self._write(self.stub.UndeletePrompt, request, {"kind": "undelete_prompt"})

    def resolve(
        self,
        namespace: str,
        name: str,
        selector: str,
        *,
        strong: bool = False,
        token: bool = False,
        key: str | None = None,
    ) -> Op:
        """Reads what an alias, `latest` or a number means, at this session's token or newer if asked to."""
        least = self.tokens.get(namespace) if token else None
        request = pb.ResolveRequest(namespace=namespace, reference=_reference(name, selector), key=key)
        if strong:
            request.read.consistency = common.CONSISTENCY_STRONG
        if least:
            request.read.min_revision.CopyFrom(common.Revision(epoch=least[0], number=least[1]))
        asked: dict[str, Any] = {
            "kind": "read",
            "namespace": namespace,
            "name": name,
            "selector": selector,
            "strong": strong,
            "token": least,
        }
        start = now()
        try:
            answer = self.stub.Resolve(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            reason, code = reason_of(error)
            outcome: Outcome = "ok" if reason in _ABSENT else "failed"
            return self._record(start, asked, outcome=outcome, reason=reason or code)
        version, info = answer.version, answer.info
        # To the next millisecond: that is what the service rounds up to.
        age_ns = info.max_age.ToNanoseconds()
        return self._record(
            start,
            asked,
            version=version.version,
            target=target_of(0, split_of(answer, "split")),
            text=version.content.text,
            tags=dict(version.tags),
            aliases=tuple(version.aliases),
            epoch=info.revision.epoch,
            revision=info.revision.number,
            max_age_ns=age_ns,
        )

    def _write(
        self,
        method: Any,
        request: Any,
        asked: dict[str, Any],
        told: Callable[[Any], dict[str, Any]] = lambda _: {},
    ) -> Op:
        asked = {"name": getattr(request, "name", "")} | asked
        asked |= {"namespace": request.namespace, "request_id": request.write.request_id}
        start = now()
        try:
            answer = method(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            reason, code = reason_of(error)
            outcome: Outcome = "failed" if code in _REFUSED else "unknown"
            return self._record(start, asked, outcome=outcome, reason=reason or code)
        asked |= told(answer)
        return self._record(start, asked, epoch=answer.revision.epoch, revision=answer.revision.number)

    def _record(self, start: int, asked: dict[str, Any], **answered: Any) -> Op:
        op = Op(client=self.client, start=start, end=now(), **asked, **answered)
        self._sink.add(op)
        if op.epoch:
            self.saw(op.namespace, op.epoch, op.revision)
        return op

    def saw(self, namespace: str, epoch: str, revision: int) -> None:
        held = self.tokens.get(namespace)
        if held is None or held[0] != epoch or held[1] < revision:
            self.tokens[namespace] = (epoch, revision)


def reason_of(error: grpc.RpcError) -> tuple[str, str]:
    """The service's reason, empty if it is not the service's error, and gRPC's code."""
    return from_rpc_error(error, "the service", CALL_SECONDS).reason, error.code().name


def target_of(version: int, split: common.Split | None = None) -> str:
    """As history.target_text has it."""
    if split is None:
        return target_text(version)
    return target_text(0, split.salt, [(one.end, one.version) for one in split.segments])


def previous_of(told: Any) -> str:
    """What an alias pointed at before, by an answer or a change."""
    return target_of(told.previous_version, split_of(told, "previous_split"))


def split_of(message: Any, field: str) -> common.Split | None:
    """A field that is absent where an alias is not split, or of a message that has no such field."""
    has = field in message.DESCRIPTOR.fields_by_name and message.HasField(field)
    return getattr(message, field) if has else None


def _moved(answer: Any) -> dict[str, Any]:
    return {"previous": previous_of(answer)}


def _effects(answer: Any) -> dict[str, Any]:
    moves = {one.alias: [target_of(one.version, split_of(one, "split")), previous_of(one)] for one in answer.effects}
    # Where history was exchanged, a release of that number may have been of another prompt.
    return {"name": answer.effects[0].name, "moves": moves}


def _expects(version: int | None) -> dict[str, Any]:
    return {} if version is None else {"expected": target_of(version)}


def _reference(name: str, selector: str) -> str:
    return f"{name}/{selector}" if selector.isdigit() else f"{name}@{selector}"


def _write(request_id: str) -> common.WriteOptions:
    return common.WriteOptions(request_id=request_id, actor="faults")
