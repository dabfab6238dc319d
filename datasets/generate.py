"""Writing a data set: each sample drawn, solved and verified, by any number of processes."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..grid import Grid
from . import hdf5
from .partial import partial_file
from .problem import Generated
from .spec import DatasetSpec


def generate(
    problem: Generated,
    grid: Grid,
    *,
    num_samples: int,
    seed: int,
    out: str | Path,
    workers: int = 1,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write `num_samples` samples of a problem to the file `out`; returns what was done.

    Sample i depends on (seed, i) alone, so any number of workers writes the same file. Each
    solution satisfies its discrete equation to the spec's tolerance in float64 before it is stored;
    what was reached stands in the variable `residual`. The file grows as `out` + ".part" and takes
    its name when complete: called again with the same arguments after an interruption, it goes on
    where it stopped.

    Workers are spawned: a script that asks for more than one calls this below
    `if __name__ == "__main__"`. `progress` is told the number of finished samples.

    Raises:
        ValueError: an argument is out of range, `out` exists, or an unfinished file of other
            arguments is in the way.
        OSError: the disk is full.
        ArithmeticError: a solve misses the tolerance.
        ChildProcessError: a worker died.
    """
    limits = {"num_samples": (num_samples, 1), "workers": (workers, 1), "seed": (seed, 0)}
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}.")
    problem.check_grid(grid)
    out = Path(out)
    spec = problem.spec(grid, seed, num_samples)
    start = time.perf_counter()
    with partial_file(out, spec, dtype) as part:
        work = _Work(problem, spec, part.path, part.places)
        todo = part.unfinished
        if progress:
            progress(part.num_finished)
        try:
            for finished in _produce(work, todo, workers):
                part.enter(finished)
                if progress:
                    progress(part.num_finished)
        except OSError as error:
            raise hdf5.no_room(error, out, part.path.stat().st_size) from None
        part.finish(out)
    return {
        "file": str(out),
        "samples": num_samples,
        "resumed": num_samples - len(todo),
        "seconds": time.perf_counter() - start,
        "largest_residual": float(part.residuals.max()),
    }


@dataclass(frozen=True)
class _Work:
    """All that a worker needs to make and store any sample."""

    problem: Generated
    spec: DatasetSpec
    path: Path
    places: dict[str, hdf5.Variable]

    def run(self, indices: Sequence[int]) -> dict[int, float]:
        """Draw, solve, verify and store the given samples; their relative residuals."""
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            return {i: self._one(descriptor, i) for i in indices}
        finally:
            os.close(descriptor)

    def _one(self, descriptor: int, index: int) -> float:
        spec = self.spec
        x, y, residual, reason = self.problem.solved_sample(spec, index)
        if not residual <= spec.tolerance:
            raise ArithmeticError(
                f"Sample {index} of {spec.name} (seed {spec.seed}) misses the tolerance: "
                f"{spec.measure} = {residual:.1e} instead of {spec.tolerance:.0e} "
                f"({reason}). Nothing of it was stored."
            )
        for names, values in ((spec.inputs, x), (spec.targets, y)):
            parts = values.split([len(f.channels) for f in names])
            for field, u in zip(names, parts, strict=True):
                place = self.places[field.name]
                place.write(descriptor, index, u.reshape(place.sample_shape).numpy())
        return residual


def _produce(work: _Work, todo: list[int], workers: int) -> Iterator[dict[int, float]]:
    """Make the samples, in this process or in spawned ones; yields as they are stored."""
    # A chunk takes well under a second, so that Ctrl-C does not wait for long.
    size = max(1, min(16, len(todo) // (4 * workers), 500_000 // work.spec.grid.num_nodes))
    chunks = [todo[i : i + size] for i in range(0, len(todo), size)]
    if workers == 1 or len(chunks) < 2:
        with _one_thread():
            for chunk in chunks:
                yield work.run(chunk)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(chunks)), multiprocessing.get_context("spawn"), _start_worker
    )
    try:
        futures = [pool.submit(work.run, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            "A worker process died (out of memory, or killed). Finished samples are kept: call "
            "again with the same arguments, perhaps with fewer workers."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """One thread per worker; Ctrl-C is the parent's business; no worker outlives the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread, as in a worker: sums in the same order whatever the number of workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
