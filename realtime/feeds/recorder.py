"""Keeps frames as they arrive, in the format that `replay` plays.

A thread of its own writes, so that a slow disk costs the feed nothing but a dictionary's work a frame. A full
disk never breaks the feed: frames are left out, counted, and said once. What is written is whole lines.
"""

import logging
import os
import threading
from collections import deque
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger("personal_finance.realtime.feeds")

# What may wait for the disk; at 1 MB a second of frames, a stall of eight seconds.
LARGEST_BACKLOG_BYTES = 8 * 1024 * 1024
CLOSE_SECONDS = 5.0


class Recorder:
    """Appends frames to a file.

    Args:
        path: made if it is not there; its folder must be.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.written = 0
        self.left_out = 0
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._complained: set[str] = set()
        self._thread = threading.Thread(target=self._write_all, name=f"record {self.path.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, frame: bytes, received_at: datetime) -> None:
        """Keeps one frame; never blocks, never raises."""
        if b"\n" in frame or b"\r" in frame:
            # Between the tokens of JSON a line break says the same as a space; inside of them there is none.
            frame = frame.replace(b"\r", b" ").replace(b"\n", b" ")
        line = b"%.6f\t%s\n" % (received_at.timestamp(), frame)
        with self._changed:
            if self._waiting_bytes + len(line) > LARGEST_BACKLOG_BYTES or self._closing:
                self._leave_out("the disk is too slow", 1)
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify()

    def close(self) -> None:
        """Writes what waits, and closes the file; gives up on a disk that hangs."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _leave_out(self, reason: str, frames: int) -> None:
        self.left_out += frames
        if reason not in self._complained:
            self._complained.add(reason)
            logger.error("recording %s: frames are left out: %s", self.path, reason)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                lines = list(self._waiting)
                self._waiting.clear()
                self._waiting_bytes = 0
                if not lines:
                    break
            self._write(lines)
        os.close(self._descriptor)

    def _write(self, lines: list[bytes]) -> None:
        # The size before, to take back a line that the disk cut in the middle.
        size = None
        try:
            size = os.fstat(self._descriptor).st_size
            data = memoryview(b"".join(lines))
            while data:
                data = data[os.write(self._descriptor, data) :]
            self.written += len(lines)
        except OSError as error:
            self._leave_out(error.strerror or str(error), len(lines))
            self._take_back(size)

    def _take_back(self, size: int | None) -> None:
        try:
            if size is not None:
                os.ftruncate(self._descriptor, size)
        except OSError:
            logger.debug("recording %s: cannot take back a cut line", self.path, exc_info=True)
