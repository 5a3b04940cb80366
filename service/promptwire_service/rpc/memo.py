"""Answers of Resolve that were given before, already encoded.

Resolving and encoding cost a call more than all the rest that we do for it. What a reference means at a revision is a
fact that never changes, so an answer may be given again for as long as nothing happened in its namespace; and a
version's part of it for as long as neither its record nor its aliases changed.

An answer is put together from encoded fields, which may follow each other in any order. Each is written once: a parser
may keep the last of a field that is repeated, instead of merging them as protobuf's own do.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from promptwire.v1 import common_pb2 as common_pb
from promptwire.v1 import prompt_service_pb2 as pb
from promptwire_service.commands.pairs import Resolved
from promptwire_service.domain.reads import Answer
from promptwire_service.domain.records import Revision, VersionRecord
from promptwire_service.rpc import translate

MEMO_MAX_BYTES: Final = 32 << 20
_ENTRY_OVERHEAD_BYTES: Final = 500
_LENGTH_DELIMITED: Final = 2
"""Wire type of strings and messages."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """`version` is a ResolveResponse without its `info`; `record` and `aliases` are what it was made of."""

    revision: Revision
    record: VersionRecord
    aliases: list[str]
    version: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.version) + _ENTRY_OVERHEAD_BYTES


class ResolveMemo:
    """Keeps up to about `max_bytes` and starts over when that is full: a hot set fits, and a scan takes no more."""

    def __init__(self, max_bytes: int = MEMO_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[tuple[str, str], _Kept] = {}

    def recall(self, namespace: str, reference: str, known: Answer[None] | None) -> bytes | None:
        """The ResolveResponse of the revision that is known now, if it was given before."""
        kept = self._kept.get((namespace, reference))
        if kept is None or known is None or (kept.revision is not known.revision and kept.revision != known.revision):
            return None
        return _join(kept.version, kept.revision, known.max_age_seconds)

    def encode(self, namespace: str, reference: str, pair: Resolved) -> bytes:
        """The ResolveResponse of a pair, which is kept."""
        aliases = pair.prompt.aliases_of(pair.version.version)
        kept = self._kept.pop((namespace, reference), None)
        if kept is not None:
            self._bytes -= kept.size_bytes
        if kept is not None and kept.record is pair.version and kept.aliases == aliases:
            version = kept.version
        else:
            version = pb.ResolveResponse(version=translate.version(pair.version, aliases)).SerializeToString()
        self._keep((namespace, reference), _Kept(pair.revision, pair.version, aliases, version))
        return _join(version, pair.revision, pair.max_age_seconds)

    def _keep(self, key: tuple[str, str], kept: _Kept) -> None:
        if self._bytes + kept.size_bytes > self._max_bytes:
            self._kept.clear()
            self._bytes = 0
        if kept.size_bytes <= self._max_bytes:
            self._kept[key] = kept
            self._bytes += kept.size_bytes


def _join(version: bytes, at: Revision, max_age_seconds: float) -> bytes:
    revision, max_age = _revision(at.epoch, at.number), _max_age(math.ceil(max_age_seconds * 1_000))
    return b"".join((version, _info_header(len(revision) + len(max_age)), revision, max_age))


@lru_cache(maxsize=1_024)
def _revision(epoch: str, number: int) -> bytes:
    """A ReadInfo's revision."""
    return common_pb.ReadInfo(revision=common_pb.Revision(epoch=epoch, number=number)).SerializeToString()


@lru_cache(maxsize=2_048)
def _max_age(milliseconds: int) -> bytes:
    """A ReadInfo's max_age."""
    return common_pb.ReadInfo(max_age=translate.duration(milliseconds)).SerializeToString()


@lru_cache(maxsize=256)
def _info_header(size_bytes: int) -> bytes:
    """What stands before an encoded ReadInfo of this size in a ResolveResponse: the field and the size, as varints."""
    return _varint(pb.ResolveResponse.INFO_FIELD_NUMBER << 3 | _LENGTH_DELIMITED) + _varint(size_bytes)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    return bytes([value & 0x7F | 0x80]) + _varint(value >> 7)
