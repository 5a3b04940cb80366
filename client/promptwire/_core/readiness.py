"""Who waits until the watch vouches for what they use."""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError


class Readiness:
    """Guarded by the live table's lock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Sequence[str], Future[None]]] = []

    def wait(self, keys: Sequence[str]) -> Future[None]:
        """Done once `tell` finds all of these references ready; whoever gives up cancels it."""
        ready: Future[None] = Future()
        self._waiting.append((keys, ready))
        return ready

    def tell(self, is_ready: Callable[[Sequence[str]], bool]) -> None:
        for keys, ready in self._waiting:
            if is_ready(keys):
                with contextlib.suppress(InvalidStateError):  # who waited has just given up
                    ready.set_result(None)
        self._waiting = [(keys, ready) for keys, ready in self._waiting if not ready.done()]

    def cancel(self) -> None:
        for _, ready in self._waiting:
            ready.cancel()
