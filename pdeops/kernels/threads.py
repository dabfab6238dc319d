"""How many threads torch divides work among on a CPU, and work in threads of its own."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """torch works alone inside, as small transforms want it, and sums that must not depend on the
    machine.

    64 transforms of 64 numbers take two threads 8.4 µs and one 5.5, 128 of 128 both 16, 256 of 256
    two threads 42 and one 70. Where other processes have the cores, threads that wait for each
    other lose far more. The switch itself takes 0.2 µs.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
