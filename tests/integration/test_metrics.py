"""Observations from agents to reports and champions, through a real service."""

import asyncio
import copy
import json
import pickle
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import promptwire
from promptwire import genai
from promptwire._core import core
from promptwire.cli.app import app
from tests.support.service import ServiceProcess, running_service


@pytest.fixture
def tour(client: promptwire.Client) -> promptwire.Client:
    """Three versions; variant_a is the first one and variant_b the second."""
    for text in ("one", "two", "three"):
        client.register_prompt("support", text)
    client.set_prompt_alias("support", "variant_a", 1)
    client.set_prompt_alias("support", "variant_b", 2)
    return client


def observe(client: promptwire.Client, count: int = 60) -> None:
    draws = random.Random(7)
    for _ in range(count):
        client.log_prompt_metrics("support@variant_a", {"quality": draws.gauss(0.70, 0.05), "cost": 3.0})
        client.log_prompt_metrics("support@variant_b", {"quality": draws.gauss(0.80, 0.05), "cost": 5.0})
    client.flush_prompt_metrics()


def test_what_was_logged_is_told_by_version_and_metric(tour: promptwire.Client) -> None:
    observe(tour)
    tour.log_prompt_metrics(tour.load_prompt("support/3"), {"quality": 0.5}, run_id="r-1", tags={"team": "ai"})
    tour.flush_prompt_metrics()
    found = {(one.version, one.metric): one for one in tour.query_prompt_metrics("support")}
    assert found.keys() == {(1, "quality"), (1, "cost"), (2, "quality"), (2, "cost"), (3, "quality")}
    quality = found[2, "quality"]
    assert (quality.count, found[1, "cost"].mean, found[1, "cost"].std) == (60, 3.0, 0.0)
    assert quality.min <= quality.p50 <= quality.p95 <= quality.p99 <= quality.max
    assert quality.mean == pytest.approx(0.8, abs=0.03)
    assert [one.version for one in tour.query_prompt_metrics("support", "quality", alias="variant_a")] == [1]
    assert [one.version for one in tour.query_prompt_metrics("support", tags={"run_id": "r-1"})] == [3]
    assert [one.count for one in tour.query_prompt_metrics("support", "quality", version=2)] == [60]
    assert tour.query_prompt_metrics("support", until=10**12) == []
    assert tour.query_prompt_metrics("nobody") == []


@pytest.mark.parametrize(
    ("values", "options", "field"),
    [
        ({}, {}, "metrics"),
        ({"a b": 1.0}, {}, "metrics"),
        ({"a": float("nan")}, {}, "metrics[a]"),
        ({"a": 1e300}, {}, "metrics[a]"),
        ({"a": "1"}, {}, "metrics[a]"),
        ({"a": 1.0}, {"tags": {"x": ""}}, "tags"),
        ({"a": 1.0}, {"run_id": "x" * 200}, "tags"),
    ],
)
def test_what_cannot_be_observed_is_refused_at_the_call(
    tour: promptwire.Client, values: dict[str, float], options: dict[str, str], field: str
) -> None:
    with pytest.raises(promptwire.InvalidArgumentError) as refused:
        tour.log_prompt_metrics("support", values, **options)  # type: ignore[arg-type]
    assert refused.value.violations[0][0] == field


def test_what_the_service_refuses_is_counted_and_the_rest_is_taken(
    tour: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    version = tour.load_prompt("support/3")
    tour.delete_prompt_version("support", 3)
    tour.log_prompt_metrics(version, {"quality": 1.0})
    tour.log_prompt_metrics("support/1", {"quality": 1.0})
    tour.flush_prompt_metrics()
    assert (tour.status().metrics_dropped, tour.status().metrics_waiting) == (1, 0)
    assert [one.version for one in tour.query_prompt_metrics("support")] == [1]


def test_a_service_that_is_away_costs_nothing_and_gets_each_observation_once(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service, promptwire.Client(service.target) as client:
        client.register_prompt("support", "one")
        version = client.load_prompt("support/1")
        service.kill()
        for _ in range(2_500):
            client.log_prompt_metrics(version, {"quality": 1.0})
        assert client.status().metrics_waiting == 2_500
        with pytest.raises(promptwire.UnavailableError, match="observations were not taken"):
            client.flush_prompt_metrics(timeout=0.2)
        service.start()
        client.flush_prompt_metrics(timeout=60)
        assert [one.count for one in client.query_prompt_metrics("support")] == [2_500]
        assert client.status().metrics_dropped == 0


def test_what_is_logged_now_and_then_is_sent_without_being_asked_for(tour: promptwire.Client) -> None:
    for count in (1, 2, 3):
        tour.log_prompt_metrics("support/1", {"quality": 1.0})
        deadline = time.monotonic() + 20
        while tour.status().metrics_waiting:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [one.count for one in tour.query_prompt_metrics("support")] == [count]


def test_a_program_that_ends_leaves_nothing_behind(
    tour: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    program = f"""
        import promptwire
        client = promptwire.Client({service.target!r}, namespace={namespace!r})
        for _ in range(1_500):
            client.log_prompt_metrics("support@variant_a", {{"quality": 1.0}})
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)
    assert [one.count for one in tour.query_prompt_metrics("support")] == [1_500]


Means = dict[int, tuple[int, float]]


def means(client: promptwire.Client, **options: Any) -> Means:
    """Count and mean of `value`, by version."""
    client.flush_prompt_metrics()
    return {one.version: (one.count, one.mean) for one in client.query_prompt_metrics("support", "value", **options)}


@pytest.fixture
def split(tour: promptwire.Client) -> promptwire.Client:
    """With `ab` split in halves between the first two versions."""
    tour.set_prompt_alias_split("support", "ab", {1: 50, 2: 50})
    return tour


USERS = [f"user-{number}" for number in range(200)]


def test_metrics_of_a_split_are_booked_on_the_version_that_was_used(split: promptwire.Client) -> None:
    exact = {}
    for user in USERS:
        prompt = split.load_prompt("support@ab", key=user)
        assert (prompt.alias, prompt.split) == ("ab", split.get_prompt("support").splits["ab"])
        split.log_prompt_metrics(prompt, {"value": float(prompt.version)})
        exact[prompt.version] = exact.get(prompt.version, 0) + 1
    assert means(split) == means(split, alias="ab") == {1: (exact[1], 1.0), 2: (exact[2], 2.0)}
    for _ in range(50):
        drawn = split.load_prompt("support@ab")
        split.log_prompt_metrics(drawn, {"value": float(drawn.version)})
    assert {version: mean for version, (_, mean) in means(split, alias="ab").items()} == {1: 1.0, 2: 2.0}
    assert means(split, alias="production") == {}
    by_number = split.load_prompt("support/1")
    assert (by_number.alias, by_number.split) == ("", None)
    assert by_number == next(one for one in map(split.load_prompt, ["support@variant_a"]) if one.alias == "variant_a")


def test_a_reference_that_leads_to_a_split_is_refused_without_a_key(
    split: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    told: list[promptwire.Exposure] = []
    with promptwire.Client(service.target, namespace=namespace, on_exposure=told.append) as client:
        with pytest.raises(promptwire.InvalidArgumentError, match=r"is split: log the PromptVersion .* key="):
            client.log_prompt_metrics("support@ab", {"value": 1.0})
        for user in USERS:
            used = split.load_prompt("support@ab", key=user).version
            client.log_prompt_metrics("support@ab", {"value": float(used)}, key=user)
            client.log_prompt_metrics("support@variant_a", {"value": 1.0}, key=user)  # as in load_prompt: needs none
        found = means(client, alias="ab")
        assert sum(count for count, _ in found.values()) == len(USERS)
        assert {version: mean for version, (_, mean) in found.items()} == {1: 1.0, 2: 2.0}
        assert told == [], "to log is not to show somebody a version"


def test_an_alias_that_moves_between_load_and_log_does_not_misattribute(split: promptwire.Client) -> None:
    split.set_prompt_alias("support", "production", 1)
    used = split.load_prompt("support@production")
    drawn = split.load_prompt("support@ab", key="user-7")
    held = split.handle("support@production").current
    split.set_prompt_alias("support", "production", 2)
    split.set_prompt_alias("support", "ab", 3)
    assert split.load_prompt("support@production").version == 2
    for prompt in (used, held, pickle.loads(pickle.dumps(used)), copy.deepcopy(used), copy.copy(used)):
        split.log_prompt_metrics(prompt, {"value": 1.0})
    split.log_prompt_metrics(drawn, {"value": float(drawn.version)}, tags={"of": "split"})
    assert means(split, alias="production") == {1: (5, 1.0)}
    assert means(split, tags={"of": "split"}, alias="ab") == {drawn.version: (1, float(drawn.version))}
    split.log_prompt_metrics("support@production", {"value": 2.0})  # what it means at this moment
    assert means(split, alias="production") == {1: (5, 1.0), 2: (1, 2.0)}


async def test_every_way_to_load_remembers_by_which_alias(
    split: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    split.set_prompt_alias("support", "production", 2)
    moved_at = next(split.prompt_alias_history("support", "production")).timestamp
    with promptwire.Client(service.target, namespace=namespace) as client:
        config = client.load_config({"prompts": {"support": "support@production"}})
        plain = [
            client.load_prompt("support@production"),
            client.load_prompt("prompts:/support@production"),
            client.load_prompt("support@production", consistency="strong"),
            client.load_prompts(["support@production"])[0],
            client.handle("support@production").current,
            config["support"].current,
            config.load("support"),
            client.get_prompt_version_by_alias("support", "production"),
            client.load_prompt_as_of("support@production", moved_at),
        ]
        assert [(one.version, one.alias, one.split) for one in plain] == [(2, "production", None)] * len(plain)
        drawn = [
            client.load_prompt("support@ab", key="user-7"),
            client.load_prompt("support@ab", key="user-7"),
            client.load_prompt("support@ab", consistency="strong", key="user-7"),
            *client.load_prompts(["support@ab", "support@ab"], key="user-7"),
            client.get_prompt_version_by_alias("support", "ab"),
        ]
        assert all(one.alias == "ab" and one.split for one in drawn)
        assert drawn[0] is drawn[1]
        others = [client.load_prompt("support"), client.load_prompt("support/2"), client.load_prompt("support@latest")]
        assert [one.alias for one in others] == ["", "", ""]
        client.wait_for_ready(["support@production", "support@ab"])
        split.set_prompt_alias("support", "production", 3)
        deadline = time.monotonic() + 20
        while client.load_prompt("support@production").version != 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)
        assert client.load_prompt("support@production").alias == config["support"].current.alias == "production"
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        assert (await client.load_prompt("support@production")).alias == "production"
        used = await client.load_prompt("support@ab", key="user-7")
        assert (used.alias, used.version) == ("ab", drawn[0].version)
        await client.log_prompt_metrics(used, {"value": float(used.version)})
        await client.log_prompt_metrics("support@ab", {"value": float(used.version)}, key="user-7")
        with pytest.raises(promptwire.InvalidArgumentError, match="is split"):
            await client.log_prompt_metrics("support@ab", {"value": 1.0})
        await client.flush_prompt_metrics()
    genai.configure(service.target, namespace=namespace)
    genai.log_prompt_metrics(genai.load_prompt("support@ab", key="user-7"), {"value": float(used.version)})
    genai.log_prompt_metrics("support@ab", {"value": float(used.version)}, key="user-7")
    genai.flush_prompt_metrics()
    assert means(split, alias="ab") == {used.version: (4, float(used.version))}


def test_the_champion_of_a_split_is_the_better_version(split: promptwire.Client) -> None:
    """Booked by chance, as a reference once was, the means would be nearly equal, and the winner anybody."""
    draws = random.Random(7)
    for user in USERS:
        prompt = split.load_prompt("support@ab", key=user)
        split.log_prompt_metrics(prompt, {"value": draws.gauss(float(prompt.version), 0.05)})
    split.flush_prompt_metrics()
    chosen = split.choose_champion("support", "value", [1, 2], apply=True, also=["ab"])
    assert chosen.version == 2
    (against,) = chosen.comparisons
    assert against.difference == pytest.approx(1.0, abs=0.05)
    prompt = split.get_prompt("support")
    assert (prompt.aliases["champion"], prompt.aliases["ab"], dict(prompt.splits)) == (2, 2, {})


def test_a_champion_does_not_move_a_split_that_changed_meanwhile(
    split: promptwire.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in USERS:
        prompt = split.load_prompt("support@ab", key=user)
        split.log_prompt_metrics(prompt, {"value": float(prompt.version) + 0.001 * (len(user) % 2)})
    split.flush_prompt_metrics()
    choose = core.choose

    def choose_slowly(*arguments: Any, **options: Any) -> promptwire.Champion:
        split.set_prompt_alias_split("support", "ab", {1: 10, 2: 90})
        return choose(*arguments, **options)

    monkeypatch.setattr(core, "choose", choose_slowly)
    with pytest.raises(promptwire.ConflictError, match="changed since it was read"):
        split.choose_champion("support", "value", [1, 2], apply=True, also=["ab"])
    assert "champion" not in split.get_prompt("support").aliases
    with pytest.raises(promptwire.ConflictError, match="not absent as expected"):
        split.release("by hand", [promptwire.Move(name="support", alias="ab", version=2, expected_version=0)])


def test_the_champion_is_chosen_if_surely_one_is_best(tour: promptwire.Client) -> None:
    few = tour.choose_champion("support", "quality", ["variant_a", "variant_b"])
    assert few.version is None
    assert "30 observations are needed of each: version 1 has 0, version 2 has 0" in few.why
    observe(tour)
    chosen = tour.choose_champion("support", "quality", ["variant_a", "variant_b"], apply=True, also=["production"])
    assert (chosen.version, [one.version for one in chosen.candidates]) == (2, [2, 1])
    (against,) = chosen.comparisons
    assert against.confidence[0] < against.difference < against.confidence[1]
    assert (against.confidence[0] > 0, against.effect_size > 1, against.p < 0.001) == (True, True, True)
    assert tour.get_prompt("support").aliases == {"variant_a": 1, "variant_b": 2, "champion": 2, "production": 2}
    assert next(tour.list_releases()).release == ("Champion of support")
    cheap = tour.choose_champion("support", "cost", [1, 2], minimize=True)
    assert cheap.version == 1
    unsure = tour.choose_champion("support", "quality", [1, 2], min_effect=50)
    assert (unsure.version, "by too little" in unsure.why) == (None, True)
    for candidates in (["nobody", 1], [1], [1, "variant_a"], "variant_a"):
        with pytest.raises(promptwire.InvalidArgumentError, match="candidates"):
            tour.choose_champion("support", "quality", candidates)  # type: ignore[arg-type]


def test_the_command_line_logs_reports_draws_and_chooses(
    tour: promptwire.Client, service: ServiceProcess, namespace: str, tmp_path: Path
) -> None:
    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["--target", service.target, "--namespace", namespace, *words])
        assert result.exit_code == code, result.output
        return result.stdout

    observe(tour)
    tour.set_prompt_alias_split("support", "ab", {2: 50, 3: 50})
    refused = CliRunner().invoke(
        app, ["--target", service.target, "--namespace", namespace, "metrics", "log", "support@ab", "quality=1"]
    )
    assert refused.exit_code == 2
    assert "name the version that was used (support/2, support/3), or give --key" in " ".join(refused.output.split())
    logged = json.loads(run("metrics", "log", "support@ab", "value=1", "--key", "user-7", "--json"))
    used = tour.load_prompt("support@ab", key="user-7").version
    assert (logged["version"], logged["alias"]) == (used, "ab")
    (found,) = json.loads(run("metrics", "report", "support", "--alias", "ab", "--json"))
    assert (found["version"], found["count"]) == (used, 1)
    assert run("metrics", "log", "support@variant_a", "quality=0.9", "--tag", "by=hand").startswith(
        "support/1: quality=0.9"
    )
    assert run("metrics", "log", "support@variant_a", "quality=x", code=2) == ""
    rows = [row.split("\t") for row in run("metrics", "report", "support", "--metric", "quality").splitlines()]
    assert [row[:3] for row in rows] == [["1", "quality", "61"], ["2", "quality", "60"]]
    by_hand = json.loads(run("metrics", "report", "support", "--tag", "by=hand", "--json"))
    assert [(one["version"], one["mean"]) for one in by_hand] == [(1, 0.9)]
    for name, more in (("quality.png", ()), ("both.png", ("--against", "cost"))):
        picture = tmp_path / name
        run("metrics", "report", "support", "--metric", "quality", "--plot", str(picture), *more)
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("metrics", "report", "support", "--plot", "x.png", code=2) == ""
    chosen = json.loads(
        run("champion", "support", "--metric", "quality", "--candidates", "variant_a,2", "--apply", "--json")
    )
    assert (chosen["version"], chosen["applied"]) == (2, True)
    assert tour.get_prompt("support").aliases["champion"] == 2
    assert "champion: none" in run("champion", "support", "--metric", "nothing", "--candidates", "1,2", code=1)


async def test_the_same_from_asyncio(tour: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        await client.log_prompt_metrics("support@variant_a", {"quality": 1.0})
        await client.flush_prompt_metrics()
        (found,) = await client.query_prompt_metrics("support", "quality")
        assert (found.version, found.count) == (1, 1)


def test_what_is_given_up_at_close_is_counted_once(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        client = promptwire.Client(service.target, connect_timeout_seconds=0.1)
        client.register_prompt("support", "one")
        version = client.load_prompt("support/1")
        service.kill()
        for _ in range(100):
            client.log_prompt_metrics(version, {"quality": 1.0})
        with pytest.raises(promptwire.UnavailableError):
            client.flush_prompt_metrics(timeout=0.2)
        client.close()
        assert (client.status().metrics_dropped, client.status().metrics_waiting) == (100, 0)


@pytest.mark.parametrize("min_effect", [-1, "much", True, float("nan"), None])
def test_an_effect_that_is_none_is_refused(tour: promptwire.Client, min_effect: object) -> None:
    with pytest.raises(promptwire.InvalidArgumentError, match="min_effect: must be a number from 0"):
        tour.choose_champion("support", "quality", [1, 2], min_effect=min_effect)  # type: ignore[arg-type]
