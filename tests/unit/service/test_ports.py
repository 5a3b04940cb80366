"""A port that is held while others come and go on it."""

import socket

import pytest

from promptwire_service.ports import HeldPort, ListenError, check_free, is_loopback


def shared_listener(host: str, port: int) -> socket.socket:
    """As a worker binds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen()
    return listener


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::"])
def test_a_held_port_is_taken_for_everyone_but_workers(host: str) -> None:
    with HeldPort(host, 0) as held:
        address = "::1" if host == "::" else "127.0.0.1"
        for _ in range(2):
            for take in (check_free, HeldPort):
                with pytest.raises(ListenError, match="address in use"):
                    take(host, held.port)
            with shared_listener(address, held.port), shared_listener(address, held.port):
                with pytest.raises(ListenError, match="address in use"):
                    check_free(host, held.port)
                socket.create_connection((address, held.port)).close()
    check_free(host, held.port)


def test_an_address_that_a_name_has_twice_is_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with HeldPort("127.0.0.1", 0) as held:
        port = held.port
    twice = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: twice)
    with HeldPort("localhost", port), shared_listener("127.0.0.1", port):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_held_port_takes_no_connection() -> None:
    with HeldPort("127.0.0.1", 0) as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", held.port))


def test_a_port_that_is_taken_is_not_held() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: address in use$"):
            HeldPort("127.0.0.1", port)


def test_what_lingers_of_an_earlier_process_does_not_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as earlier:
        port = earlier.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = earlier.accept()
            accepted.close()  # who closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    with HeldPort("127.0.0.1", port), shared_listener("127.0.0.1", port), pytest.raises(ListenError):
        check_free("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost", True),
        ("no-such-host.invalid", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_an_address_that_other_machines_reach_is_told_from_a_loopback_one(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
