"""One process at a time: an advisory lock on an open file or folder, until it is closed."""

import fcntl
from pathlib import Path


def lock(descriptor: int, path: Path) -> None:
    """Lock the file or folder of an open descriptor until it is closed.

    Raises:
        ValueError: another process holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"{path} is being written by another process. Wait for it, or choose another name."
        ) from None
