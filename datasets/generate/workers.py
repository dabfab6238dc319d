"""Workers that generate samples: this process, local processes, or the workers of a cluster."""

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...kernels.runtime.threads import one_thread

if TYPE_CHECKING:
    import distributed

Finished = dict[int, float]  # number of a sample -> its residual


class Work(ABC):
    """A pickled job for a worker; it generates any sample and writes it to its position."""

    @abstractmethod
    def run(self, indices: Sequence[int]) -> Finished:
        """Generate and store these samples."""

    @abstractmethod
    def check(self) -> None:
        """Raise a ValueError unless the file is visible and was begun by the same code version."""

    @abstractmethod
    def sync(self) -> None:
        """Flush the data written by this machine to the disk."""


_KEPT = "Finished samples are kept: call again with the same arguments"


def produce(
    work: Work, todo: list[int], workers: "int | distributed.Client", chunk_size: int
) -> Iterator[Finished]:
    """Generate all samples in chunks of at most `chunk_size`; yield each chunk once it is stored.

    Raises:
        ChildProcessError: a worker process died, or the cluster failed.
    """
    count = workers if isinstance(workers, int) else sum(workers.nthreads().values())
    size = max(1, min(chunk_size, len(todo) // (4 * max(1, count))))
    chunks = [todo[i : i + size] for i in range(0, len(todo), size)]
    if not isinstance(workers, int):
        yield from _on_cluster(work, chunks, workers)
    elif workers == 1 or len(chunks) < 2:
        for chunk in chunks:
            yield _alone(work, chunk)
    else:
        yield from _in_processes(work, chunks, workers)


@contextmanager
def cluster(address: str, *, timeout: float | int = 10) -> Iterator["distributed.Client"]:
    """Context manager: a client of the cluster whose scheduler has this address.

    Args:
        timeout: seconds to wait for the scheduler.

    Raises:
        ImportError: dask.distributed is not installed.
        ConnectionError: no scheduler answers at this address.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "A cluster needs dask.distributed, which is not installed. Install it with: "
            "pip install 'pdeops[dask]'"
        ) from error
    try:
        client = distributed.Client(address, timeout=timeout)
    except OSError as error:
        raise ConnectionError(
            f"No scheduler of dask answers at {address} ({error}). Start one with `dask scheduler` "
            f"and workers with `dask worker {address} --nthreads 1`."
        ) from None
    try:
        yield client
    finally:
        client.close()


def _in_processes(work: Work, chunks: list[list[int]], workers: int) -> Iterator[Finished]:
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("spawn"), _start_worker
    )
    try:
        futures = [pool.submit(_alone, work, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            f"A worker process died (out of memory, or killed). {_KEPT}, perhaps with fewer "
            f"workers."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and exit when the parent exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_cluster(
    work: Work, chunks: list[list[int]], client: "distributed.Client"
) -> Iterator[Finished]:
    """Generate chunks on a cluster. The scheduler reassigns the chunks of a lost worker; every
    worker writes the same bytes at the same position."""
    import distributed

    futures = client.map(_far_away, [work] * len(chunks), chunks, pure=False)
    try:
        for future in distributed.as_completed(futures):
            yield future.result()
            future.release()
    except distributed.KilledWorker as error:
        raise ChildProcessError(f"{error} {_KEPT}.") from None
    except CancelledError as error:
        raise ChildProcessError(f"The cluster is gone: {error} {_KEPT}.") from None
    finally:
        client.cancel(futures)


def _far_away(work: Work, chunk: Sequence[int]) -> Finished:
    """Same as `_alone`, after a check of the files and the code on the worker's machine."""
    work.check()
    finished = _alone(work, chunk)
    work.sync()
    return finished


_one_at_a_time = threading.Lock()  # a worker of a cluster may have several threads


def _alone(work: Work, chunk: Sequence[int]) -> Finished:
    """Run with one thread, so that the order of summation does not depend on the worker."""
    with _one_at_a_time, one_thread():
        return work.run(chunk)
