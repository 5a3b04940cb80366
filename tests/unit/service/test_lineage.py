"""Which server's answers are believed."""

from promptwire_service.storage.redis.lineage import STAYS_SECONDS, Lineage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_server_that_was_left_is_not_believed_again_at_once() -> None:
    lineage = Lineage(Clock())
    assert lineage.admits("one")
    assert lineage.admits("two"), "a fail-over"
    assert not lineage.admits("one")
    assert lineage.admits("two")


def test_a_server_that_stays_is_the_primary_after_all() -> None:
    clock = Clock()
    lineage = Lineage(clock)
    for server in ("one", "two"):
        assert lineage.admits(server)
    assert not lineage.admits("one")
    clock.now += STAYS_SECONDS
    assert lineage.admits("one")
    assert not lineage.admits("two"), "now it is the other one that was left"


def test_only_so_many_servers_are_remembered() -> None:
    lineage = Lineage(Clock())
    for number in range(100):
        assert lineage.admits(f"server{number}")
    assert not lineage.admits("server98")
    assert lineage.admits("server0")
