"""Keeps frames as they arrive, in the format that `replay` plays, in files that are bounded in size and number.

A thread of its own writes, so that a slow disk costs the feed nothing but a dictionary's work a frame. A full
disk never breaks the feed: frames are left out, counted, and said once. What is written is whole lines. The newest
file has the name that was asked for; an older one has the time of its first frame in its own.
"""

import base64
import logging
import os
import re
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger("personal_finance.realtime.feeds")

# What may wait for the disk; at 1 MB a second of frames, a stall of eight seconds.
LARGEST_BACKLOG_BYTES = 8 * 1024 * 1024
CLOSE_SECONDS = 5.0
LARGEST_FILE_BYTES = 256 * 1024 * 1024
FILES_KEPT = 10
# Before a frame that a line of text cannot hold as it is. No vendor's text begins so; one that did is encoded too.
BINARY = b"base64:"


class Recorder:
    """Appends frames to a file, which is set aside when it is full.

    Args:
        path: made if it is not there; its folder must be. Only who runs the feed may read it.
        largest_file_bytes: no file grows beyond it; a single frame that is larger has a file of its own.
        files_kept: how many there are at most, with the one that grows; the oldest ones go.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        largest_file_bytes: int = LARGEST_FILE_BYTES,
        files_kept: int = FILES_KEPT,
    ) -> None:
        self.path = Path(path)
        self.written = 0
        self.left_out = 0
        self._largest_file_bytes = largest_file_bytes
        self._files_kept = files_kept
        self._descriptor = _opened(self.path)
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
        line = b"%.6f\t%s\n" % (received_at.timestamp(), _as_text(frame))
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
            self._write_bounded(lines)
        os.close(self._descriptor)

    def _write_bounded(self, lines: list[bytes]) -> None:
        """Writes to as many files as it takes."""
        room = self._largest_file_bytes - self._size()
        part: list[bytes] = []
        for index, line in enumerate(lines):
            if len(line) > room and room < self._largest_file_bytes:
                self._write(part)
                part = []
                try:
                    self._set_aside()
                except OSError as error:
                    self._leave_out(error.strerror or str(error), len(lines) - index)
                    return
                room = self._largest_file_bytes
            part.append(line)
            room -= len(line)
        self._write(part)

    def _size(self) -> int:
        try:
            return os.fstat(self._descriptor).st_size
        except OSError:  # whoever writes will say so
            return 0

    def _set_aside(self) -> None:
        begun = _begun(self.path)
        while (target := self._aside(begun)).exists():
            begun += timedelta(microseconds=1)
        with suppress(FileNotFoundError):  # somebody else has moved it
            self.path.rename(target)
        full, self._descriptor = self._descriptor, _opened(self.path)
        os.close(full)
        for path in self._set_aside_before()[: -(self._files_kept - 1) or None]:
            path.unlink(missing_ok=True)

    def _aside(self, begun: datetime) -> Path:
        return self.path.with_stem(f"{self.path.stem}-{begun:%Y%m%dT%H%M%S%fZ}")

    def _set_aside_before(self) -> list[Path]:
        """Oldest first."""
        stem, suffix = re.escape(self.path.stem), re.escape(self.path.suffix)
        name = re.compile(rf"{stem}-\d{{8}}T\d{{12}}Z{suffix}")
        return sorted(path for path in self.path.parent.iterdir() if name.fullmatch(path.name))

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


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _begun(path: Path) -> datetime:
    """When the first frame of a file arrived."""
    try:
        with path.open("rb") as lines:
            return datetime.fromtimestamp(float(lines.read(32).partition(b"\t")[0]), UTC)
    except (OSError, ValueError, OverflowError):
        return datetime.now(UTC)


def _as_text(frame: bytes) -> bytes:
    """Returns what stands for a frame in its line: JSON and other text as it is, anything else encoded."""
    if frame[:1] in (b"{", b"["):
        if _is_text(frame):
            # Between the tokens of JSON a line break says the same as a space; inside of them there is none.
            return frame.replace(b"\r", b" ").replace(b"\n", b" ")
    elif frame and frame.isascii() and frame.decode().isprintable() and not frame.startswith(BINARY):
        return frame
    return BINARY + base64.b64encode(frame)


def _is_text(frame: bytes) -> bool:
    if frame.isascii():
        return True
    try:
        frame.decode()
    except UnicodeDecodeError:
        return False
    return True
