"""Searches through a real service, as the tour does them."""

import json

import pytest
from typer.testing import CliRunner

import promptwire
from promptwire.cli.app import app
from tests.support.service import ServiceProcess


@pytest.fixture
def tour(client: promptwire.Client) -> promptwire.Client:
    for name, case in (("telco_support_technical", "technical_support"), ("telco_support_billing", "billing")):
        for number in (1, 2):
            tags = {"use_case": case, "token_count": str(100 * number)}
            client.register_prompt(name, f"v{number}", commit_message=f"message {number}", tags=tags)
        client.set_prompt_alias(name, "production", 1)
    client.register_prompt("other", "v1")
    return client


def test_versions_are_listed_with_all_that_is_known_of_them(tour: promptwire.Client) -> None:
    newest, oldest = tour.search_prompts("tags.use_case = 'technical_support'")
    assert (newest.name, newest.version, newest.aliases) == ("telco_support_technical", 2, ())
    assert (oldest.version, oldest.aliases, oldest.commit_message) == (1, ("production",), "message 1")
    assert (oldest.tags["token_count"], oldest.template) == ("100", "v1")
    assert [one.version for one in tour.search_prompts("name = 'telco_support_technical'")] == [2, 1]
    assert len(list(tour.search_prompts("name LIKE 'telco%'"))) == 4
    assert len(list(tour.search_prompts())) == 5
    cheap = tour.search_prompts("tags.token_count < 150", order_by=["name DESC"], max_results=1)
    assert [one.name for one in cheap] == ["telco_support_technical"]
    assert [one.name for one in tour.list_prompts(filter_string="alias = 'production'")] == [
        "telco_support_billing",
        "telco_support_technical",
    ]


def test_a_filter_that_cannot_be_read_is_refused_at_its_column(tour: promptwire.Client) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="filter: column 8: found 'x'") as refused:
        list(tour.search_prompts("name = x"))
    assert refused.value.violations[0][0] == "filter"
    with pytest.raises(promptwire.InvalidArgumentError, match="order_by"):
        list(tour.search_prompts(order_by=["nme"]))
    with pytest.raises(promptwire.InvalidArgumentError, match="max_results"):
        list(tour.search_prompts(max_results=0))
    with pytest.raises(promptwire.InvalidArgumentError, match="prefix"):
        list(tour.list_prompts("telco", filter_string="latest_version > 1"))


async def test_the_same_from_asyncio(tour: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        found = [one.version async for one in client.search_prompts("name LIKE 'telco%' AND latest = true")]
        assert found == [2, 2]
        assert [one.name async for one in client.list_prompts(filter_string="name = 'other'")] == ["other"]


def test_the_command_line_searches(tour: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["--target", service.target, "--namespace", namespace, *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    rows = run("search", "alias = 'production'", "--order-by", "name desc").splitlines()
    assert [row.split("\t")[:2] for row in rows] == [["telco_support_technical", "1"], ["telco_support_billing", "1"]]
    found = json.loads(run("search", "tags.use_case = 'billing'", "--limit", "1", "--json"))
    assert [(one["name"], one["version"]) for one in found] == [("telco_support_billing", 2)]
    assert run("search", "latest_version > 1", "--prompts").startswith("telco_support_billing\t2\t")
    result = CliRunner().invoke(app, ["--target", service.target, "search", "name ="])
    assert (result.exit_code, "column 7" in result.output) == (1, True)
