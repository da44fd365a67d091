"""What one process of ours asks of the kernel about another: to die with its parent, to be told when it is ready.

The death signal is bound to the parent's THREAD that made the child, so children are made in the main thread only.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent(*, hears_interrupt: bool = False) -> Callable[[], None]:
    """Returns what a child runs between fork and exec: SIGKILL when its parent is gone, and deaf to Ctrl-C.

    A terminal sends Ctrl-C to the whole process group; the parent alone hears it and stops its children in order.
    The mask is used because it survives exec and a program's own signal handlers.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if not hears_interrupt:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return prepare


def notify_systemd(state: str) -> None:
    """Tells systemd, where it asked for it, what `state` says (`READY=1`, `WATCHDOG=1`, `STATUS=…`)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.connect(address)
            client.sendall(state.encode())
        except OSError:
            return  # systemd's time-out says more than we could
