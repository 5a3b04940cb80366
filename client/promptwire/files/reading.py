"""YAML as it is written: text stays text, duplicate keys and anchors are refused, whatever is wrong has a line.

A reader of its own on PyYAML's nodes, since its values are guesses: to YAML 1.1 `no` is false and `1.10` is 1.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from promptwire.domain.strict_json import DEPTH_MAX, InvalidJsonError, parse_json
from promptwire.errors import PromptwireError

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORDS: Final[dict[str, object]] = {"null": None, "~": None, "": None, "true": True, "false": False}


class FileError(PromptwireError):
    """A file that breaks a rule: names the file, the line and the field."""

    def __init__(self, file: str, line: int, field: str, problem: str) -> None:
        where = f"{file}:{line}" if line else file
        super().__init__(f"{where}: {field}: {problem}" if field else f"{where}: {problem}", "INVALID_FILE")


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a file, not yet taken for anything."""

    raw: Any
    """PyYAML's node."""
    file: str
    field: str

    @property
    def line(self) -> int:
        return int(self.raw.start_mark.line) + 1

    def refuse(self, problem: str) -> NoReturn:
        raise FileError(self.file, self.line, self.field, problem)

    def fields(self) -> dict[str, "Node"]:
        """Of a mapping, in the file's order."""
        if self.raw.id != "mapping":
            self.refuse(f"must be a mapping, `key: value` lines; got {_kind(self.raw)}")
        found: dict[str, Node] = {}
        for key, value in self.raw.value:
            name = Node(key, self.file, self.field).text()
            if name in found:
                Node(key, self.file, self._below(name)).refuse("is given twice")
            found[name] = Node(value, self.file, self._below(name))
        return found

    def items(self) -> list["Node"]:
        """Of a list."""
        if self.raw.id != "sequence":
            self.refuse(f"must be a list; got {_kind(self.raw)}")
        return [Node(item, self.file, f"{self.field}[{index}]") for index, item in enumerate(self.raw.value)]

    def text(self) -> str:
        """Of a scalar, as it is written: `no` and `1.10` are texts, too."""
        if self.raw.id != "scalar":
            self.refuse(f"must be text; got {_kind(self.raw)}")
        text = str(self.raw.value)
        if _SURROGATE.search(text):
            self.refuse("has half of a surrogate pair, which is no character")
        return text

    def number(self) -> int:
        text = self.text()
        if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
            self.refuse(f"must be a whole number from 1; got {text!r}")
        return int(text)

    def texts(self) -> dict[str, str]:
        """Of a mapping of texts."""
        return {name: value.text() for name, value in self.fields().items()}

    def json(self, depth: int = 0) -> Any:
        """What JSON can hold; of what is not quoted, true, false, null and numbers are such."""
        if depth > DEPTH_MAX:
            self.refuse(f"is nested over {DEPTH_MAX} deep")
        match self.raw.id:
            case "mapping":
                return {name: value.json(depth + 1) for name, value in self.fields().items()}
            case "sequence":
                return [item.json(depth + 1) for item in self.items()]
        text = self.text()
        if self.raw.style:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if not _NUMBER.match(text):
            return text
        try:
            return parse_json(text)
        except InvalidJsonError as error:
            self.refuse(str(error))

    def json_object(self) -> dict[str, Any]:
        self.fields()
        value: dict[str, Any] = self.json()
        return value

    def _below(self, name: str) -> str:
        return f"{self.field}.{name}" if self.field else name


def read_documents(text: str, file: str) -> Iterator[Node]:
    """The documents of a file. Raises FileError, and PromptwireError where PyYAML is not installed."""
    yaml = _yaml()
    loader = yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader

    try:
        for document in yaml.compose_all(text, loader):
            if document is not None:
                _refuse_aliases(document, file)
                yield Node(document, file, "")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise FileError(file, line, "", f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        problem = str(error).partition("\n")[0]
        raise FileError(file, 0, "", f"is not YAML: {problem}") from error
    except RecursionError as error:
        raise FileError(file, 0, "", "is nested too deep") from error


def _refuse_aliases(document: Any, file: str) -> None:
    """One node in two places was an alias; a few of them can stand for more than fits in memory."""
    seen: set[int] = set()
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            line = node.start_mark.line + 1
            raise FileError(file, line, "", "has an anchor (&name) that is used again; write the value out")
        seen.add(id(node))
        if node.id == "mapping":
            waiting += (part for pair in node.value for part in pair)
        elif node.id == "sequence":
            waiting += node.value


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise PromptwireError(
            "reading YAML needs PyYAML: pip install 'promptwire[yaml]'", "MISSING_DEPENDENCY"
        ) from error
    return yaml


def _kind(raw: Any) -> str:
    if raw.id == "scalar":
        return repr(str(raw.value)[:60])
    return "a mapping" if raw.id == "mapping" else "a list"
