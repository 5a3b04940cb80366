"""What gRPC itself bounds: connections, calls that are not accepted yet, messages.

All of it happens in gRPC's own threads, without Python, and so goes on at any load.
"""

from typing import Final

from promptwire.domain import limits

HANDSHAKE_SECONDS: Final = 10
"""How long a connection may be silent before it has said that it speaks HTTP/2."""
IDLE_SECONDS: Final = 300
"""How long a connection without calls is kept. A client's next call makes another."""
STREAMS_PER_CONNECTION: Final = 100
"""Calls and streams at once on one connection. What goes beyond waits in the client."""
PENDING_MAX: Final = 150
"""Calls of one method that wait to be accepted: what that many Resolves cost is the longest that one waits. More than a
connection may have, so that a client alone is never refused here.
"""

_IDENTITY_ONLY: Final = 1

OPTIONS: Final = (
    ("grpc.max_receive_message_length", limits.LARGE_REQUEST_MAX_BYTES),
    ("grpc.max_send_message_length", limits.ANSWER_MAX_BYTES),
    # A compressed message is taken apart before its size is looked at: 16 MiB of it can be 16 GiB.
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
    # An agent that vanished without a word must not keep its Watch stream for ever.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # What clients may ping; without these, gRPC hangs up on one that pings more often than every 5 minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 10),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
    # It refuses a busy client's next call while one that has ended is not cleared away yet. What it is against, streams
    # that are opened and reset, is bounded by what may be pending.
    ("grpc.http.overload_protection", 0),
    ("grpc.server.max_pending_requests", PENDING_MAX),
    ("grpc.server.max_pending_requests_hard_limit", PENDING_MAX),
)


def options(most_connections: int) -> tuple[tuple[str, int], ...]:
    """For a server that keeps so many connections open; more are closed as soon as they are made."""
    return (*OPTIONS, ("grpc.max_allowed_incoming_connections", most_connections))
