"""The listening socket and what accepted connections inherit from it."""

import socket
import sys

import pytest

from config.listening import (
    TCP_NOTSENT_LOWAT,
    UNSENT_BYTES,
    USER_TIMEOUT_MS,
    ListenError,
    adopt,
    base_url,
    is_loopback,
    listen,
)


def test_accepted_connections_inherit_what_frees_a_stalled_reader() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            if sys.platform == "linux":
                option = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert option == USER_TIMEOUT_MS
                assert accepted.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == UNSENT_BYTES
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_says_what_to_do() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} on 127.0.0.1 is taken.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "256.1.1.1"])
def test_an_address_of_another_machine_is_refused_by_name(host: str) -> None:
    with pytest.raises(ListenError, match="--host: expected an address of this machine"):
        listen(host, 0)


def test_a_socket_handed_down_is_tuned_like_our_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, adopt(socket.dup(server.fileno())) as adopted:
        assert adopted.getsockname() == server.getsockname()
        assert adopted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle, pytest.raises(ListenError, match="--fd: expected a listening socket"):
        adopt(idle.fileno())
    with pytest.raises(ListenError, match="--fd: expected a listening socket, was descriptor 987"):
        adopt(987)


@pytest.mark.parametrize(
    ("host", "start", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:", True),
        ("localhost", "http://", True),
        ("0.0.0.0", "http://127.0.0.1:", False),
    ],
)
def test_the_address_to_show_is_one_that_a_browser_can_open(host: str, start: str, loopback: bool) -> None:
    with listen(host, 0) as listener:
        assert base_url(listener).startswith(start)
        assert is_loopback(listener) is loopback
