"""Seconds that go to the first call of something in a process: loading compiled code, or compiling
it, and imports. They are paid once, and are no part of a solver's set-up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import local
from typing import Any

_total = 0.0
_state = local()


def seconds() -> float:
    """The sum so far, of all threads."""
    return _total


@contextmanager
def once() -> Iterator[None]:
    """Count the time of the block; blocks inside of it count once."""
    global _total
    if getattr(_state, "counting", False):
        yield
        return
    _state.counting, begin = True, time.perf_counter()
    try:
        yield
    finally:
        _total += time.perf_counter() - begin
        _state.counting = False


def counted(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its time counted."""

    @wraps(compile_)
    def wrapped(*arguments: Any) -> Any:
        with once():
            return compile_(*arguments)

    return wrapped
