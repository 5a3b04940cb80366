"""Orders of events that a run has found to go wrong, forced."""

from contextlib import closing

from tests.faults.checkers import violations
from tests.faults.raw import Raw
from tests.faults.stage import Stage
from tests.faults.streams import Watcher

NAME = "greeting"


def test_a_body_that_vanished_with_its_history_is_not_left_out_of_an_update() -> None:
    """The log tells of a version; before its body is read, the store goes back to a backup that lacks it."""
    stage = Stage()
    address = stage.serve()
    with closing(Raw("raw", address, stage.history)) as raw:
        raw.register("red", NAME, "red 1", raw.request_id())
        watcher = Watcher("watcher", address, "red", {NAME: ["latest"]}, 1, stage.history, renew_seconds=0.05)
        watcher.wait_told()
        backup = stage.backup("red")
        gate = stage.gate("body")
        raw.register("red", NAME, "red 2", raw.request_id())
        gate.wait()
        stage.restore("red", backup)
        stage.lift("body")
        watcher.finish()
    assert violations(stage.close()) == []
