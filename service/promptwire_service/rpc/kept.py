"""What is kept for ever, releases and deletions as messages."""

from collections.abc import Iterator

from promptwire.domain.splits import plain
from promptwire.domain.violations import Violation
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire.wire import content_of
from promptwire_service.commands.release import MoveStep, RegisterStep, Released, RemoveStep, Step
from promptwire_service.domain.errors import invalid
from promptwire_service.domain.kept import AliasMoved, Deleted, KeptWrite
from promptwire_service.domain.operations import DeleteAlias, Operation, SetAlias
from promptwire_service.domain.records import Revision
from promptwire_service.rpc import translate


def move(value: AliasMoved, epoch: str) -> pb.AliasMove:
    return pb.AliasMove(
        revision=translate.revision(Revision(epoch, value.number)),
        time=translate.timestamp(value.time_ms),
        actor=value.actor,
        reason=value.reason,
        request_id=value.request_id,
        version=plain(value.target),
        previous_version=plain(value.previous),
        rollback=value.rollback,
        undoes=value.undoes,
        split=translate.split(value.target),
        previous_split=translate.split(value.previous),
    )


def write(value: KeptWrite, epoch: str) -> pb.KeptWrite:
    entry = value.entry
    return pb.KeptWrite(
        revision=translate.revision(Revision(epoch, entry.number)),
        time=translate.timestamp(entry.time_ms),
        actor=entry.actor,
        reason=entry.reason,
        request_id=entry.request_id,
        changes=map(translate.change, entry.changes),
        release=value.release or "",
        undoes=value.undoes,
        undone_by=value.undone_by,
    )


def deleted(value: Deleted, retention_ms: int) -> pb.Deleted:
    return pb.Deleted(
        name=value.name,
        version=value.version,
        delete_time=translate.timestamp(value.deleted_ms),
        purge_time=translate.timestamp(value.deleted_ms + retention_ms),
    )


def steps_of(request: pb.ReleaseRequest) -> Iterator[Step]:
    """Raises RegistryError for a step that is none of the kinds: it cannot be said as a Step."""
    for index, message in enumerate(request.steps):
        match message.WhichOneof("step"):
            case "register":
                step = message.register
                yield RegisterStep(
                    name=step.name,
                    content=content_of(step.content),
                    commit_message=step.commit_message,
                    tags=dict(step.tags),
                    aliases=tuple(step.aliases),
                    expected_latest_version=(
                        step.expected_latest_version if step.HasField("expected_latest_version") else None
                    ),
                )
            case "move":
                yield MoveStep(
                    name=message.move.name,
                    alias=message.move.alias,
                    version=message.move.version,
                    expected_version=(
                        message.move.expected_version if message.move.HasField("expected_version") else None
                    ),
                )
            case "remove":
                yield RemoveStep(
                    name=message.remove.name,
                    alias=message.remove.alias,
                    expected_version=(
                        message.remove.expected_version if message.remove.HasField("expected_version") else None
                    ),
                )
            case None:
                raise invalid(Violation(f"steps[{index}]", "must be a register, a move or a remove"))


def effects(value: Released) -> Iterator[pb.ReleaseEffect]:
    for operation, result in value.effects:
        yield pb.ReleaseEffect(
            name=operation.name,
            alias=_alias(operation),
            version=result.version or plain(result.target),
            split=translate.split(result.target),
            previous_version=plain(result.previous),
            previous_split=translate.split(result.previous),
            problem=translate.problem(result.problem) if result.problem else None,
        )


def _alias(operation: Operation) -> str:
    return operation.alias if isinstance(operation, SetAlias | DeleteAlias) else ""
