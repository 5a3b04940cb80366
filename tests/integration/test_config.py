"""Configurations that name prompts become live handles."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import promptwire
from tests.support.service import ServiceProcess

YAML = """\
model: any  # what else an application keeps in it
prompts:
  billing: prompts:/support_billing@production
  by_language:
    python: code_python@production
    go: "code_go/1"
"""


@pytest.fixture
def filled(client: promptwire.Client) -> promptwire.Client:
    for name in ("support_billing", "code_python", "code_go"):
        client.register_prompt(name, f"{name} one")
        client.register_prompt(name, f"{name} two")
        client.set_prompt_alias(name, "production", 1)
    return client


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_file_becomes_live_handles(filled: promptwire.Client, tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text(YAML)
    config = filled.load_config(tmp_path / "prompts.yaml")
    assert list(config) == ["billing", "by_language.python", "by_language.go"]
    assert config["billing"].current.template == "support_billing one"
    assert config.load("by_language.go").version == 1
    filled.set_prompt_alias("support_billing", "production", 2)
    assert config.load("billing").version == 2
    until(lambda: config["billing"].current.version == 2)
    with pytest.raises(KeyError, match=r"prompts\.yaml has no prompt 'retention'; it has billing, by_language\.python"):
        config["retention"]


def test_json_and_dicts_say_the_same(filled: promptwire.Client, tmp_path: Path) -> None:
    value = {"prompts": {"billing": "support_billing@production", "code": {"go": "code_go"}}}
    (tmp_path / "prompts.json").write_text(json.dumps(value))
    for source in (str(tmp_path / "prompts.json"), value, value["prompts"]):
        config = filled.load_config(source)
        assert dict(config.references) == {"billing": "support_billing@production", "code.go": "code_go"}
        assert config.load("code.go", consistency="strong").version == 2


async def test_asyncio_has_it_too(filled: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        config = await client.load_config({"billing": "support_billing@production"})
        assert config["billing"].current.version == 1
        assert (await config.load("billing")).version == 1


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "prompt: {}\n", r"a\.yaml:1: has no mapping `prompts`"),
        ("a.yaml", "", r"a\.yaml:1: has no mapping"),
        ("a.yaml", "prompts:\n  x: support_billing@production\n  y: a//b\n", r"a\.yaml:3: prompts\.y: "),
        ("a.yaml", "prompts:\n  x: [a]\n", r"a\.yaml:2: prompts\.x: must be text; got a list"),
        ("a.yaml", "prompts:\n  x: nothing@here\n", r"a\.yaml: prompts\.x: there is no prompt 'nothing'"),
        ("a.yaml", "prompts:\n  x: code_go@here\n", r"a\.yaml: prompts\.x: prompt 'code_go' has no alias 'here'"),
        ("a.json", '{"prompts": {"x": "code_go", "x": "code_go"}}', r"a\.json: is not JSON: a key is given twice: 'x'"),
        ("a.json", '{"prompts": {"x": 1}}', r"a\.json: prompts\.x: must be a reference"),
        ("a.json", "[]", r"a\.json: has no object `prompts`"),
        ("a.json", "{", r"a\.json: is not JSON"),
        ("a.toml", "", r"a\.toml: must be a \.yaml, \.yml or \.json file"),
        ("a.yaml", None, r"a\.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(
    filled: promptwire.Client, tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(promptwire.PromptwireError, match=says):
        filled.load_config(tmp_path / name)
    with pytest.raises(promptwire.PromptNotFoundError, match=r"^there is no prompt 'nothing'"):
        filled.load_prompt("nothing@here")


def test_without_pyyaml_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(YAML)
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "import promptwire\n"
        f"promptwire.Client('localhost:1').load_config({str(tmp_path / 'a.yaml')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "PromptwireError: reading YAML needs PyYAML: pip install 'promptwire[yaml]'" in done.stderr
