"""gRPC's part of taking a port; see `promptwire_service.ports` for the rest."""

import grpc

from promptwire_service.ports import ListenError, check_free, ipv4_alone, join_address


def listen(server: grpc.aio.Server, host: str, port: int, *, shared: bool = False) -> int:
    """Binds a server that has not started yet; returns the port, which is a free one where 0 was asked for.

    `shared`: the port is held for this process and others, see `HeldPort`, and so is not free.
    """
    if not shared:
        check_free(host, port)
    try:
        with ipv4_alone(host, port) as chosen:
            return server.add_insecure_port(join_address(host, chosen))
    except RuntimeError as error:
        raise ListenError(host, port, "gRPC could not bind the address") from error
