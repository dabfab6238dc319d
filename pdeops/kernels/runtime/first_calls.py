"""Seconds that go to the first call of something in a process: loading compiled code, or compiling
it, and imports. They are paid once, and are no part of a solver's set-up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any

_lock = Lock()
_total = _began = 0.0
_depth = 0  # of blocks that are open, in all threads


def seconds() -> float:
    """The sum so far."""
    return _total


@contextmanager
def once() -> Iterator[None]:
    """Count the time of the block; time counts once where blocks overlap, also those of threads."""
    global _total, _began, _depth
    with _lock:
        _began = _began if _depth else time.perf_counter()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            _total += 0.0 if _depth else time.perf_counter() - _began


def counted(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its time counted."""

    @wraps(compile_)
    def wrapped(*arguments: Any) -> Any:
        with once():
            return compile_(*arguments)

    return wrapped
