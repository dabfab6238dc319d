"""Which loops are being compiled, how many have been, and how long that took in this process.

`jit.py` reports here; a command reads it to show progress, and to leave compilation out of the
times that it measures. This module imports nothing, so that reading costs nothing.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()
_active: list[str] = []  # the functions that are being compiled, the innermost last
_finished: list[str] = []
_seconds = 0.0
_began = 0.0


@contextmanager
def reported(name: str) -> Iterator[None]:
    """The context in which the function `name` is compiled; contexts of its callees are nested."""
    global _seconds, _began
    with _lock:
        if not _active:
            _began = time.perf_counter()
        _active.append(name)
    try:
        yield
    finally:
        with _lock:
            _active.remove(name)
            _finished.append(name)
            if not _active:
                _seconds += time.perf_counter() - _began


def compiling_seconds() -> float:
    """Seconds in which this process has compiled loops, up to now."""
    with _lock:
        return _seconds + (time.perf_counter() - _began if _active else 0.0)


def num_compiled() -> int:
    """Functions compiled in this process; those loaded from the cache do not count."""
    return len(_finished)


def current() -> str | None:
    """The function that is being compiled, as module.function; None if there is none."""
    with _lock:
        return _active[-1] if _active else None
