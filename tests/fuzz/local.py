"""What reads texts and files, without a service: each target makes inputs and checks what came of one."""

import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from promptwire import PromptwireError
from promptwire._core import snapshot
from promptwire.domain.content import JINJA, Content, with_json_as_kept
from promptwire.domain.names import check_prompt_name
from promptwire.domain.references import parse_reference
from promptwire.domain.strict_json import InvalidJsonError, compact_json, parse_json
from promptwire.domain.template import MissingVariablesError, RenderingError
from promptwire.domain.templates import check_template, template_of
from promptwire.domain.violations import InvalidValueError, Violation
from promptwire.files import prompt_file, references
from promptwire.v1 import common_pb2, prompt_service_pb2
from promptwire.values import Revision
from promptwire_service.domain.search.fields import PROMPTS, VERSIONS
from promptwire_service.domain.search.matching import Matcher
from promptwire_service.domain.search.parsing import parse_filter, parse_order
from promptwire_service.rpc.malformed import Malformed
from promptwire_service.server import SERVICES
from tests.fuzz import values
from tests.fuzz.grammar import filter_text, order_text
from tests.fuzz.messages import Requests, Seen

NOW: Final = 1_764_344_000.0


class Target(Protocol):
    """One thing that takes input from strangers. An input is bytes, so that it can be kept."""

    name: str

    def make(self, rng: random.Random) -> bytes: ...

    def run(self, data: bytes) -> None:
        """Raises whatever may never happen."""
        ...

    def close(self) -> None: ...


class Text:
    """A target whose input is text, and that needs nothing."""

    def __init__(self, name: str, make: Callable[[random.Random], str], run: Callable[[str], None]) -> None:
        self.name = name
        self._make = make
        self._run = run

    def make(self, rng: random.Random) -> bytes:
        return self._make(rng).encode("utf-8", "surrogatepass")

    def run(self, data: bytes) -> None:
        self._run(data.decode("utf-8", "surrogatepass"))

    def close(self) -> None:
        pass


def _check_short(error: Exception, most_chars: int = 3_000) -> None:
    """An error tells of an input; it is not the input."""
    assert len(str(error)) < most_chars, f"an error of {len(str(error)):,} characters"


def _filter(text: str) -> None:
    for subject in (VERSIONS, PROMPTS):
        found = parse_filter(text, subject)
        if isinstance(found, Violation):
            assert found.field == "filter"
            assert len(found.description) < 2_000
        else:
            Matcher(found, subject)
        order = parse_order(text.split("\n"), subject)
        assert isinstance(order, Violation) or len(order) <= 8


def _reference_text(rng: random.Random) -> str:
    made = rng.choice(("", "prompts:/")) + rng.choice(("p", "a/b", values.text(rng))) + rng.choice(("", "@", "/", "@x"))
    return made + values.text(rng) if rng.random() < 0.5 else made


def _reference(text: str) -> None:
    try:
        found = parse_reference(text)
    except InvalidValueError as error:
        _check_short(error, 2_000)
        return
    assert check_prompt_name(found.name) is None
    assert parse_reference(str(found)) == found


def _json(text: str) -> None:
    try:
        value = parse_json(text)
    except InvalidJsonError as error:
        _check_short(error, 500)
        return
    assert value == json.loads(text)
    kept = compact_json(value, sort_keys=True)
    assert compact_json(parse_json(kept), sort_keys=True) == kept


def _template_text(rng: random.Random) -> str:
    pieces = [
        "{{name}}",
        "{{ user.name }}",
        "{{> prompts:/p@production }}",
        "{% if x %}",
        "{% endif %}",
        "{{ x | upper }}",
    ]
    pieces += [
        "{% for i in x %}",
        "{% endfor %}",
        "{# #}",
        "{{",
        "}}",
        "{%",
        "%}",
        "\n",
        "'",
        "{{ x[0] }}",
        "{{ 2 ** 9 }}",
    ]
    kind = rng.choice(("text", "jinja2", "messages"))
    if kind == "messages":
        return f"{kind}\n{values.json_text(rng)}"
    body = "".join(rng.choice(pieces) if rng.random() < 0.7 else values.text(rng) for _ in range(rng.randrange(1, 9)))
    return f"{kind}\n{body}"


def _template(text: str) -> None:
    kind, _, body = text.partition("\n")
    content = Content(
        text="" if kind == "messages" else body,
        messages_json=body if kind == "messages" else "",
        syntax=JINJA if kind == "jinja2" else "",
    )
    if wrong := check_template(content):
        assert len(str(wrong)) < 3_000
        return
    kept = with_json_as_kept(content)
    assert with_json_as_kept(kept) == kept
    if "{{>" in body:
        return
    template = template_of(kept)
    given: dict[str, object] = {"name": "Ana", "x": [1, 2], "user": {"name": "Bo"}, "history": []}
    for some in ({}, given, dict.fromkeys(template.variables, "v")):
        with suppress(MissingVariablesError, RenderingError):
            template.render(some)


def _file_text(rng: random.Random) -> str:
    lines = ["name: p", "template: Hello {{name}}", f"template: {json.dumps(values.text(rng))}"]
    lines += ["model_config:", "  temperature: " + rng.choice(("0.5", "1e999", "[" * 90, "9" * 5_000, "{a: {b: c}}"))]
    lines += [
        f"tags: {{t: {json.dumps(values.text(rng))}}}",
        f"commit_message: {values.text(rng)!r}",
        "aliases: {production: latest}",
    ]
    lines += ["version: 1", "version: 2", "---", "splits: {s: {salt: a, weights: {'1': 10000}}}", "prompt_tags: {a: b}"]
    lines += [
        f"messages: {values.json_text(rng)}",
        "a: &a [x, x]",
        "b: *a",
        "template: |",
        "  text",
        "\ttab",
        "? x",
        "!!python/x",
    ]
    lines += [
        f"messages:\n- role: user\n  content: {json.dumps(values.text(rng))}",
        f"response_format: {values.json_text(rng)}",
    ]
    some = [lines[0], rng.choice(lines), *rng.sample(lines, rng.randrange(5))]
    made = "\n".join(some) + "\n"
    return values.bent_text(rng, made) if rng.random() < 0.4 else made


def _file(text: str) -> None:
    try:
        found = prompt_file.read(text, "f")
    except PromptwireError as error:
        _check_short(error)
        return
    written = prompt_file.write(found)
    again = prompt_file.read(written, "f")
    assert again.versions == found.versions
    assert prompt_file.write(again) == written


def _config_text(rng: random.Random) -> str:
    kind = rng.choice(("yaml", "json"))
    made = rng.choice(
        ('{"prompts": {"a": "p@production"}}', "prompts:\n  a: p@production\n  b: {c: p/1}\n", values.json_text(rng))
    )
    if rng.random() < 0.2:
        made = '{"prompts": ' + '{"a": ' * rng.choice((19, 20, 21, 70, 5_000))
    return f"{kind}\n{values.bent_text(rng, made) if rng.random() < 0.7 else made}"


class Configs(Text):
    """Configuration files: read from disk, as they are."""

    def __init__(self) -> None:
        super().__init__("configs", _config_text, self._read)
        self._directory = tempfile.TemporaryDirectory(prefix="promptwire-fuzz-")

    def _read(self, text: str) -> None:
        kind, _, body = text.partition("\n")
        path = Path(self._directory.name, f"c.{kind}")
        path.write_bytes(body.encode("utf-8", "surrogatepass"))
        try:
            _, found = references.read_references(path)
        except PromptwireError as error:
            _check_short(error)
            return
        for reference in found.values():
            parse_reference(reference)

    def close(self) -> None:
        self._directory.cleanup()


class Snapshots:
    """Snapshots with a right checksum over whatever they say: read, used, merged and written again."""

    name = "snapshots"

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="promptwire-fuzz-")
        self._path = Path(self._directory.name, "x.snapshot")

    def make(self, rng: random.Random) -> bytes:
        states = [self._state(rng) for _ in range(rng.randrange(3))]
        index: Any = [
            [f"p{at}", "e", 3, 3, NOW, {"@production": NOW, "/1": 0.0, "@split": NOW}, len(state)]
            for at, state in enumerate(states)
        ]
        header: Any = {
            "magic": "promptwire-snapshot",
            "format": 1,
            "target": "t",
            "namespace": "n",
            "count": len(states),
        }
        for _ in range(rng.choice((0, 1, 1, 2))):
            if rng.random() < 0.3:
                header[rng.choice(("magic", "format", "target", "namespace", "count"))] = values.json_value(rng)
            elif index:
                row = rng.choice(index)
                if isinstance(row, list):
                    row[rng.randrange(7)] = rng.choice(
                        (values.json_value(rng), {values.text(rng): values.json_value(rng)})
                    )
        if rng.random() < 0.1:
            index = values.json_value(rng)
        lines = [json.dumps(header).encode(), json.dumps(index).encode()]
        if rng.random() < 0.1:
            lines[rng.randrange(2)] = values.json_text(rng).encode("utf-8", "surrogatepass").replace(b"\n", b"")
        return b"\n".join([*lines, b"".join(states)])

    def _state(self, rng: random.Random) -> bytes:
        messages = rng.random() < 0.5
        content = Content(
            text="" if messages else values.text(rng),
            messages_json=values.json_text(rng).encode("utf-8", "ignore").decode() if messages else "",
            model_config_json=rng.choice(("", values.json_text(rng))),
        )
        version = common_pb2.PromptVersion(name="p0", version=rng.choice((1, 1, values.integer(rng) % 2**63)))
        version.content.text = content.text
        if messages:
            version.content.messages_json = content.messages_json
        version.content.model_config_json = content.model_config_json
        version.digest = content.digest
        version.create_time.seconds = rng.choice((1_764_000_000, 2**62, -(2**63)))
        version.create_time.nanos = rng.choice((0, -1, 2**31 - 1))
        prompt = common_pb2.Prompt(name="p0", latest_version=1, aliases={"production": 1}, etag=3)
        if rng.random() < 0.3:
            prompt.splits["split"].salt = "s"
            for _ in range(rng.randrange(3)):
                prompt.splits["split"].segments.add(
                    end=rng.choice((5_000, 10_000, -1, 0)), version=rng.choice((1, 0, -1))
                )
        state = prompt_service_pb2.PromptState(name="p0", prompt=prompt, versions=[version])
        data = state.SerializeToString()
        return values.bent(rng, data) if rng.random() < 0.3 else data

    def run(self, data: bytes) -> None:
        self._path.write_bytes(data + hashlib.sha256(data).digest())
        self._path.chmod(0o600)
        try:
            entries = snapshot.read(self._path, "t", "n", NOW)
        except snapshot.Refused as error:
            _check_short(error, 1_000)
            return
        for entry in entries.values():
            for selector in ("production", "split", "latest", 1, 2):
                try:
                    entry.version(selector)
                except snapshot.READ_ERRORS:
                    continue
        ours = snapshot.entry("p0", None, (), ("production",), Revision("e", 4), NOW)
        merged = snapshot.merge(snapshot.merge(entries, entries.values(), NOW), [ours], NOW)
        snapshot.pack(snapshot.fitting(merged), "t", "n", Revision("e", 4), NOW)

    def close(self) -> None:
        self._directory.cleanup()


class Bytes:
    """Bytes that are no request: which field is wrong is found in any of them."""

    name = "bytes"

    def make(self, rng: random.Random) -> bytes:
        service = rng.choice(SERVICES)
        method = rng.choice(service.methods)
        made = Requests(rng, Seen()).message(method.input_type).SerializeToString()
        return f"{service.full_name}/{method.name}\n".encode() + values.bent(rng, made)

    def run(self, data: bytes) -> None:
        path, _, body = data.partition(b"\n")
        full_name, _, name = path.decode().rpartition("/")
        service = next(one for one in SERVICES if one.full_name == full_name)
        violation = Malformed(service.methods_by_name[name].input_type, body).violation()
        assert violation.field
        assert len(str(violation)) < 1_000

    def close(self) -> None:
        pass


def targets() -> Iterator[Target]:
    """All that need no service."""
    yield Text("filters", lambda rng: rng.choice((filter_text, filter_text, order_text))(rng), _filter)
    yield Text("references", _reference_text, _reference)
    yield Text("json", lambda rng: rng.choice((values.json_text, values.text))(rng), _json)
    yield Text("templates", _template_text, _template)
    yield Text("files", _file_text, _file)
    yield Configs()
    yield Snapshots()
    yield Bytes()
