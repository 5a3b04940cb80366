"""A folder of prompt files: which file a prompt has, reading them all, and writing none outside it."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from promptwire.files.prompt_file import PromptFile, read
from promptwire.files.reading import FileError

SUFFIX: Final = ".prompt.yaml"
FILE_MAX_BYTES: Final = 256 << 20

_SEGMENT_MAX_CHARS: Final = 100
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
    """Raises FileError. A link is refused: it may lead out of the folder."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise FileError(str(path), 0, "", "is no plain file")
        if status.st_size > FILE_MAX_BYTES:
            raise FileError(str(path), 0, "", f"is over {FILE_MAX_BYTES:,} bytes")
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise FileError(str(path), 0, "", f"is not UTF-8: byte at offset {error.start}") from error
    except OSError as error:
        raise FileError(str(path), 0, "", f"cannot be read: {error.strerror}") from error


def write_file(folder: Path, relative: str, text: str) -> bool:
    """Whole or not at all; False when it is that already. Raises FileError rather than write outside the folder."""
    path = folder
    for part in relative.split("/")[:-1]:
        path /= part
        if path.is_symlink():
            raise FileError(str(path), 0, "", "is a link; nothing is written through it")
    path /= relative.rpartition("/")[2]
    data = text.encode()
    try:
        if path.is_symlink():
            raise FileError(str(path), 0, "", "is a link; nothing is written through it")
        if path.is_file() and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{_digest(path.name)}.{os.getpid()}.tmp")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(str(path), 0, "", f"cannot be written: {error.strerror}") from error
    return True
