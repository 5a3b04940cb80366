"""A namespace as a folder of files, through the command line and a real service."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from typer.testing import CliRunner, Result

import promptwire
from promptwire._core import decoding
from promptwire.cli.app import app
from promptwire.files import plan, registry, restore
from promptwire.files.folder import read_folder
from promptwire.files.prompt_file import PromptFile, read, write
from tests.support.service import ServiceProcess
from tests.unit.files.test_prompt_file import prompts

Run = Callable[..., Result]

_numbers = itertools.count(1)


@pytest.fixture
def run(service: ServiceProcess, namespace: str) -> Run:
    def run(*arguments: object, namespace: str = namespace) -> Result:
        return CliRunner().invoke(app, ["--target", service.target, "--namespace", namespace, *map(str, arguments)])

    return run


@pytest.fixture
def filled(client: promptwire.Client) -> promptwire.Client:
    """With two prompts, of three versions and of one."""
    for text in ("One", "Two\r\n\ttabs  \n\n", "  Three {{who}}\n"):
        client.register_prompt("support/billing", text, f"Says {text.strip()}", {"cost": "1.10"})
    client.register_prompt("general", "Hi", response_format={"type": "object"}, model_config={"temperature": 0.2})
    client.set_prompt_alias("support/billing", "production", 2)
    client.set_prompt_alias("support/billing", "staging", 3)
    client.set_prompt_tag("general", "team", "ai")
    return client


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_a_readable_file_a_prompt(filled: promptwire.Client, run: Run, tmp_path: Path) -> None:
    done = run("export", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/out: 2 written, 0 unchanged, 0 removed\n")
    assert tree(tmp_path / "out") == {
        "general.prompt.yaml": b"name: general\nmodel_config:\n  temperature: 0.2\nresponse_format:\n"
        b"  type: object\ntemplate: Hi\n",
        "support/billing.prompt.yaml": b'name: support/billing\ncommit_message: "Says Three {{who}}"\ntags:\n'
        b'  cost: "1.10"\naliases:\n  production: 2\n  staging: latest\ntemplate: |2\n    Three {{who}}\n',
    }
    assert "0 written, 2 unchanged" in run("export", tmp_path / "out").stdout


def test_what_was_exported_is_no_drift(filled: promptwire.Client, run: Run, tmp_path: Path) -> None:
    run("export", tmp_path)
    done = run("plan", tmp_path, "--aliases", "--check")
    assert (done.exit_code, done.stdout) == (0, "0 to register, 0 to move, 2 unchanged\n")


def test_apply_registers_what_changed_and_moves_aliases_only_when_told(
    filled: promptwire.Client, run: Run, tmp_path: Path
) -> None:
    run("export", tmp_path)
    file = tmp_path / "support" / "billing.prompt.yaml"
    file.write_text(file.read_text().replace("Three", "Four").replace("production: 2", "production: latest"))
    planned = run("plan", tmp_path, "--check")
    assert planned.exit_code == 1
    assert "-  Three {{who}}\n+  Four {{who}}\n" in planned.stdout
    assert planned.stdout.endswith("1 to register, 0 to move, 1 unchanged\n")
    assert run("plan", tmp_path).exit_code == 0

    applied = run("apply", tmp_path, "--reason", "pull request 7")
    assert (applied.exit_code, applied.stderr) == (0, "")
    assert applied.stdout.startswith("registered support/billing version 4\n")
    assert filled.load_prompt("support/billing@production", consistency="strong").version == 2
    assert run("apply", tmp_path).stdout == "nothing to do: 2 unchanged\n"

    moved = run("apply", tmp_path, "--aliases")
    assert "support/billing@production: 2 -> 4" in moved.stdout
    assert "support/billing@staging: 3 -> 4" in moved.stdout
    assert filled.load_prompt("support/billing@production", consistency="strong").template == "  Four {{who}}\n"
    assert json.loads(run("apply", tmp_path, "--aliases", "--json").stdout) == {
        "registrations": [], "moves": [], "unchanged": 2, "release": None
    }  # fmt: skip


def test_a_new_prompt_and_its_alias_come_in_one_release(client: promptwire.Client, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.prompt.yaml").write_text("name: a\naliases: {production: latest}\ntemplate: x\n")
    (tmp_path / "b.prompt.yaml").write_text("name: b\ntags: {live: no}\ntemplate: y\n")
    assert run("apply", tmp_path, "--aliases").exit_code == 0
    assert client.load_prompt("a@production").version == 1
    assert client.load_prompt("b").tags == {"live": "no"}
    (release,) = client.list_releases()
    assert len(release.changes) == 3


def test_tags_alone_make_a_version_and_a_message_alone_does_not(
    filled: promptwire.Client, run: Run, tmp_path: Path
) -> None:
    run("export", tmp_path)
    file = tmp_path / "support" / "billing.prompt.yaml"
    file.write_text(file.read_text().replace("Says Three", "Told Three"))
    assert run("plan", tmp_path, "--check").exit_code == 0
    file.write_text(file.read_text().replace("1.10", "1.20"))
    assert "1 to register" in run("plan", tmp_path).stdout


def test_splits_are_left_out_and_not_moved(filled: promptwire.Client, run: Run, tmp_path: Path) -> None:
    filled.set_prompt_alias_split("support/billing", "production", {2: 90, 3: 10})
    assert "support/billing@production left out" in run("export", tmp_path).stderr
    file = tmp_path / "support" / "billing.prompt.yaml"
    assert "production" not in file.read_text()
    file.write_text(file.read_text().replace("staging", "production"))
    done = run("apply", tmp_path, "--aliases")
    assert done.exit_code == 2
    assert "aliases.production: is a split in the registry" in done.stderr


@pytest.mark.parametrize("meanwhile", ["a version", "an alias"])
def test_what_moved_since_the_plan_refuses_all_of_it(filled: promptwire.Client, tmp_path: Path, meanwhile: str) -> None:
    files = [
        read("name: general\ntemplate: New\n", "general"),
        read("name: support/billing\naliases: {production: latest}\ntemplate: New\n", "billing"),
    ]
    planned = plan.make_plan(filled, files, aliases=True)
    if meanwhile == "a version":
        filled.register_prompt("support/billing", "Of somebody else")
    else:
        filled.set_prompt_alias("support/billing", "production", 1)
    revision = filled.get_prompt("general")
    with pytest.raises(promptwire.ConflictError):
        plan.apply_plan(filled, planned, "Apply")
    assert filled.get_prompt("general") == revision


def test_a_backup_keeps_every_version_and_number(
    filled: promptwire.Client, run: Run, namespace: str, service: ServiceProcess, tmp_path: Path
) -> None:
    filled.delete_prompt_version("support/billing", 1)
    assert run("export", tmp_path / "a", "--all-versions").exit_code == 0
    other = f"{namespace}-copy"
    done = run("import", tmp_path / "a", namespace=other)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "2 prompts: 3 versions registered, 2 aliases set\n"
    run("export", tmp_path / "b", "--all-versions", namespace=other)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    again = run("import", tmp_path / "a", namespace=other)
    assert (again.exit_code, again.stdout) == (0, "2 prompts: 0 versions registered, 0 aliases set\n")
    with promptwire.Client(service.target, namespace=other) as copy:
        assert copy.load_prompt("support/billing@production").template == "Two\r\n\ttabs  \n\n"
        assert copy.get_prompt("general").tags == {"team": "ai"}
        assert copy.get_prompt("support/billing").deleted_versions == (1,)


def test_an_import_into_something_else_is_refused_before_anything_is_written(
    filled: promptwire.Client, run: Run, namespace: str, tmp_path: Path
) -> None:
    run("export", tmp_path, "--all-versions")
    other = f"{namespace}-other"
    run("register", "support/billing", "--template", "Somebody else's", namespace=other)
    done = run("import", tmp_path, namespace=other)
    assert done.exit_code == 1
    assert "support/billing" in done.stderr
    assert run("list", namespace=other).stdout.count("\n") == 1


def test_an_import_where_numbers_are_taken_is_refused_before_anything_is_written(
    filled: promptwire.Client, run: Run, namespace: str, service: ServiceProcess, tmp_path: Path
) -> None:
    run("export", tmp_path, "--all-versions")
    other = f"{namespace}-used"
    with promptwire.Client(service.target, namespace=other) as copy:
        copy.register_prompt("support/billing", "One")
        copy.delete_prompt_version("support/billing", 1)
        done = run("import", tmp_path, namespace=other)
        assert done.exit_code == 1
        assert "support/billing.prompt.yaml cannot be imported: its next version would be 2, not 1" in done.stderr
        copy.delete_prompt("support/billing")
        assert run("import", tmp_path, namespace=other).exit_code == 1
        assert [prompt.name for prompt in copy.list_prompts() if prompt.latest_version] == []


def test_an_alias_whose_version_is_not_exported_is_left_out_and_told(
    filled: promptwire.Client, run: Run, namespace: str, tmp_path: Path
) -> None:
    run("export", tmp_path)
    done = run("import", tmp_path, namespace=f"{namespace}-newest")
    assert done.stdout == "2 prompts: 2 versions registered, 1 aliases set\n"
    assert "support/billing@production left out" in done.stderr


def test_files_of_prompts_that_are_gone_are_told_and_removed_when_told(
    filled: promptwire.Client, run: Run, tmp_path: Path
) -> None:
    run("export", tmp_path)
    filled.delete_prompt("general")
    assert "1 of prompts that are there no more" in run("export", tmp_path).stdout
    assert "0 removed" in run("export", tmp_path, "--prune", "--prefix", "support/").stdout
    assert "1 removed" in run("export", tmp_path, "--prune").stdout
    assert list(tree(tmp_path)) == ["support/billing.prompt.yaml"]


def test_a_prompt_keeps_the_file_that_it_has(filled: promptwire.Client, run: Run, tmp_path: Path) -> None:
    run("export", tmp_path)
    (tmp_path / "general.prompt.yaml").rename(tmp_path / "hello.prompt.yaml")
    (tmp_path / "support" / "billing.prompt.yaml").rename(tmp_path / "general.prompt.yaml")
    filled.register_prompt("general", "Hello")
    assert "1 written, 1 unchanged, 0 removed" in run("export", tmp_path).stdout
    assert sorted(tree(tmp_path)) == ["general.prompt.yaml", "hello.prompt.yaml"]
    assert "template: Hello" in (tmp_path / "hello.prompt.yaml").read_text()


def test_an_export_mends_a_file_and_takes_none_of_another_prompt(
    filled: promptwire.Client, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "general.prompt.yaml").write_text("not yaml: [")
    (tmp_path / "support").mkdir()
    (tmp_path / "support" / "billing.prompt.yaml").write_text("name: other\ntemplate: x\n")
    assert "2 written" in run("export", tmp_path).stdout
    names = {found.prompt.name for found in read_folder(tmp_path)}
    assert names == {"general", "other", "support/billing"}


def test_a_file_that_breaks_a_rule_sends_nothing(client: promptwire.Client, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.prompt.yaml").write_text("name: a\ntemplate: x\n")
    (tmp_path / "b.prompt.yaml").write_text("name: b\ntemplate: x\ntags:\n  c: [d]\n")
    for command in ("plan", "apply", "import"):
        done = run(command, tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == f"error: {tmp_path}/b.prompt.yaml:4: tags.c: must be text; got a list\n"
    assert list(client.list_prompts()) == []
    assert run("plan", tmp_path, "--files-only").exit_code == 2
    (tmp_path / "b.prompt.yaml").unlink()
    assert run("plan", tmp_path, "--files-only", "--target", "localhost:1").stdout == "1 prompts read\n"
    assert run("plan", tmp_path / "none").exit_code == 2
    (tmp_path / "empty").mkdir()
    assert "no file that ends in" in run("apply", tmp_path / "empty").stderr


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts())
def test_exports_of_anything_come_back_byte_for_byte(
    service: ServiceProcess, namespace: str, prompt: PromptFile
) -> None:
    """Import, export, import elsewhere, export: the same bytes."""
    texts = []
    file = prompt
    for _ in range(2):
        with promptwire.Client(service.target, namespace=f"{namespace}-{next(_numbers)}") as client:
            restore.restore(client, [file], lambda _: None)
            (held,) = registry.prompts(client).values()
            if file.newest.number:
                texts.append(write(registry.whole_file(client, held)))
            else:
                texts.append(write(registry.newest_file(held, next(registry.newest(client, [held])))))
            file = read(texts[-1], "f")
            assert [one.content for one in file.versions] == [one.content for one in prompt.versions]
            assert [dict(one.tags) for one in file.versions] == [dict(one.tags) for one in prompt.versions]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("extra", [(), ("--all-versions",)])
def test_a_prompt_that_cannot_be_exported_is_named_and_does_not_stop_the_others(
    filled: promptwire.Client, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    decode = decoding.prompt_version

    def cannot_read(message: Any, *more: Any) -> promptwire.PromptVersion:
        if message.name == "general":
            raise promptwire.PromptwireError("prompts:/general/1 has a kind of template that this client does not know")
        return decode(message, *more)

    monkeypatch.setattr(decoding, "prompt_version", cannot_read)
    done = run("export", tmp_path, *extra)
    assert (done.exit_code, list(tree(tmp_path))) == (1, ["support/billing.prompt.yaml"])
    assert "general is not exported: prompts:/general/1 has a kind of template" in done.stderr
    assert "1 written, 0 unchanged" in done.stdout
    (failed,) = json.loads(run("export", tmp_path, "--json", *extra).stdout)["failed"]
    assert failed["name"] == "general"
    monkeypatch.undo()
    assert run("export", tmp_path, *extra).exit_code == 0


def test_read_folder_gives_what_was_exported(filled: promptwire.Client, run: Run, tmp_path: Path) -> None:
    run("export", tmp_path, "--all-versions")
    assert [(found.prompt.name, len(found.prompt.versions)) for found in read_folder(tmp_path)] == [
        ("general", 1),
        ("support/billing", 3),
    ]
