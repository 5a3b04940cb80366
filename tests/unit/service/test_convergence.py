"""Who has a change of an alias: what one service knows of its watchers, and what several add up to."""

import asyncio

from promptwire_service.domain.changes import AliasSet, LogEntry
from promptwire_service.domain.convergence import AliasPoint
from promptwire_service.domain.records import Revision
from promptwire_service.storage.cached import CachedStore
from promptwire_service.storage.memory import MemoryStore
from promptwire_service.watch.convergence import Convergence
from promptwire_service.watch.hub import Hub
from promptwire_service.watch.survey import Surveyor
from promptwire_service.watch.watcher import Watcher

POINT = AliasPoint(5, "p", "prod")


def hub(store: MemoryStore, number: int = 5) -> Hub:
    made = Hub("n", CachedStore(store, 1 << 20))
    made.revision = Revision("e", number)
    return made


def watcher(of: Hub, client_id: str, applied: int = 0, reports: bool = True) -> Watcher:
    made = Watcher(of, client_id, "agent", "peer", 0, follows={"p": {"prod"}}, reports=reports)
    made.applied_revision = applied
    return made


class Watched:
    """In place of a hub's record of a prompt."""

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = set(watchers)


def watched(of: Hub, *watchers: Watcher) -> None:
    of._watched["p"] = Watched(*watchers)  # type: ignore[assignment]


def test_a_delay_counts_from_publishing_to_applying_and_not_to_the_report() -> None:
    now = 100.0
    convergence = Convergence(lambda: now)
    agent = watcher(hub(MemoryStore()), "a", applied=4)
    convergence.learn([LogEntry(5, 0, "", "", "", (AliasSet("p", "prod", 2, 1),))])
    convergence.published(Revision("e", 5))
    now = 100.030
    convergence.applied(agent, 5, held_seconds=0.020)
    part = convergence.part(POINT, [agent], known=True)
    assert (part.agents, part.converged, part.complete) == (1, 1, True)
    assert sum(part.delay_counts) == 1
    assert 9 < part.slowest_ms < 11


def test_who_has_not_applied_it_is_named_and_who_does_not_report_is_counted_apart() -> None:
    of = hub(MemoryStore())
    watchers = [watcher(of, "late", applied=4), watcher(of, "old", reports=False)]
    part = Convergence().part(POINT, watchers, known=True)
    assert [lag.client_id for lag in part.lagging] == ["late"]
    assert (part.agents, part.converged, part.silent) == (1, 0, 1)


def test_numbers_of_another_history_prove_nothing() -> None:
    part = Convergence().part(POINT, [watcher(hub(MemoryStore()), "a", applied=9)], known=False)
    assert part.converged == 0


async def test_services_add_up() -> None:
    store = MemoryStore()
    here, there = hub(store), hub(store)
    watched(here, watcher(here, "a", applied=5))
    watched(there, watcher(there, "b", applied=5), watcher(there, "c", applied=4))
    asker, other = Surveyor(store, lambda _: here), Surveyor(store, lambda _: there)
    survey = await asker.ask("n", "e", [POINT], 0.0)
    assert survey.unheard == 0
    assert (survey.parts[0].agents, survey.parts[0].converged) == (3, 2)
    assert [lag.client_id for lag in survey.parts[0].lagging] == ["c"]
    await asker.close()
    await other.close()


async def test_a_wait_ends_when_the_last_agent_of_another_service_reports() -> None:
    store = MemoryStore()
    here, there = hub(store), hub(store)
    late = watcher(there, "c", applied=4)
    watched(there, late)
    asker, other = Surveyor(store, lambda _: here), Surveyor(store, lambda _: there)
    asking = asyncio.create_task(asker.ask("n", "e", [POINT], 30.0))
    await asyncio.sleep(0)
    there.convergence.applied(late, 5, 0.0)
    survey = await asyncio.wait_for(asking, 10.0)
    assert (survey.parts[0].agents, survey.parts[0].converged) == (1, 1)
    await asker.close()
    await other.close()


async def test_a_wait_ends_when_the_last_agent_leaves() -> None:
    store = MemoryStore()
    of = hub(store)
    watched(of, watcher(of, "a", applied=4))
    asker = Surveyor(store, lambda _: of)
    asking = asyncio.create_task(asker.ask("n", "e", [POINT], 30.0))
    await asyncio.sleep(0)
    of._watched.clear()
    of.convergence.moved()
    survey = await asyncio.wait_for(asking, 10.0)
    assert survey.parts[0].agents == 0
    await asker.close()


async def test_a_service_that_does_not_answer_is_said_and_not_waited_for_for_ever() -> None:
    store = MemoryStore()
    stop = store.on_message("converge", lambda _, __: None)
    asker = Surveyor(store, lambda _: hub(store), answer_seconds=0.01)
    assert (await asker.ask("n", "e", [POINT], 0.0)).unheard == 1
    stop()
    await asker.close()
