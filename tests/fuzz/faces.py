"""The command line and the Python client with arguments that nobody should give, against a real service."""

import inspect
import io
import json
import os
import random
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any, Final

import promptwire
from promptwire.cli.app import app
from tests.fuzz import values
from tests.fuzz.messages import NAMES, NAMESPACE
from tests.fuzz.wire import Served

_COMMANDS: Final = (
    "register",
    "get",
    "render",
    "search",
    "list",
    "versions",
    "diff",
    "alias set",
    "alias list",
    "alias delete",
    "alias history",
    "alias rollback",
    "alias split",
    "tag set",
    "tag list",
    "tag delete",
    "release plan",
    "release list",
    "release undo",
    "promote",
    "delete",
    "undelete",
    "audit",
    "metrics log",
    "metrics report",
    "champion",
    "export",
    "plan",
    "apply",
    "import",
    "status",
    "dependents",
    "config",
    "",
)
_OPTIONS: Final = (
    "--json",
    "--all-versions",
    "--template",
    "--model-config",
    "--response-format",
    "--tag",
    "--at",
    "--since",
    "--until",
    "--limit",
    "--filter",
    "--order-by",
    "--key",
    "--var",
    "--namespace",
    "--actor",
    "--chat",
    "--syntax",
    "--message",
    "--version",
    "--alias",
    "--context",
    "--side-by-side",
    "--reason",
    "--metric",
    "--help",
    "-h",
    "--no-such",
    "--expect",
    "--prefix",
    "--check",
    "--files-only",
)
_NOT_RUN: Final = {"watch", "serve", "follow"}
"""Words that make a command run for ever."""


def _word(rng: random.Random) -> str:
    odd = (
        "@/nowhere",
        "/dev/null",
        ".",
        "..",
        "-",
        "--",
        "p@production",
        "p/1",
        "1=50",
        "2=50",
        "a=b",
        "k=1e999",
        "k=" + "9" * 5_000,
        "m=nan",
        "9" * 5_000,
        "1764344000",
        "1764344000000",
        "2026-11-28",
        "10m",
        "999999999d",
        "1e999",
        '{"t": 1e999}',
        "[" * 900,
        "\udcff\udcfe",
        "a\udcff",
        "\ud800",
        "\udcc3=\udca9",
    )
    return rng.choice((*NAMES, *odd, values.text(rng), values.json_text(rng))).replace("\0", "")[:100_000]


class CommandLine:
    """Any command with any words: it answers, refuses or names what is wrong, and never calls that a bug."""

    name = "cli"

    def __init__(self, served: Served) -> None:
        self._served = served

    def make(self, rng: random.Random) -> bytes:
        words = [*rng.choice(_COMMANDS).split(), rng.choice(NAMES)]
        for _ in range(rng.randrange(5)):
            words += [rng.choice(_OPTIONS)] if rng.random() < 0.5 else []
            words.append(_word(rng))
        return json.dumps([word for word in words if not _NOT_RUN & {word}]).encode()

    def run(self, data: bytes) -> None:
        # As the system hands them over: bytes that are not UTF-8 become half surrogate pairs.
        words = [os.fsdecode(os.fsencode(word)) if _is_of_bytes(word) else word for word in json.loads(data)]
        out, err = _Buffer(), _Buffer()
        given = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(b"Hello {{name}}"))
        code: object = None
        try:
            # What is exported goes into the directory that it is run in.
            with TemporaryDirectory() as here, chdir(here), redirect_stdout(out), redirect_stderr(err):
                app(["--target", self._served.process.target, "--namespace", NAMESPACE, "--timeout", "10", *words])
        except SystemExit as error:
            code = error.code
        finally:
            sys.stdin = given
        told = err.text()
        assert code in (0, 1, 2, 3, None), (code, words, told)
        assert "this is a bug" not in told, (words, told)
        assert "Traceback" not in told, (words, told)
        if "--json" in words and code == 0 and out.text().startswith(("{", "[")):
            for name in ("Infinity", "NaN"):
                assert f": {name}" not in out.text()

    def close(self) -> None:
        pass


def _is_of_bytes(word: str) -> bool:
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True


class _Buffer(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogatepass", write_through=True)

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("utf-8", "replace")  # type: ignore[attr-defined]


_CALLED: Final = [
    name
    for name, method in inspect.getmembers(promptwire.Client, inspect.isfunction)
    if not name.startswith("_") and name not in ("close", "wait_for_ready", "handle", "changes", "load_config")
]


class Arguments:
    """Any method of the client with any arguments: a value, or an error of the documented tree."""

    name = "client"

    def __init__(self, served: Served) -> None:
        self._client = promptwire.Client(served.process.target, namespace=NAMESPACE, actor="fuzz", timeout_seconds=10)

    def make(self, rng: random.Random) -> bytes:
        return json.dumps([rng.choice(_CALLED), rng.randrange(2**53)]).encode()

    def run(self, data: bytes) -> None:
        name, seed = json.loads(data)
        rng = random.Random(seed)
        method = getattr(self._client, name)
        given = {}
        for parameter in inspect.signature(method).parameters.values():
            if parameter.default is inspect.Parameter.empty or rng.random() < 0.4:
                given[parameter.name] = self._argument(rng, parameter.name)
        try:
            answer = method(**given)
            if inspect.isgenerator(answer):
                for _, _ in zip(range(3), answer, strict=False):
                    pass
        except promptwire.PromptwireError as error:
            _check_message(name, str(error))

    @staticmethod
    def _argument(rng: random.Random, name: str) -> Any:
        right: dict[str, list[Any]] = {
            "name": list(NAMES),
            "reference": ["p@production", "p/1"],
            "references": [["p@production"]],
            "alias": ["production"],
            "version": [1, 2],
            "template": ["x"],
            "tags": [{"a": "b"}],
            "at": [datetime.now(UTC)],
            "weights": [{1: 1, 2: 1}],
            "metrics": [{"m": 1}],
            "steps": [{"p@production": 1}],
            "title": ["t"],
            "wait_for_agents": [None, 0],
        }
        odd = [
            None,
            True,
            -1,
            2**63,
            10**5_000,
            -(10**5_000),
            0.5,
            float("nan"),
            float("inf"),
            "\ud800",
            "\0",
            b"x",
            [],
            {},
            [{}],
        ]
        odd += [
            values.text(rng),
            values.json_value(rng),
            datetime.min,
            datetime(1, 1, 1, tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
        ]
        odd += [
            {"\ud800": 1},
            {1: {2: {}}},
            promptwire.Revision("e", -1),
            promptwire.Revision("\ud800", 2**70),
            object(),
            {None: None},
        ]
        odd += [["p"] * 1_001, {"a": [[[[[]]]]] * 3}, _nested(900), {"t": 10**400}, 1_764_344_000]
        if name == "wait_for_agents":
            return rng.choice((None, "x", -1, float("nan"), 10**5_000))
        return rng.choice(right.get(name, ["p"])) if rng.random() < 0.5 else rng.choice(odd)

    def close(self) -> None:
        self._client.close()


def _check_message(name: str, message: str) -> None:
    assert len(message) < 20_000, f"{name}: an error of {len(message):,} characters"
    message.encode()


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value
