"""The change feed across outages: it goes on where it ended, and says so when it cannot know that it does."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from promptwire._core.backoff import Backoff
from promptwire.errors import PromptwireError, UnavailableError
from promptwire.values import Changes, Revision


class Feed(Protocol):
    """What is used of a client."""

    def changes(
        self, after: Revision | None = None, names: Sequence[str] = (), follow: bool = True
    ) -> Iterator[Changes]: ...


def follow(
    feed: Feed,
    after: Revision | None,
    names: Sequence[str],
    note: Callable[[str], None],
    pause: Callable[[float], object],
) -> Iterator[Changes]:
    """Every write after a revision, for ever. Raises PromptwireError only before the first answer: after that it knows
    that the service was there, waits for it to come back, and resumes as well as it can.
    """
    backoff = Backoff(0.2, 5.0)
    at, answered, lost = after, False, False
    while True:
        try:
            for one in feed.changes(at, names, True):
                if lost:
                    note(f"connected again, at revision {one.revision.number}")
                elif not answered:
                    note(f"watching from revision {one.revision.number} on; Ctrl-C ends")
                backoff.reset()
                at, answered, lost = one.revision, True, False
                if one.changes:
                    yield one
            problem = "the service ended the feed"
        except UnavailableError as error:
            if not answered:
                raise
            problem = str(error)
        except PromptwireError as error:
            restart = _restart(error, at) if answered and at else None
            if restart is None:
                raise
            at, why = restart
            note(why)
            continue
        if not lost:
            note(f"{problem}; waiting for it to come back")
        lost = True
        pause(backoff.next())


def _restart(error: PromptwireError, at: Revision) -> tuple[Revision | None, str] | None:
    """Where to go on (None: from now), and what a reader has to know about it; None when there is no way on.

    A restarted store has another epoch, though with an append-only file it has lost nothing. So the feed goes on at the
    same number. If the store has fewer revisions than that, it says EPOCH_CHANGED again: its history is another one.
    """
    epoch, floor = error.metadata.get("epoch", ""), error.metadata.get("floor", "")
    if error.reason == "EPOCH_CHANGED" and epoch not in ("", at.epoch):
        why = f"the store was restarted or restored (epoch {epoch}); going on after revision {at.number}"
        return Revision(epoch, at.number), f"{why}, if it is still the same history"
    if error.reason == "EPOCH_CHANGED":
        return None, f"the store's history is another one, without a revision {at.number}; going on from now"
    if error.reason == "COMPACTED" and floor.isdecimal() and int(floor) > at.number:
        return Revision(
            at.epoch, int(floor)
        ), f"changes after revision {at.number} up to {floor} are lost to this watch"
    return None
