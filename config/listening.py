"""The web server's listening socket, with what uvicorn cannot set: accepted connections inherit it.

Without TCP_USER_TIMEOUT a reader that stops reading holds its connection, and our buffer, for ever.
"""

import errno
import ipaddress
import socket

TCP_NOTSENT_LOWAT = 25  # Linux's; the socket module has no name for it before Python 3.12
# A peer that acknowledges nothing for so long is gone; a little over the 20 s of a WebSocket ping.
USER_TIMEOUT_MS = 25_000
BACKLOG = 2048
# What the kernel keeps beyond what the network takes now: more would only be older when it is read.
UNSENT_BYTES = 16_384


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens on `host` and `port` (0: any free one)."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ListenError(
            f"--host: expected an address of this machine, was {host!r} ({error.strerror})"
        ) from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tune(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(_reason(error, host, port)) from error
    return listener


def adopt(fd: int) -> socket.socket:
    """Returns the socket that a parent or systemd opened and passed on as file descriptor `fd`."""
    try:
        listener = socket.socket(fileno=fd)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(
            f"--fd: expected a listening socket, was descriptor {fd} ({error.strerror})"
        ) from error
    if not listens:
        listener.detach()  # it stays its owner's to close
        raise ListenError(f"--fd: expected a listening socket, was descriptor {fd}, which does not listen")
    if listener.family != socket.AF_UNIX:
        tune(listener)
    return listener


def tune(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        listener.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def base_url(listener: socket.socket) -> str:
    """Returns the address by which a program on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"


def is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _reason(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken; stop the program that uses it, or choose another with --port"
        case errno.EACCES:
            return f"port {port} needs more rights than this user has; choose one from 1024 with --port"
        case errno.EADDRNOTAVAIL:
            return f"--host: expected an address of this machine, was {host!r}"
    return f"cannot listen on {host} port {port}: {error.strerror}"
