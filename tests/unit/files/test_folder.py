"""Folders of prompt files: where a prompt goes on any file system, and that nothing is read or written elsewhere."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptwire.domain.names import check_prompt_name
from promptwire.files.folder import paths_of, read_folder, write_file
from promptwire.files.reading import FileError

NAMES = st.from_regex(r"\A[A-Za-z0-9_.\-]{1,6}(/[A-Za-z0-9_.\-]{1,6}){0,2}\Z").filter(
    lambda name: not check_prompt_name(name)
)


def test_folders_are_folders() -> None:
    assert paths_of(["support/billing", "support", "a.b"]) == {
        "support/billing": "support/billing.prompt.yaml",
        "support": "support.prompt.yaml",
        "a.b": "a.b.prompt.yaml",
    }


def test_names_that_differ_in_capitals_alone_are_told_apart() -> None:
    paths = paths_of(["Telco", "telco", "other"])
    assert len({path.casefold() for path in paths.values()}) == 3
    assert paths["other"] == "other.prompt.yaml"
    assert paths["telco"].startswith("telco~")


@pytest.mark.parametrize("name", [".git/hooks/pre-commit", "aux", "NUL.x/a", "a./b", "x" * 250, ".github/workflows/x"])
def test_what_a_file_system_would_take_for_something_else_gets_a_digest(name: str) -> None:
    (path,) = paths_of([name]).values()
    assert "~" in path
    assert not any(part.startswith(".") or len(part) > 140 for part in path.split("/"))


def test_a_file_is_never_where_a_folder_has_to_be() -> None:
    paths = paths_of(["a", "a.prompt.yaml/b"])
    assert paths["a.prompt.yaml/b"] == "a.prompt.yaml/b.prompt.yaml"
    assert paths["a"] != "a.prompt.yaml"


@given(st.sets(NAMES, max_size=8))
def test_every_prompt_has_a_file_of_its_own_within_the_folder(names: set[str]) -> None:
    paths = paths_of(sorted(names))
    folded = {path.casefold() for path in paths.values()}
    assert len(folded) == len(names)
    for path in folded:
        parts = path.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert not {"/".join(parts[:depth]) for depth in range(1, len(parts))} & folded


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (inside / "support").symlink_to(outside)
    (inside / "a.prompt.yaml").symlink_to(outside / "file")
    for relative in ("support/billing.prompt.yaml", "a.prompt.yaml"):
        with pytest.raises(FileError, match="is a link"):
            write_file(inside, relative, "x")
    assert list(outside.iterdir()) == []


def test_a_link_that_is_planted_for_the_temporary_file_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can guess the name of the temporary file gains nothing: it has to be new."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    inside.mkdir()
    outside.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda count: "guessed")
    (inside / ".guessed.tmp").symlink_to(outside)
    with pytest.raises(FileError, match="cannot be written: File exists"):
        write_file(inside, "a.prompt.yaml", "x")
    assert outside.read_text() == "precious"


def test_a_folder_that_becomes_a_link_meanwhile_is_not_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is exchanged for a link between the moment it is opened and the writing."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    replace = os.replace

    def exchanged(*arguments: Any, **options: Any) -> None:
        (inside / "support").rename(tmp_path / "moved")
        (inside / "support").symlink_to(outside)
        replace(*arguments, **options)

    monkeypatch.setattr("os.replace", exchanged)
    assert write_file(inside, "support/billing.prompt.yaml", "x")
    assert list(outside.iterdir()) == []
    assert (tmp_path / "moved" / "billing.prompt.yaml").read_text() == "x"


def test_links_and_hidden_folders_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.prompt.yaml"
    outside.write_text("name: a\ntemplate: x\n")
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "b.prompt.yaml").write_text("not yaml: [")
    assert list(read_folder(folder)) == []
    (folder / "a.prompt.yaml").symlink_to(outside)
    with pytest.raises(FileError, match="is a link, not a plain file"):
        list(read_folder(folder))


def test_a_prompt_in_two_files_is_refused_naming_both(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.prompt.yaml").write_text("name: same\ntemplate: x\n")
    with pytest.raises(FileError, match=r"b\.prompt\.yaml:1: name: same is in .*a\.prompt\.yaml, too"):
        list(read_folder(tmp_path))


def test_a_file_that_is_right_is_left_alone(tmp_path: Path) -> None:
    assert write_file(tmp_path, "a/b.prompt.yaml", "x")
    assert not write_file(tmp_path, "a/b.prompt.yaml", "x")
    assert write_file(tmp_path, "a/b.prompt.yaml", "y")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.prompt.yaml"]


def test_what_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.prompt.yaml").write_bytes(b"name: a\ntemplate: \xff\n")
    with pytest.raises(FileError, match="is not UTF-8: byte at offset 18"):
        list(read_folder(tmp_path))
