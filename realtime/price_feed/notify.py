"""The service manager's notification socket; silent where there is none."""

import logging
import os
import socket

log = logging.getLogger("personal_finance.realtime.feed")


def notify(*states: str) -> bool:
    """Tells systemd `READY=1`, `WATCHDOG=1`, `STATUS=…`; returns whether anybody was told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract name space
        address = "\0" + address[1:]
    try:
        with socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        ) as sender:
            sender.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.debug("the service manager was not told", extra={"error": str(error)})
        return False
    return True
