"""When this process looks for garbage, which only a walk over every object finds: 65 µs for each open socket.

Python would walk each time a fourth more objects live, so that 10,000 sockets that arrive meet a dozen pauses of up
to 0.65 s. Here what has come to stay is set aside, and walked when a crowd has come or gone and it is calm again. A
socket leaves a few KB of circles behind when it upgrades, and when it closes.
"""

import gc
from collections.abc import Callable

SET_ASIDE_AFTER = 250  # arrivals: 16 ms of a walk over what is new
LEAST_CHANGES = 1000
CALM_SECONDS = 5.0
MOST_GONE = 4  # times what is enough: where it is never calm, as much is left as 4 KB for each open socket


class Garbage:
    """Watches arrivals and departures; `look` is called several times a second.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.sweeps = 0
        self._clock = clock
        self._seen = (0, 0)
        self._set_aside = self._opened = self._closed = 0
        self._changed_at = clock()

    def look(self, opened: int, closed: int) -> None:
        """Sets aside or sweeps when it is time to.

        Args:
            opened, closed: connections since the process began.
        """
        if (opened, closed) != self._seen:
            self._seen, self._changed_at = (opened, closed), self._clock()
        enough = max(LEAST_CHANGES, (opened - closed) // 4)
        gone, changes = closed - self._closed, opened - self._opened + closed - self._closed
        is_calm = self._clock() - self._changed_at >= CALM_SECONDS
        if (is_calm and changes >= enough) or gone >= MOST_GONE * enough:
            self._sweep()
            self._set_aside, self._opened, self._closed = opened, opened, closed
        elif opened - self._set_aside >= SET_ASIDE_AFTER:
            gc.freeze()
            self._set_aside = opened

    def _sweep(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self.sweeps += 1
