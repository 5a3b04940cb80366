"""promptwire.v1.PromptService.DiffVersions: the command, with messages on either side."""

import asyncio

from promptwire.domain.diffs import DiffLine, PartKind, SegmentKind
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.context import Registry
from promptwire_service.commands.diff_versions import Compared, diff_versions
from promptwire_service.commands.work import pause
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
_LINES_AT_ONCE = 500


class DiffService:
    """Bound by `binding.bind` beside PromptService."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def diff_versions(self, request: pb.DiffVersionsRequest, _: Context) -> bytes:
        compared = await diff_versions(
            self._registry,
            namespace=translate.namespace_of(request.namespace),
            name=request.name,
            before=request.before,
            after=request.after,
            context_lines=request.context_lines if request.HasField("context_lines") else None,
            freshness=translate.freshness_of(request),
        )
        # Its lines have hundreds of thousands of segments at most.
        return await asyncio.get_running_loop().run_in_executor(self._registry.worker, _encoded, compared)


def _encoded(compared: Compared) -> bytes:
    response = pb.DiffVersionsResponse(
        before=_side(compared.before),
        after=_side(compared.after),
        info=translate.read_info(compared.revision, compared.max_age_seconds),
    )
    for part in compared.parts:
        message = response.parts.add(name=part.name, kind=_PARTS[part.kind], coarse=not part.by_words, cut=part.cut)
        for hunk in part.hunks:
            lines = message.hunks.add().lines
            for index, line in enumerate(hunk.lines):
                lines.append(_line(line))
                if index % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                    pause()
    return response.SerializeToString()


def _side(version: VersionRecord) -> pb.DiffSide:
    return pb.DiffSide(
        version=version.version,
        digest=version.digest,
        commit_message=version.commit_message,
        author=version.author,
        create_time=translate.timestamp(version.created_ms),
    )


def _line(line: DiffLine) -> pb.DiffLine:
    return pb.DiffLine(
        before_line=line.before_line or 0,
        after_line=line.after_line or 0,
        segments=(pb.DiffSegment(kind=_SEGMENTS[one.kind], text=one.text) for one in line.segments),
    )
