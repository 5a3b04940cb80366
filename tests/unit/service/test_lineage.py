"""Which server's answers are believed."""

from promptwire_service.domain.records import Revision
from promptwire_service.storage.redis.lineage import STAYS_SECONDS, Lineage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def at(server: str, data_set: str = "id") -> Revision:
    return Revision(f"{data_set}-{server}", 7)


def test_a_server_that_was_left_is_not_believed_again_at_once() -> None:
    lineage = Lineage(Clock())
    assert lineage.admits("a", at("one"))
    assert lineage.admits("a", at("two")), "a fail-over"
    assert not lineage.admits("a", at("one"))
    assert not lineage.admits("a", at("one", "another-id"))
    assert lineage.admits("a", at("two"))


def test_a_server_that_stays_is_the_primary_after_all() -> None:
    clock = Clock()
    lineage = Lineage(clock)
    for server in ("one", "two"):
        assert lineage.admits("a", at(server))
    assert not lineage.admits("a", at("one"))
    clock.now += STAYS_SECONDS
    assert lineage.admits("a", at("one"))
    assert not lineage.admits("a", at("two")), "now it is the other one that was left"


def test_another_data_set_of_the_same_server_is_believed_and_namespaces_are_apart() -> None:
    lineage = Lineage(Clock())
    assert lineage.admits("a", at("one", "empty"))
    assert lineage.admits("a", at("one", "id"))
    assert lineage.admits("a", at("one", "empty"))
    assert lineage.admits("a", at("two"))
    assert lineage.admits("b", at("one")), "its own shard may be elsewhere"


def test_only_so_many_servers_are_remembered() -> None:
    lineage = Lineage(Clock())
    for number in range(100):
        assert lineage.admits("a", at(f"server{number}"))
    assert not lineage.admits("a", at("server98"))
    assert lineage.admits("a", at("server0"))
