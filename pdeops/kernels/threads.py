"""How many threads torch divides work among on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

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
