"""Among how many threads work is divided on a CPU: torch's own, and ours (`runtime/bands.py`)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, partial

import torch

_ours: ContextVar[int | None] = ContextVar("_ours", default=None)  # None: as many as torch has


def num_threads() -> int:
    """Among how many threads loops of ours may be divided."""
    ours = _ours.get()
    return torch.get_num_threads() if ours is None else ours


def one_thread() -> AbstractContextManager[None]:
    """torch and our loops work alone inside, as small transforms want it, and sums that must not
    depend on the machine.

    64 transforms of 64 numbers take two threads 8.4 µs and one 5.5, 128 of 128 both 16, 256 of 256
    two threads 42 and one 70. Where other processes have the cores, threads that wait for each
    other lose far more. The switch itself takes 0.8 µs.
    """
    return _TorchAlone(1)


def ours_alone() -> AbstractContextManager[None]:
    """torch works alone inside, our loops are divided as before.

    A thread that torch has had keeps its core busy for up to 10 ms, waiting for more; a loop of
    ours that comes then finds one core for its two threads (a cycle at 512²: 4.3 ms, not 2.9).
    """
    return _TorchAlone(num_threads())


class _TorchAlone(AbstractContextManager[None]):
    """A class, not a generator: half of the time of a switch."""

    def __init__(self, ours: int) -> None:
        self._ours = ours

    def __enter__(self) -> None:
        self._threads, self._token = torch.get_num_threads(), _ours.set(self._ours)
        if self._threads > 1:
            torch.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        _ours.reset(self._token)
        if self._threads > 1:
            torch.set_num_threads(self._threads)


def side_by_side(tasks: Sequence[Callable[[], object]]) -> None:
    """Call each in a thread of its own, where torch works alone; return when all have.

    For tasks whose calls take some 50 µs or more outside of Python: nothing waits between two
    calls, as it does where torch divides each of them, and what torch does not divide runs side by
    side too. Shorter calls lose more by taking turns in Python. A single task is called as it is.
    Gradients are recorded as in any new thread, whatever the caller has set.
    """
    if len(tasks) == 1:
        tasks[0]()
        return
    with one_thread():  # also puts back what a new thread's own number leaves to later ones
        futures = [_pool(os.getpid(), len(tasks) - 1).submit(task) for task in tasks[1:]]
        try:
            tasks[0]()
        finally:
            wait(futures)
    for future in futures:
        future.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: a child that is forked has none of its parent's."""
    return ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1))
