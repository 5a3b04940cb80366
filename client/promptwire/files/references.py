"""Configuration files that name prompts: YAML or JSON with a mapping `prompts`; a dict will do as well."""

from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from promptwire.domain.references import parse_reference
from promptwire.domain.strict_json import InvalidJsonError, parse_json
from promptwire.domain.violations import InvalidValueError
from promptwire.files.folder import read_file
from promptwire.files.reading import FileError, Node, read_documents

KEY: Final = "prompts"
_DICT: Final = "dict"
_DEPTH_MAX: Final = 20


def read_references(source: str | PathLike[str] | Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """What the source is called, and its references by key. Raises FileError, which names file, line and key."""
    if isinstance(source, Mapping):
        found = source.get(KEY)
        return _DICT, dict(_of_mapping(found if isinstance(found, Mapping) else source, _DICT, ""))
    path = Path(fspath(source))
    text = read_file(path.resolve() if path.is_symlink() else path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return str(path), dict(_of_yaml(text, str(path)))
    if path.suffix.lower() == ".json":
        return str(path), dict(_of_json(text, str(path)))
    raise FileError(str(path), 0, "", "must be a .yaml, .yml or .json file")


def _of_yaml(text: str, path: str) -> Iterator[tuple[str, str]]:
    documents = list(read_documents(text, path))
    fields = documents[0].fields() if documents else {}
    if KEY not in fields:
        raise FileError(path, 1, "", f"has no mapping `{KEY}`")
    return _of_node(fields[KEY], "")


def _of_node(node: Node, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in node.fields().items():
        if value.raw.id == "mapping" and prefix.count(".") < _DEPTH_MAX:
            yield from _of_node(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _checked(value.text(), value.file, value.line, value.field)


def _of_json(text: str, path: str) -> Iterator[tuple[str, str]]:
    try:
        value = parse_json(text)
    except InvalidJsonError as error:
        raise FileError(path, 0, "", f"is not JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get(KEY), dict):
        raise FileError(path, 0, "", f"has no object `{KEY}`")
    return _of_mapping(value[KEY], path, "")


def _of_mapping(value: Mapping[Any, object], source: str, prefix: str) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        key = f"{prefix}{name}"
        if isinstance(item, Mapping) and prefix.count(".") < _DEPTH_MAX:
            yield from _of_mapping(item, source, f"{key}.")
        elif isinstance(item, str):
            yield key, _checked(item, source, 0, f"{KEY}.{key}")
        else:
            raise FileError(source, 0, f"{KEY}.{key}", f"must be a reference, e.g. 'prompts:/name@alias'; got {item!r}")


def _checked(reference: str, source: str, line: int, field: str) -> str:
    try:
        parse_reference(reference)
    except InvalidValueError as error:
        raise FileError(source, line, field, error.violation.description) from error
    return reference
