"""Orders of events that a run has found to go wrong, forced."""

from contextlib import closing

from tests.faults.checkers import violations
from tests.faults.raw import Raw
from tests.faults.stage import Stage, in_thread
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


def test_an_answer_from_a_read_under_way_is_as_new_as_was_asked_for() -> None:
    """A fill has read; something else is written; who has seen that write asks for what is being filled."""
    stage = Stage()
    address = stage.serve()
    with closing(Raw("raw", address, stage.history)) as raw, closing(Raw("slow", address, stage.history)) as slow:
        raw.register("red", NAME, "red 1", raw.request_id())
        gate = stage.gate("fill")
        with in_thread(lambda: slow.resolve("red", NAME, "latest")):
            gate.wait()
            raw.register("red", "other", "red other", raw.request_id())
            with in_thread(lambda: raw.resolve("red", NAME, "latest", token=True)) as reading:
                reading.join(0.3)
                stage.lift("fill")
    assert violations(stage.close()) == []


def test_an_answer_from_a_read_under_way_says_how_old_it_is() -> None:
    """A fill has read; another service writes the same prompt, and this one has not been told when it is asked."""
    stage = Stage()
    address = stage.serve()
    with (
        closing(Raw("raw", stage.serve(), stage.history)) as raw,
        closing(Raw("slow", address, stage.history)) as slow,
        closing(Raw("late", address, stage.history)) as late,
    ):
        raw.register("red", NAME, "red 1", raw.request_id())
        slow.resolve("red", NAME, "1")
        raw.register("red", NAME, "red 2", raw.request_id())
        slow.resolve("red", "other", "latest", strong=True)
        gate = stage.gate("fill")
        with in_thread(lambda: slow.resolve("red", NAME, "latest")):
            gate.wait()
            stage.gate("log")
            raw.register("red", NAME, "red 3", raw.request_id())
            with in_thread(lambda: late.resolve("red", NAME, "latest")) as reading:
                reading.join(0.3)
                stage.lift("fill")
            stage.lift("log")
    assert violations(stage.close()) == []
