"""Which namespaces open streams keep followed, counted so that nobody makes the service follow any number."""

from collections import Counter
from typing import Final

from promptwire_service.domain.errors import too_many_namespaces

WATCHED_MAX_PER_CONNECTION: Final = 1_000
WATCHED_MAX: Final = 20_000


class WatchedNamespaces:
    """Counts namespaces with open streams, by connection and in total; each once, however many streams it has."""

    def __init__(self, max_per_connection: int = WATCHED_MAX_PER_CONNECTION, max_total: int = WATCHED_MAX) -> None:
        self._max_per_connection = max_per_connection
        self._max_total = max_total
        self._streams: Counter[str] = Counter()
        self._of_connection: dict[str, Counter[str]] = {}

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._streams

    def acquire(self, connection: str, namespace: str) -> None:
        """Counts a stream. Raises RESOURCE_EXHAUSTED, and counts nothing, if it would be one namespace too many."""
        held: Counter[str] = self._of_connection.get(connection, Counter())
        if namespace not in held and len(held) >= self._max_per_connection:
            raise too_many_namespaces(f"a connection watches at most {self._max_per_connection:,} namespaces")
        if namespace not in self._streams and len(self._streams) >= self._max_total:
            raise too_many_namespaces(f"this service watches at most {self._max_total:,} namespaces")
        self._of_connection.setdefault(connection, Counter())[namespace] += 1
        self._streams[namespace] += 1

    def release(self, connection: str, namespace: str) -> None:
        held = self._of_connection[connection]
        for counter in (held, self._streams):
            counter[namespace] -= 1
            if not counter[namespace]:
                del counter[namespace]
        if not held:
            del self._of_connection[connection]
