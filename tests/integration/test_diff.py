"""Diffs through a real service, as Python and the command line show them."""

import json

import pytest
from typer.testing import CliRunner, Result

import promptwire
from promptwire.cli.app import app
from tests.support.service import ServiceProcess


@pytest.fixture
def two(client: promptwire.Client) -> promptwire.Client:
    """With two versions of `telco`, `production` at the first."""
    client.register_prompt("telco", "Help {{customer}} with bills.\nBe kind.", "First", {"cost": "low", "owner": "ana"})
    client.register_prompt(
        "telco",
        "Help {{customer}} with 5G bills.\nBe kind.",
        "5G",
        {"cost": "high", "owner": "ana"},
        model_config={"temperature": 0.2},
    )
    client.set_prompt_alias("telco", "production", 1)
    return client


UNIFIED = """\
--- prompts:/telco/1 template
+++ prompts:/telco/2 template
@@ -1,2 +1,2 @@
-Help {{customer}} with bills.
+Help {{customer}} with 5G bills.
 Be kind.
\\ No newline at end of part
--- /dev/null
+++ prompts:/telco/2 model_config
@@ -0,0 +1,3 @@
+{
+  "temperature": 0.2
+}
\\ No newline at end of part
--- prompts:/telco/1 tags.cost
+++ prompts:/telco/2 tags.cost
@@ -1,1 +1,1 @@
-low
\\ No newline at end of part
+high
\\ No newline at end of part
"""


def test_versions_are_compared_by_number_and_by_alias(two: promptwire.Client) -> None:
    found = two.diff_prompt_versions("telco", 1, 2)
    assert [(part.name, part.kind) for part in found.parts] == [
        ("template", "changed"),
        ("model_config", "added"),
        ("tags.cost", "changed"),
    ]
    assert (found.before.commit_message, found.after.commit_message) == ("First", "5G")
    assert found.after.author == "ana@laptop"
    assert found.unified() == UNIFIED
    assert two.diff_prompt_versions("telco", "production", "latest") == found
    assert not two.diff_prompt_versions("telco", 2, "latest")


def test_lines_around_a_change_are_as_many_as_are_asked_for(two: promptwire.Client) -> None:
    hunk = two.diff_prompt_versions("telco", 1, 2, context=0).parts[0].hunks[0]
    assert [line.before_line for line in hunk.lines] == [1]
    with pytest.raises(promptwire.InvalidArgumentError, match="context_lines"):
        two.diff_prompt_versions("telco", 1, 2, context=1_001)


@pytest.mark.parametrize(
    ("name", "before", "after", "error", "says"),
    [
        ("telco", 1, 3, promptwire.VersionNotFoundError, "3"),
        ("telco", "staging", 2, promptwire.AliasNotFoundError, "staging"),
        ("other", 1, 2, promptwire.PromptNotFoundError, "other"),
        ("telco", 0, 2, promptwire.InvalidArgumentError, "before"),
        ("telco", 1, "", promptwire.InvalidArgumentError, "after"),
        ("telco", 1, 2.5, promptwire.InvalidArgumentError, "after"),
    ],
)
def test_what_is_not_there_is_named(
    two: promptwire.Client, name: str, before: int, after: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        two.diff_prompt_versions(name, before, after)


def test_the_command_line_writes_it_to_a_pipe_and_as_json(
    two: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--target", service.target, "--namespace", namespace, *arguments])

    told = run("diff", "telco", "1", "2")
    assert (told.exit_code, told.stdout) == (0, UNIFIED)
    document = json.loads(run("diff", "telco", "production", "--json").stdout)
    segments = document["parts"][0]["hunks"][0]["lines"][0]["segments"]
    assert {"kind": "insert", "text": "5G "} in segments
    assert run("diff", "telco", "1", "9").exit_code == 1
