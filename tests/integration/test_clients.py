"""Both faces of the client against a real service: what only real answers can show."""

import asyncio

import pytest

import promptwire
from tests.support.servers import until
from tests.support.service import ServiceProcess


def test_a_missing_prompt_is_polled_without_a_call_and_appears(
    client: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    references = ["late@production", "prompts:/late/2", "late"]
    with promptwire.Client(service.target, namespace=namespace) as agent:
        for reference in references:
            with pytest.raises(promptwire.PromptNotFoundError):
                agent.load_prompt(reference)
        asyncio.run(until(lambda: all(agent._core.live.known_missing(one) for one in references)))
        asyncio.run(until(lambda: not agent._core.live._subscriptions._unacked))
        hits = agent.server_status().caches
        for _ in range(1000):
            with pytest.raises(promptwire.PromptNotFoundError, match="there is no prompt 'late'"):
                agent.load_prompt("late@production")
        assert agent.server_status().caches == hits, "nobody was asked"
        client.register_prompt("late", "one")
        client.register_prompt("late", "two")
        client.set_prompt_alias("late", "production", 2)
        asyncio.run(until(lambda: references[0] in agent._live.entries))
        assert [agent.load_prompt(one).version for one in references] == [2, 2, 2]
        with pytest.raises(promptwire.AliasNotFoundError, match=r"no alias 'staging'; it has production"):
            agent.load_prompt("late@staging")


def test_many_missing_references_of_one_batch_are_followed_too(
    client: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    with promptwire.Client(service.target, namespace=namespace) as agent:
        with pytest.raises(promptwire.PromptNotFoundError):
            agent.load_prompts(["x", "y@production"])
        asyncio.run(until(lambda: all(agent._core.live.known_missing(one) for one in ("x", "y@production"))))
        client.register_prompt("x", "text")
        asyncio.run(until(lambda: "x" in agent._live.entries))


def test_loads_that_want_more_get_it_from_the_store(
    client: promptwire.Client, service: ServiceProcess, namespace: str
) -> None:
    client.register_prompt("x", "one")
    client.register_prompt("x", "two")
    with promptwire.Client(service.target, namespace=namespace) as agent:
        for version in (1, 2, 1, 2):
            change = client.set_prompt_alias("x", "production", version)
            assert agent.load_prompt("x@production", min_revision=change.revision).version == version
        client.set_prompt_alias("x", "production", 1)
        assert agent.load_prompt("x@production", consistency="strong").version == 1
        client.set_prompt_alias("x", "production", 2)
        assert agent.load_prompt("x@production", max_staleness=0).version == 2
        agent.wait_for_ready(["x@production", "x/1"])
        assert agent.status().fresh


async def test_the_whole_way_awaited(service: ServiceProcess, namespace: str) -> None:
    async with (
        promptwire.AsyncClient(service.target, namespace=namespace) as author,
        promptwire.AsyncClient(service.target, namespace=namespace) as agent,
    ):
        for text in ("Hi {{who}}", "Hello {{who}}"):
            await author.register_prompt("greeting", text, commit_message=text, tags={"use_case": "greeting"})
        await author.set_prompt_alias("greeting", "production", 1)
        handle = await agent.handle("prompts:/greeting@production")
        assert (await agent.load_prompt("prompts:/greeting@production")).format(who="Ana") == "Hi Ana"
        await agent.wait_for_ready(["greeting@production"])
        feed = agent.changes()
        assert (await anext(feed)).changes == ()
        await author.set_prompt_alias("greeting", "production", 2)
        assert [change.version for change in (await anext(feed)).changes] == [2]
        await until(lambda: handle.current.version == 2)
        assert (await agent.load_prompt("prompts:/greeting@production")).format(who="Ana") == "Hello Ana"
        assert [one.version async for one in agent.list_prompt_versions("greeting")] == [2, 1]
        assert (await agent.server_status()).watcher_count >= 1
        with pytest.raises(promptwire.ConflictError):
            await author.set_prompt_alias("greeting", "production", 1, expected_version=7)
