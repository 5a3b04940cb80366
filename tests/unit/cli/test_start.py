"""How the command line starts: quickly, and also where parts of it are not installed."""

import subprocess
import sys

import pytest

from promptwire import __version__
from promptwire.cli import main
from tests.unit.cli.conftest import Cli


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["get", "--help"], ["serve", "--help"], ["get"]])
def test_what_needs_no_service_imports_neither_grpc_nor_the_service(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["promptwire", *{arguments!r}]
from promptwire.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {{"grpc", "google.protobuf", "promptwire_service"}} & set(sys.modules)
print("heavy:", sorted(heavy), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr.splitlines()[-1] == "heavy: []"


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"promptwire {__version__}\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_packages_it_says_how_to_get_them(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("promptwire.cli.find_spec", lambda name: None if name == missing else object())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == ("promptwire's command line needs more packages: pip install 'promptwire[cli]'\n")


@pytest.mark.parametrize("missing", ["promptwire_service", "pydantic_settings", "grpc_reflection"])
def test_serve_without_the_server_parts_says_how_to_get_them(missing: str) -> None:
    code = f"""
import sys

class Hidden:  # what is not installed
    def find_spec(self, name, path=None, target=None):
        if name == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
sys.argv = ["promptwire", "serve"]
from promptwire.cli import main
main()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "error: promptwire serve needs the server parts: pip install 'promptwire[server]'\n"


def test_serve_hands_on_what_was_given(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def run(**values: object) -> int:
        given.update(values)
        return 3

    monkeypatch.setattr("promptwire_service.main.run", run)
    result = cli("serve", "--listen", "[::1]:0", "--store", "embedded", "--drain-seconds", "1")
    assert result.exit_code == 3
    assert {name: value for name, value in given.items() if value is not None} == {
        "listen": "[::1]:0",
        "store": "embedded",
        "drain_seconds": "1",
    }
    from promptwire_service.config import Settings

    assert set(given) <= set(Settings.model_fields)
