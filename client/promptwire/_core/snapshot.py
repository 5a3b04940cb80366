"""The last known good on disk: the file's form, who may have written it, reading, merging and writing. No threads.

A header line and an index line in JSON, then each prompt's PromptState, then the SHA-256 of all of that. The index
tells where a state ends, so that a process that starts decodes only what it uses.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from promptwire._core import decoding
from promptwire._core.followed import alias_of
from promptwire._core.split_alias import Meaning, SplitAlias
from promptwire.domain.content import check_content
from promptwire.domain.references import Selector
from promptwire.domain.templates import messages_of
from promptwire.domain.violations import InvalidValueError
from promptwire.errors import PromptwireError
from promptwire.prompt_version import PromptVersion
from promptwire.v1 import common_pb2, prompt_service_pb2
from promptwire.values import Revision
from promptwire.wire import content_message

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024
KEPT_SECONDS = 30 * 86_400.0
"""What nobody has confirmed for so long is dropped by the next writer."""
UNKNOWN_TIME = 0.0
"""A time of confirmation that cannot be: 1970, so that its age is large."""

_MAGIC = "promptwire-snapshot"
_DIGEST_BYTES = hashlib.sha256().digest_size
_LOCK_SECONDS = 3.0
_SELECTOR = re.compile(r"(?:@[A-Za-z0-9_-]+|/[1-9][0-9]{0,18})\Z")


class Refused(Exception):
    """The file is not used; the text says why."""


class RefusedAsNewer(Refused):
    """It is of a later version of this package, so it is not replaced either."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One prompt as somebody knew it."""

    name: str
    as_of: Revision
    """Revision at which this was so."""
    etag: int
    """Revision number of the prompt's last change."""
    confirmed_at: float
    """Seconds since 1970, when it was surely right."""
    selectors: Mapping[str, float]
    """What is followed, as `@alias` or `/number`, and when somebody who follows it last confirmed it."""
    state: bytes
    """PromptState, serialized; empty when there is no such prompt."""

    def version(self, selector: Selector) -> Meaning | None:
        """What a selector means by this; None if that is not known. Raises PromptwireError or DecodeError."""
        state = prompt_service_pb2.PromptState.FromString(self.state)
        record = decoding.record(state.prompt)
        if split := record.split_of(selector):
            return SplitAlias(name=self.name, alias=str(selector), split=split)
        number = record.version_of(selector)
        message = next((one for one in state.versions if one.version == number), None)
        if number is None or message is None or message.name != self.name:
            return None
        message.aliases[:] = record.aliases_of(number)
        version = decoding.prompt_version(message, alias=alias_of(selector))
        # A digest tells that it was not damaged, not that a service has ever accepted it.
        messages_of(version.content)
        if wrong := check_content(version.content):
            raise InvalidValueError(wrong)
        return version


Entries = dict[str, Entry]
"""By the prompts' names."""


def spelled(selector: Selector) -> str:
    return f"/{selector}" if isinstance(selector, int) else f"@{selector}"


def file_name(target: str, namespace: str) -> str:
    """Readable, and unlike any other target's or namespace's."""
    digest = hashlib.sha256(f"{target}\0{namespace}".encode()).hexdigest()[:16]
    readable = "".join(one if one.isascii() and (one.isalnum() or one in ".-") else "_" for one in target)
    return f"{readable.lstrip('.')[:40]}-{namespace[:40]}-{digest}.snapshot"


def entry(
    name: str,
    record: common_pb2.Prompt | None,
    bodies: Iterable[PromptVersion],
    selectors: Iterable[Selector],
    as_of: Revision,
    confirmed_at: float,
) -> Entry:
    """Of what this process knows."""
    followed = {spelled(one): confirmed_at for one in selectors}
    if record is None:
        return Entry(name, as_of, as_of.number, confirmed_at, followed, b"")
    state = prompt_service_pb2.PromptState(name=name, prompt=record, versions=map(_message, bodies))
    return Entry(name, as_of, record.etag, confirmed_at, followed, state.SerializeToString(deterministic=True))


def read(path: Path, target: str, namespace: str, now: float, max_bytes: int = MAX_BYTES) -> Entries:
    """What the file holds; nothing if there is none. Raises Refused, or OSError."""
    try:
        # Without waiting for whoever writes into what may be a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Refused(
            "it is a symbolic link" if path.is_symlink() else f"it cannot be read: {error.strerror}"
        ) from error
    try:
        _check_owner(os.fstat(descriptor), max_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    finally:
        os.close(descriptor)
    return _parse(data, target, namespace, now)


def _check_owner(found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("it is not a regular file")
    if found.st_uid != os.geteuid():
        raise Refused(f"it belongs to the user with id {found.st_uid}, not to {os.geteuid()}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(f"others may write it (its mode is {stat.S_IMODE(found.st_mode):04o}, it should be 0600)")
    if found.st_size > max_bytes:
        raise Refused(f"it has {found.st_size} bytes, more than {max_bytes}")


def _parse(data: bytes, target: str, namespace: str, now: float) -> Entries:
    content = memoryview(data)[:-_DIGEST_BYTES]
    try:
        header_end = data.index(b"\n") + 1
        header = json.loads(data[:header_end])
        if header["magic"] != _MAGIC:
            raise Refused("it is not a snapshot of prompts")
        if header["format"] > FORMAT:
            raise RefusedAsNewer(f"its format, {header['format']!r:.40}, is newer than this client's, {FORMAT}")
        if hashlib.sha256(content).digest() != data[-_DIGEST_BYTES:]:
            raise Refused("it is damaged: its checksum is not that of its content")
        if (header["target"], header["namespace"]) != (target, namespace):
            raise Refused(f"it is of {header['target']!r:.80} namespace={header['namespace']!r:.80}")
        index_end = data.index(b"\n", header_end) + 1
        index = json.loads(data[header_end:index_end])
        entries = {one.name: one for one in _entries(index, content[index_end:], now)}
        if len(entries) != header["count"]:
            raise Refused(f"it is damaged: it should hold {header['count']!r:.40} prompts, and holds {len(entries)}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Refused(f"it is damaged: {error!r:.200}") from error
    return entries


def _entries(index: Iterable[list[Any]], states: memoryview, now: float) -> Iterator[Entry]:
    """Raises ValueError or TypeError for rows that no client has written, whatever their checksum."""
    at = 0
    for row in index:
        match row:
            case [
                str(name),
                str(epoch),
                int(revision),
                int(etag),
                int() | float() as confirmed_at,
                dict(selectors),
                int(size),
            ]:
                followed = {_checked(selector): _possible(told_at, now) for selector, told_at in selectors.items()}
            case _:
                raise ValueError("a row of its index is not one of a prompt")
        if not 0 <= size <= len(states) - at:
            raise ValueError(f"it has no room for {size} bytes of a prompt")
        state = bytes(states[at : at + size])
        yield Entry(name, Revision(epoch, revision), etag, _possible(confirmed_at, now), followed, state)
        at += size


def _checked(selector: str) -> str:
    if not _SELECTOR.match(selector):
        raise ValueError(f"{selector!r:.60} is not a selector")
    return selector


def _possible(confirmed_at: float, now: float) -> float:
    """A clock that went back must not make what is old look fresh."""
    return float(confirmed_at) if 0 <= confirmed_at <= now else UNKNOWN_TIME


def merge(held: Entries, ours: Iterable[Entry], now: float) -> Entries:
    """What is known of each prompt by whoever knows it better; what nobody confirms any more is left out."""
    merged = dict(held)
    for our in ours:
        theirs = merged.get(our.name)
        merged[our.name] = our if theirs is None else _united(our, theirs)
    fresh = (_without_old(one, now - KEPT_SECONDS) for one in merged.values() if one.state)
    return {one.name: one for one in fresh if one.selectors}


def _united(our: Entry, theirs: Entry) -> Entry:
    newer, older = (our, theirs) if _is_newer(our, theirs) else (theirs, our)
    selectors = dict(older.selectors)
    for selector, told_at in newer.selectors.items():
        selectors[selector] = max(told_at, selectors.get(selector, UNKNOWN_TIME))
    if not newer.state:
        return newer
    confirmed_at = newer.confirmed_at
    if (newer.as_of.epoch, newer.etag) == (older.as_of.epoch, older.etag):
        confirmed_at = max(newer.confirmed_at, older.confirmed_at)
    state = newer.state
    if older.state and older.state != newer.state:
        try:
            state = _with_bodies_of(newer.state, older.state, selectors)
        except READ_ERRORS:  # theirs: it cannot be used
            return our
    return replace(newer, selectors=selectors, confirmed_at=confirmed_at, state=state)


def _is_newer(one: Entry, other: Entry) -> bool:
    if one.as_of.epoch == other.as_of.epoch and one.etag != other.etag:
        return one.etag > other.etag
    return one.confirmed_at >= other.confirmed_at  # of two histories the one that was found later is the registry's


def _with_bodies_of(newer: bytes, older: bytes, selectors: Iterable[str]) -> bytes:
    """The newer state, with every body that a selector leads to and that only the older one has."""
    state = prompt_service_pb2.PromptState.FromString(newer)
    bodies = {one.version: one for one in prompt_service_pb2.PromptState.FromString(older).versions}
    bodies |= {one.version: one for one in state.versions}
    record = decoding.record(state.prompt)
    wanted = (int(one[1:]) if one[0] == "/" else one[1:] for one in selectors)
    needed = {number for selector in wanted for number in record.versions_of(selector)}
    kept = [bodies[number] for number in sorted(needed & bodies.keys())]
    del state.versions[:]
    state.versions.extend(kept)
    return state.SerializeToString(deterministic=True)


def _without_old(one: Entry, since: float) -> Entry:
    if all(told_at >= since for told_at in one.selectors.values()):
        return one
    return replace(one, selectors={key: told_at for key, told_at in one.selectors.items() if told_at >= since})


def fitting(entries: Entries, max_bytes: int = MAX_BYTES) -> Entries:
    """As many as there is room for: those confirmed last come first, and of these the small ones."""
    room = max_bytes - 4096
    kept: Entries = {}
    for one in sorted(entries.values(), key=lambda one: (-one.confirmed_at, len(one.state))):
        room -= len(one.state) + len(json.dumps(_indexed(one))) + 2
        if room < 0:
            break
        kept[one.name] = one
    return kept


def pack(entries: Entries, target: str, namespace: str, revision: Revision, now: float) -> bytes:
    header = {
        "magic": _MAGIC,
        "format": FORMAT,
        "target": target,
        "namespace": namespace,
        "epoch": revision.epoch,
        "revision": revision.number,
        "confirmed_at": max((one.confirmed_at for one in entries.values()), default=now),
        "count": len(entries),
    }
    index = [_indexed(one) for one in entries.values()]
    lines = f"{json.dumps(header)}\n{json.dumps(index, separators=(',', ':'))}\n".encode()
    content = b"".join([lines, *(one.state for one in entries.values())])
    return content + hashlib.sha256(content).digest()


def _indexed(one: Entry) -> list[Any]:
    at = one.as_of
    return [one.name, at.epoch, at.number, one.etag, one.confirmed_at, dict(one.selectors), len(one.state)]


def replace_file(path: Path, data: bytes) -> None:
    """For whoever holds the lock, atomically: a reader, or a crash, finds the old file or the new. Raises OSError."""
    for leftover in path.parent.glob(f"{path.name}.*.tmp"):  # of writers that were killed
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Lock:
    """One writer at a time, over all processes that share a file."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor = -1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Raises OSError, also when another process keeps it."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._acquire()
            yield
        finally:
            # Before it is closed: a copy in a child that was forked a moment ago must not go on holding it.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _acquire(self) -> None:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"another process has held {self._path} for {_LOCK_SECONDS:g} s") from error
                time.sleep(0.02)

    def forked(self) -> None:
        """In a child process: its copy of the descriptor would keep the lock as long as the child lives."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _message(value: PromptVersion) -> common_pb2.PromptVersion:
    message = common_pb2.PromptVersion(
        name=value.name,
        version=value.version,
        content=content_message(value.content),
        digest=value.digest,
        commit_message=value.commit_message,
        tags=value.tags,
        variables=value.variables,
        author=value.author,
    )
    message.create_time.FromMilliseconds(value.creation_timestamp)
    return message


READ_ERRORS = (PromptwireError, DecodeError, ValueError)
"""What an entry that passed its checksum may still raise when it is decoded."""
