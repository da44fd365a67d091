"""What a child of ours asks of the kernel before it becomes another program: to die with its parent.

The death signal is bound to the parent's THREAD that made the child, so children are made in the main thread only.
"""

import ctypes
import os
import signal
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
