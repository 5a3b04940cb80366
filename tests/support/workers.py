"""Which processes serve, and which of them a connection has come to."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import psutil

from tests.support.processes import children
from tests.support.service import ServiceProcess


def worker_pids(service: ServiceProcess) -> set[int]:
    """Those that run, also those that do not serve yet or are leaving."""
    started = children(service.process.pid)
    return {pid for pid, command in started.items() if "promptwire_service.workers.worker" in command}


def connections(service: ServiceProcess) -> Counter[int]:
    """How many each worker has, by its pid."""
    return Counter(owner for owner, _ in _established(service))


def _established(service: ServiceProcess) -> Iterator[tuple[int, int]]:
    for pid in worker_pids(service):
        try:
            found = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            continue
        for connection in found:
            if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == service.port:
                yield pid, connection.raddr.port


def fresh_channel(target: str) -> grpc.Channel:
    """A plain channel with a connection of its own."""
    return grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])


@contextmanager
def channel_to_each(service: ServiceProcess) -> Iterator[list[grpc.Channel]]:
    """A channel to each worker: as many are opened as it takes."""
    with ExitStack() as stack:
        channels: dict[int, grpc.Channel] = {}
        for _ in range(200):
            before = connections(service)
            channel = stack.enter_context(fresh_channel(service.target))
            grpc.channel_ready_future(channel).result(10)
            for pid in connections(service) - before:
                channels.setdefault(pid, channel)
            if channels.keys() == worker_pids(service):
                break
        assert len(channels) > 1, "every connection came to one worker"
        yield list(channels.values())
