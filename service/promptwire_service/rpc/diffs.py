"""promptwire.v1.PromptService.DiffVersions: the command, with messages on either side."""

from promptwire.domain.diffs import DiffLine, DiffPart, PartKind, SegmentKind
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.diff_versions import diff_versions
from promptwire_service.domain.records import VersionRecord
from promptwire_service.rpc import translate
from promptwire_service.rpc.binding import Context

_PARTS: dict[PartKind, pb.DiffPartKind.ValueType] = {
    "changed": pb.DIFF_PART_KIND_CHANGED,
    "added": pb.DIFF_PART_KIND_ADDED,
    "removed": pb.DIFF_PART_KIND_REMOVED,
}
_SEGMENTS: dict[SegmentKind, pb.DiffSegmentKind.ValueType] = {
    "equal": pb.DIFF_SEGMENT_KIND_EQUAL,
    "delete": pb.DIFF_SEGMENT_KIND_DELETE,
    "insert": pb.DIFF_SEGMENT_KIND_INSERT,
}


class DiffService:
    """Bound by `binding.bind` beside PromptService."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def diff_versions(self, request: pb.DiffVersionsRequest, _: Context) -> pb.DiffVersionsResponse:
        compared = await diff_versions(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            before=request.before,
            after=request.after,
            context_lines=request.context_lines if request.HasField("context_lines") else None,
            freshness=translate.freshness_of(request),
        )
        return pb.DiffVersionsResponse(
            before=_side(compared.before),
            after=_side(compared.after),
            parts=map(_part, compared.parts),
            info=translate.read_info(compared.revision, compared.max_age_seconds),
        )


def _side(version: VersionRecord) -> pb.DiffSide:
    return pb.DiffSide(
        version=version.version,
        digest=version.digest,
        commit_message=version.commit_message,
        author=version.author,
        create_time=translate.timestamp(version.created_ms),
    )


def _part(part: DiffPart) -> pb.DiffPart:
    return pb.DiffPart(
        name=part.name,
        kind=_PARTS[part.kind],
        hunks=(pb.DiffHunk(lines=map(_line, hunk.lines)) for hunk in part.hunks),
        coarse=not part.by_words,
        cut=part.cut,
    )


def _line(line: DiffLine) -> pb.DiffLine:
    return pb.DiffLine(
        before_line=line.before_line or 0,
        after_line=line.after_line or 0,
        segments=(pb.DiffSegment(kind=_SEGMENTS[one.kind], text=one.text) for one in line.segments),
    )
