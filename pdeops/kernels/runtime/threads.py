"""Numbers of threads on a CPU, for torch's operations and for our loops (`row_blocks.py`)."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, partial

import torch

_ours: ContextVar[int | None] = ContextVar("_ours", default=None)  # None: as many as torch has


def num_threads() -> int:
    """The number of threads for compiled loops of this package."""
    ours = _ours.get()
    return torch.get_num_threads() if ours is None else ours


def one_thread() -> AbstractContextManager[None]:
    """A context in which torch and our loops use one thread.

    For small transforms, and for sums whose rounding must not depend on the machine. 64 transforms
    of 64 numbers take 8.4 µs with two threads and 5.5 µs with one, 128 of 128 take 16 µs with
    either, 256 of 256 take 42 µs with two and 70 µs with one. On busy cores threads that wait for
    each other lose far more. The switch itself takes 0.8 µs.
    """
    return _TorchAlone(1)


def ours_alone() -> AbstractContextManager[None]:
    """A context in which torch uses one thread and our loops as many as before.

    After an operation torch's threads keep their cores busy for up to 10 ms, waiting for work. A
    loop of ours that starts then has to share them (a cycle at 512²: 4.3 ms instead of 2.9 ms).
    """
    return _TorchAlone(num_threads())


class _TorchAlone(AbstractContextManager[None]):
    """The context of `ours_alone`; a class takes half the time of a generator."""

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
    """Call each task in its own thread, with one torch thread each; return when all are done.

    For tasks that spend some 50 µs or more outside of Python in each call. There is no
    synchronisation between two calls, as there is if torch divides each of them, and operations
    that torch does not divide run in parallel too. Shorter calls lose more by waiting for the GIL.
    A single task is called in the current thread. A new thread records gradients by default,
    whatever the caller's setting.
    """
    if len(tasks) == 1:
        tasks[0]()
        return
    with one_thread():  # restores the number that later threads inherit
        futures = [_pool(os.getpid(), len(tasks) - 1).submit(task) for task in tasks[1:]]
        try:
            tasks[0]()
        finally:
            wait(futures)
    for future in futures:
        future.result()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """The thread pool of a process; a forked child does not inherit its parent's threads."""
    return ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1))
