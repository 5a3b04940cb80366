"""A question under way."""

from concurrent.futures import Future

from promptwire._core.split_alias import Meaning
from promptwire.domain.references import Reference
from promptwire.values import Revision


class Flight:
    """Who wants the same answer waits for it instead of asking too."""

    __slots__ = ("asked_at", "fence", "future", "hurried", "reference")

    def __init__(self, reference: Reference, asked_at: float) -> None:
        self.reference = reference
        self.asked_at = asked_at
        """By the clock; it was asked then or later."""
        self.future: Future[Meaning | None] = Future()
        """None when the answer was overtaken: ask again."""
        self.fence: Revision | None = None
        """Something of the prompt that this client has seen or written since; the answer must not be older."""
        self.hurried = False
        """Whether who asks has something to fall back on, and so waits only a short while."""
