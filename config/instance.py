"""One running system per state directory: a lock that the kernel gives back however its holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another process holds the lock; the message is what that process wrote about itself."""


@contextmanager
def only_instance(path: Path, note: str) -> Iterator[None]:
    """Holds the lock file `path` for as long as the block lasts, with `note` in it for whom it turns away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise AlreadyRunning(path.read_text().strip()) from error
        if _still_there(lock, path):
            break
        os.close(lock)  # its holder removed it between our open and our lock
    try:
        os.truncate(lock, 0)
        os.write(lock, f"{note}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _still_there(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False
