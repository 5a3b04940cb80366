"""A folder of prompt files: which file a prompt has, reading them all, and writing none outside it."""

import errno
import hashlib
import os
import secrets
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from promptwire.files.prompt_file import PromptFile, read
from promptwire.files.reading import FileError

SUFFIX: Final = ".prompt.yaml"
FILE_MAX_BYTES: Final = 256 << 20

_SEGMENT_MAX_CHARS: Final = 100
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RESERVED: Final = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
"""Names of devices, which Windows takes for files in every folder."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a folder, and the prompt in it."""

    path: Path
    prompt: PromptFile


def paths_of(names: Iterable[str]) -> dict[str, str]:
    """Relative paths by prompt's name: folders are folders.

    A segment that some file system cannot hold, or that hides, gets a digest; so do names that are the same in a file
    system that does not tell capitals from small letters. The name in the file counts, not its path.
    """
    wanted = {name: "/".join(map(_segment, name.split("/"))) + SUFFIX for name in names}
    crowds = Counter(path.casefold() for path in wanted.values())
    folders = {
        "/".join(path.casefold().split("/")[:depth])
        for path in wanted.values()
        for depth in range(1, path.count("/") + 1)
    }
    return {
        name: _told_apart(path, name) if crowds[path.casefold()] > 1 or path.casefold() in folders else path
        for name, path in wanted.items()
    }


def places(folder: Path, names: Iterable[str]) -> tuple[dict[str, str], dict[str, Path]]:
    """Where prompts are to be written, as relative paths, and the files there are already, both by prompt's name.

    A prompt that has a file keeps it, wherever that is; no prompt gets the file of another one.
    """
    here = {found.prompt.name: found.path for found in _readable(folder)} if folder.is_dir() else {}
    kept = {name: path.relative_to(folder).as_posix() for name, path in here.items()}
    taken = {path.casefold(): name for name, path in kept.items()}
    wanted = {
        name: _told_apart(path, name) if taken.get(path.casefold(), name) != name else path
        for name, path in paths_of(names).items()
    }
    return wanted | {name: path for name, path in kept.items() if name in wanted}, here


def _readable(folder: Path) -> Iterator[Found]:
    """Without files that break a rule: what is exported may be what mends them."""
    for path in files_in(folder):
        try:
            yield Found(path, read(read_file(path), str(path)))
        except FileError:
            continue


def _segment(segment: str) -> str:
    stem = segment.partition(".")[0].lower()
    if segment.startswith(".") or segment.endswith(".") or stem in _RESERVED or len(segment) > _SEGMENT_MAX_CHARS:
        return f"{segment.strip('.')[:_SEGMENT_MAX_CHARS]}~{_digest(segment)}"
    return segment


def _told_apart(path: str, name: str) -> str:
    return f"{path.removesuffix(SUFFIX)}~{_digest(name)}{SUFFIX}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def files_in(folder: Path) -> list[Path]:
    """In order of their paths; hidden folders, and links to folders, are passed by. Raises FileError for a link."""
    if not folder.is_dir():
        raise FileError(str(folder), 0, "", "is no folder")
    found: list[Path] = []
    for here, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += (Path(here, name) for name in files if name.endswith(SUFFIX))
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _raise(error: OSError) -> None:
    raise error


def read_folder(folder: Path) -> Iterator[Found]:
    """Every prompt file, in order of paths. Raises FileError, also when two have the same prompt."""
    names: dict[str, Path] = {}
    for path in files_in(folder):
        prompt = read(read_file(path), str(path))
        if prompt.name in names:
            raise FileError(str(path), 1, "name", f"{prompt.name} is in {names[prompt.name]}, too")
        names[prompt.name] = path
        yield Found(path, prompt)


def read_file(path: Path) -> str:
    """Returns a file's text. Raises FileError, also for a link: it may lead out of the folder."""
    try:
        return _read(path, path, None).decode()
    except UnicodeDecodeError as error:
        raise FileError(str(path), 0, "", f"is not UTF-8: byte at offset {error.start}") from error
    except OSError as error:
        raise FileError(str(path), 0, "", f"cannot be read: {error.strerror}") from error


def _read(path: Path, name: Path | str, directory: int | None) -> bytes:
    """Returns a file's bytes: `name` is looked up below a directory's descriptor, if there is one."""
    try:
        # Does not wait for the writer of what may be a pipe.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(str(path), 0, "", "is a link, not a plain file") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileError(str(path), 0, "", "is not a plain file")
        data = file.read(FILE_MAX_BYTES + 1) if status.st_size <= FILE_MAX_BYTES else b""
        if status.st_size > FILE_MAX_BYTES or len(data) > FILE_MAX_BYTES:
            raise FileError(str(path), 0, "", f"is over {FILE_MAX_BYTES:,} bytes")
        return data


def write_file(folder: Path, relative: str, text: str) -> bool:
    """Writes a file below the folder, whole or not at all; returns False if it has that text already.

    Raises FileError rather than write through a link, also one that somebody plants meanwhile: every folder is opened
    below the one before it, and the temporary file has a name that nobody can guess.
    """
    *parts, name = relative.split("/")
    data = text.encode()
    try:
        with _opened(folder, parts) as directory:
            with suppress(FileNotFoundError):
                if _read(folder / relative, name, directory) == data:
                    return False
            _replace(directory, name, data)
    except OSError as error:
        raise FileError(str(folder / relative), 0, "", f"cannot be written: {error.strerror}") from error
    return True


@contextmanager
def _opened(folder: Path, parts: Sequence[str]) -> Iterator[int]:
    """Yields a descriptor of a folder, made if it is missing. The first may be reached by a link, those below not."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        at, path = os.open(folder, _DIRECTORY), folder
        opened.callback(os.close, at)
        for part in parts:
            path /= part
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=at)
            try:
                at = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise FileError(str(path), 0, "", "is a link or a file, not a folder") from error
                raise
            opened.callback(os.close, at)
        yield at


def _replace(directory: int, name: str, data: bytes) -> None:
    temporary = f".{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o666, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(temporary, dir_fd=directory)
        raise
