"""Roll-backs, releases and deletions through a real service: what agents and release managers see."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

import promptwire
from promptwire import Move, Register
from promptwire.cli.app import app
from tests.support.service import ServiceProcess


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.002)


@pytest.fixture
def two(client: promptwire.Client) -> promptwire.Client:
    """With three versions of `greeting` and of `billing`, `production` at the first."""
    for name in ("greeting", "billing"):
        for text in ("one", "two", "three"):
            client.register_prompt(name, text)
        client.set_prompt_alias(name, "production", 1)
    return client


def test_a_roll_back_is_read_at_once_and_reaches_agents(
    two: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    with promptwire.Client(service.target, namespace=namespace) as agent:
        assert agent.load_prompt("greeting@production").version == 1
        two.set_prompt_alias("greeting", "production", 2)
        two.set_prompt_alias("greeting", "production", 3)
        until(lambda: agent.load_prompt("greeting@production").version == 3, "the agent follows")
        change = two.rollback_prompt_alias("greeting", "production", reason="worse", wait_for_agents=10)
        assert (change.previous_version, change.version) == (3, 2)
        assert two.load_prompt("greeting@production").version == 2
        until(lambda: agent.load_prompt("greeting@production").version == 2, "the agent follows back")
    assert two.rollback_prompt_alias("greeting", "production", to_version=3).version == 3
    moves = list(two.prompt_alias_history("greeting", "production"))
    assert [(move.previous_version, move.version, move.rollback) for move in moves] == [
        (2, 3, True),
        (3, 2, True),
        (2, 3, False),
        (1, 2, False),
        (None, 1, False),
    ]
    assert (moves[1].reason, moves[1].actor) == ("worse", "ana@laptop")


def test_a_roll_back_does_not_make_live_again_what_an_undo_took_back(
    two: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    """From Python, from asyncio and at the command line; the history says what went back."""
    for version in (2, 3):
        two.set_prompt_alias("greeting", "production", version)
    two.set_prompt_alias("greeting", "production", 2)
    released = two.release("Friday", {"greeting@production": 3, "billing@production": 2})
    two.undo_release(released.number)
    assert two.get_prompt("greeting").aliases == {"production": 2}

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["--target", service.target, "--namespace", namespace, *words])
        assert result.exit_code == code, result.output
        return result.stdout

    assert "2 -> 1" in run("alias", "rollback", "greeting", "production")
    run("alias", "rollback", "greeting", "production", code=1)
    moves = json.loads(run("alias", "history", "greeting", "production", "--json"))
    assert [(move["version"], move["rollback"], move["undoes"]) for move in moves[:3]] == [
        (1, True, None),
        (2, False, released.number),
        (3, False, None),
    ]
    told = run("alias", "history", "greeting", "production")
    assert "1 (rollback)" in told
    assert f"2 (undo of {released.number})" in told
    assert "1 (rollback)" in run("alias", "history", "greeting", "production")
    with pytest.raises(promptwire.ConflictError, match="was not left by a roll-back or an undo"):
        two.rollback_prompt_alias("billing", "production")
    assert two.rollback_prompt_alias("billing", "production", to_version=3).version == 3


def test_an_alias_goes_back_to_what_it_was_at_a_time(two: promptwire.Client) -> None:
    two.set_prompt_alias("greeting", "production", 2)
    then = next(two.prompt_alias_history("greeting", "production")).timestamp
    until(lambda: time.time() * 1_000 > then + 5, "time passes")
    two.set_prompt_alias("greeting", "production", 3)
    moment = datetime.fromtimestamp(then / 1_000 + 0.001, UTC)
    assert two.load_prompt_as_of("greeting@production", moment).version == 2
    assert two.load_prompt_as_of("greeting@latest", moment).version == 3
    assert two.load_prompt("greeting@production").version == 3
    assert two.rollback_prompt_alias("greeting", "production", at=then).version == 2
    with pytest.raises(promptwire.AliasNotFoundError, match="at that time"):
        two.load_prompt_as_of("greeting@production", 0)
    with pytest.raises(promptwire.ConflictError, match="pointed at nothing at that time"):
        two.rollback_prompt_alias("greeting", "production", at=0)
    with pytest.raises(promptwire.InvalidArgumentError, match="time zone"):
        two.load_prompt_as_of("greeting@production", datetime(2026, 1, 1))
    with pytest.raises(promptwire.InvalidArgumentError, match="does not go with"):
        two.rollback_prompt_alias("greeting", "production", at=then, to_version=1)


def test_no_agent_sees_half_of_a_release(two: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    """A reader that has the new greeting never has the old billing."""
    halves: list[tuple[int, int]] = []
    done = threading.Event()
    with promptwire.Client(service.target, namespace=namespace) as agent:
        agent.wait_for_ready(["greeting@production", "billing@production"])

        def read() -> None:
            while not done.is_set():
                first = agent.load_prompt("greeting@production").version
                second = agent.load_prompt("billing@production").version
                if second < first:
                    halves.append((first, second))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for version in (2, 3):
            released = two.release(f"to {version}", {"greeting@production": version, "billing@production": version})
            assert {effect.version for effect in released.effects} == {version}
            until(lambda: agent.load_prompt("billing@production").version == version, "the agent follows")  # noqa: B023
        done.set()
        for reader in readers:
            reader.join()
    assert halves == []


def test_a_first_load_does_not_run_ahead_of_the_rest_of_a_release(
    two: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    halves: list[tuple[int, int]] = []
    with promptwire.Client(service.target, namespace=namespace) as agent:
        agent.wait_for_ready(["greeting@production"])
        for number in range(60):
            version = number % 3 + 1
            two.release(f"{number}", {"greeting@production": version, f"billing@new{number}": version})
            first = agent.load_prompt(f"billing@new{number}").version
            second = agent.load_prompt("greeting@production").version
            if first != second:
                halves.append((first, second))
    assert halves == []


def test_a_release_is_all_or_nothing_and_one_call_takes_it_back(two: promptwire.Client) -> None:
    steps = [
        Register(name="new", template="first", aliases=["production"]),
        Move(name="greeting", alias="production", version=2, expected_version=1),
        Move(name="billing", alias="staging", version=3),
    ]
    planned = two.release("Friday", steps, dry_run=True)
    assert (planned.problems, [effect.version for effect in planned.effects]) == ((), [1, 1, 2, 3])
    with pytest.raises(promptwire.PromptNotFoundError):
        two.get_prompt("new")
    released = two.release("Friday", steps, reason="ticket 7")
    assert two.load_prompt("new@production").template == "first"
    assert two.load_prompt("greeting@production").version == 2
    with pytest.raises(promptwire.ConflictError, match="points at version 2, not at version 1"):
        two.release("again", steps)
    assert "points at version 2" in two.release("again", steps, dry_run=True).problems[0]
    two.set_prompt_alias("billing", "staging", 1)
    with pytest.raises(promptwire.ConflictError):
        two.undo_release(released.number)
    assert two.load_prompt("greeting@production").version == 2
    two.set_prompt_alias("billing", "staging", 3)
    undone = two.undo_release(released.number, reason="worse")
    assert two.load_prompt("greeting@production").version == 1
    assert (two.get_prompt("billing").aliases, two.get_prompt("new").aliases) == ({"production": 1}, {})
    with pytest.raises(promptwire.ConflictError, match="undone already"):
        two.undo_release(released.number)
    newest, oldest = two.list_releases()
    assert (newest.release, newest.undoes, oldest.undone_by) == ("Undo Friday", released.number, undone.number)
    two.undo_release(undone.number)
    assert two.load_prompt("greeting@production").version == 2


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ({}, "steps"),
        ({"greeting": 1}, "steps"),
        ({"greeting/1": 1}, "steps"),
        ({"greeting@production": "1"}, "steps.version"),
        ([Move(name="greeting", alias="a", version=1), Move(name="greeting", alias="a", version=2)], "steps[1]"),
        ([Move(name="greeting", alias="latest", version=1)], "steps[0].alias"),
        ([Register(name="x", template="")], "steps[0].content.text"),
        (["greeting"], "steps[0]"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused_by_its_field(
    two: promptwire.Client, steps: object, field: str
) -> None:
    with pytest.raises(promptwire.InvalidArgumentError) as refused:
        two.release("Friday", steps)  # type: ignore[arg-type]
    assert refused.value.violations[0][0] == field


def test_what_is_deleted_no_longer_loads_and_agents_say_why(
    two: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    with promptwire.Client(service.target, namespace=namespace) as agent:
        agent.wait_for_ready(["greeting/3", "greeting@latest", "billing@production"])
        two.delete_prompt_version("greeting", 3)

        def refusal(reference: str) -> str:
            try:
                agent.load_prompt(reference)
            except promptwire.PromptNotFoundError as error:
                return error.reason
            return ""

        until(lambda: refusal("greeting/3") == "VERSION_DELETED", "the version is gone")
        assert agent.load_prompt("greeting@latest").version == 2
        with pytest.raises(promptwire.ConflictError, match="production"):
            two.delete_prompt_version("billing", 1)
        two.delete_prompt("billing", reason="unused")
        until(lambda: refusal("billing@production") == "PROMPT_DELETED", "the prompt is gone")
        with pytest.raises(promptwire.PromptNotFoundError, match="is deleted"):
            two.load_prompt("billing/1")
        assert [(one.name, one.version) for one in two.list_deleted_prompts()] == [("greeting", 3), ("billing", None)]
        with pytest.raises(promptwire.PromptNotFoundError, match="is deleted"):
            two.register_prompt("billing", "four")
        two.undelete_prompt("billing")
        two.undelete_prompt_version("greeting", 3)
        until(lambda: refusal("billing@production") == "", "the prompt is there again")
        until(lambda: refusal("greeting/3") == "", "the version is there again")
        assert agent.load_prompt("greeting@latest").version == 3
    assert list(two.list_deleted_prompts()) == []


def test_the_audit_tells_every_write_in_order(two: promptwire.Client) -> None:
    two.delete_prompt("billing", reason="unused")
    writes = list(two.audit())
    assert [write.revision.number for write in writes] == list(range(1, 10))
    assert (writes[-1].changes[0].kind, writes[-1].reason, writes[-1].actor) == (
        "prompt_deleted",
        "unused",
        "ana@laptop",
    )
    assert [write.revision.number for write in two.audit(after=7)] == [8, 9]


async def test_the_same_from_asyncio(two: promptwire.Client, service: ServiceProcess, namespace: str) -> None:
    async with promptwire.AsyncClient(service.target, namespace=namespace) as client:
        await client.set_prompt_alias("greeting", "production", 2)
        assert (await client.rollback_prompt_alias("greeting", "production")).version == 1
        assert (await client.rollback_prompt_alias("greeting", "production", to_version=2)).version == 2
        with pytest.raises(promptwire.ConflictError, match="nothing to go back to"):
            await client.rollback_prompt_alias("greeting", "production")
        assert (await client.rollback_prompt_alias("greeting", "production", to_version=1)).version == 1
        released = await client.release("Friday", {"greeting@production": 3, "billing@production": None})
        assert (await client.load_prompt("greeting@production")).version == 3
        await client.undo_release(released.number)
        assert (await client.load_prompt("billing@production")).version == 1
        await client.delete_prompt_version("greeting", 3)
        assert [one.version async for one in client.list_deleted_prompts()] == [3]
        assert [move.version async for move in client.prompt_alias_history("greeting", "production")][:1] == [1]
        await client.undelete_prompt_version("greeting", 3)
