"""Which namespaces open streams keep followed, counted so that nobody makes the service follow any number."""

from collections import Counter
from typing import Final

from promptwire_service.domain.errors import too_many_namespaces

WATCHED_MAX_PER_ADDRESS: Final = 10_000
"""A client is told by its address until it has an identity: it opens as many connections as it likes."""
WATCHED_MAX: Final = 20_000


class WatchedNamespaces:
    """Counts namespaces with open streams, by address and in total; each once, however many streams it has."""

    def __init__(self, max_per_address: int = WATCHED_MAX_PER_ADDRESS, max_total: int = WATCHED_MAX) -> None:
        self._max_per_address = max_per_address
        self._max_total = max_total
        self._streams: Counter[str] = Counter()
        self._of_address: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._streams

    def acquire(self, peer: str, namespace: str) -> None:
        """Counts a stream of a peer, as gRPC calls it. Raises RESOURCE_EXHAUSTED, and counts nothing, if it would be
        one namespace too many.
        """
        address = _address(peer)
        held: Counter[str] = self._of_address.get(address, Counter())
        if namespace not in held and len(held) >= self._max_per_address:
            raise too_many_namespaces(f"one address watches at most {self._max_per_address:,} namespaces")
        if namespace not in self._streams and len(self._streams) >= self._max_total:
            raise too_many_namespaces(f"this service watches at most {self._max_total:,} namespaces")
        self._of_address.setdefault(address, Counter())[namespace] += 1
        self._streams[namespace] += 1

    def release(self, peer: str, namespace: str) -> None:
        address = _address(peer)
        held = self._of_address[address]
        for counter in (held, self._streams):
            counter[namespace] -= 1
            if not counter[namespace]:
                del counter[namespace]
        if not held:
            del self._of_address[address]


def _address(peer: str) -> str:
    """The peer without its port: `ipv4:127.0.0.1:54321` is `ipv4:127.0.0.1`."""
    return peer.rpartition(":")[0] or peer
