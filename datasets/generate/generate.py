"""Generation of a data set: workers draw, solve, verify and store each sample."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...domain import Domain
from ...kernels.runtime.tuning import device_name
from ..layouts import native_file
from ..problems.problem import Generated, Solved
from ..spec import DatasetSpec
from . import workers as workforce
from .partial import differences, partial_file

if TYPE_CHECKING:
    import distributed

NODES_ON_DEVICE = 1 << 22  # of the samples that are solved together


def generate(
    problem: Generated,
    grid: Domain,
    *,
    num_samples: int,
    seed: int,
    out: str | Path,
    workers: "int | distributed.Client" = 1,
    device: torch.device | str = "cpu",
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write `num_samples` samples of a problem to the file `out`; returns a report.

    Sample i depends on (seed, i) alone, so the file does not depend on the number of workers. Each
    solution satisfies its discrete equation to the spec's tolerance in float64 before it is stored;
    the value reached is stored in the variable `residual`. The file is written as `out` + ".part"
    and renamed when complete. After an interruption, a call with the same arguments resumes it.

    Workers are processes on this machine, or the workers of a cluster if a
    `dask.distributed.Client` is given (the extra `dask`). Processes are spawned, so a script that
    uses several must call this function below `if __name__ == "__main__"`. Cluster workers write
    to the file themselves and need its folder under the same path; start them with one thread each.
    If a worker is lost, other workers generate its samples again. `progress` is called with the
    number of finished samples.

    On a GPU (`device`) samples are solved together, as many as fill it and at most a quarter of
    those that are missing: those of darcy and poisson by multigrid and conjugate gradients, those
    of navier_stokes and burgers by the steps of the fastest flow of the batch. Their inputs are
    drawn on the CPU and are those of a file from the CPU; solutions are those to the spec's
    tolerance, not to the last bit. The residuals are computed on the CPU. The attribute `device` of
    the file names the GPU.

    Raises:
        ValueError: an argument is out of range, `out` exists, an unfinished file with other
            arguments exists, a worker of the cluster does not see the file, the device is missing,
            or the problem has no solver for it.
        OSError: the disk is full.
        ArithmeticError: a solve misses the tolerance.
        ChildProcessError: a worker process died, or the cluster failed.
    """
    processes = workers if isinstance(workers, int) else 1
    limits = {"num_samples": (num_samples, 1), "workers": (processes, 1), "seed": (seed, 0)}
    for name, (value, least) in limits.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}.")
    problem.check_grid(grid)
    place = torch.device(device)
    _check_device(problem, place, workers)
    solver = None if place.type == "cpu" else device_name(place)
    out = Path(out).expanduser()
    spec = problem.spec(grid, seed, num_samples)
    start = time.perf_counter()
    sizes = problem.sizes(spec)
    with partial_file(out, spec, dtype, sizes, solver) as part:
        work = _Work(problem, spec, dtype, part.path.absolute(), part.places, place)
        todo = part.unfinished
        if solver is None:
            # A chunk takes well under a second, so that Ctrl-C does not wait for long.
            num_nodes = grid.num_nodes if sizes is None else int(np.max(sizes.points))
            chunk_size = max(1, min(16, 500_000 // num_nodes))
        else:
            chunk_size = max(1, NODES_ON_DEVICE // problem.solver_nodes(grid))
        if progress:
            progress(part.num_finished)
        try:
            for finished in workforce.produce(work, todo, workers, chunk_size):
                part.enter(finished)
                if progress:
                    progress(part.num_finished)
        except ChildProcessError:
            raise
        except OSError as error:
            raise native_file.no_room(error, out, part.path.stat().st_size) from None
        part.finish(out)
    return {
        "file": str(out),
        "samples": num_samples,
        "resumed": num_samples - len(todo),
        "seconds": time.perf_counter() - start,
        "largest_residual": float(part.residuals.max()),
    }


@dataclass(frozen=True)
class _Work(workforce.Work):
    """Everything that a worker needs to generate and store any sample."""

    problem: Generated
    spec: DatasetSpec
    dtype: str
    path: Path
    places: dict[str, native_file.Variable]
    device: torch.device

    def run(self, indices: Sequence[int]) -> dict[int, float]:
        """Draw, solve, verify and store the given samples; return their relative residuals."""
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            return {i: self._store(descriptor, i, s) for i, s in self._solved(indices)}
        finally:
            os.close(descriptor)

    def _solved(self, indices: Sequence[int]) -> Iterator[tuple[int, Solved]]:
        """Each sample, with its number; a device solves them together."""
        if self.device.type == "cpu":
            return ((i, self.problem.solved_sample(self.spec, i)) for i in indices)
        samples = self.problem.solved_together(self.spec, indices, self.device)
        return zip(indices, samples, strict=True)

    def check(self) -> None:
        """Raise a ValueError unless the file is visible and was begun by the same code version."""
        lines = differences(self.path, self.spec, self.dtype)
        if lines is None:
            raise ValueError(
                f"The worker on {platform.node()} does not see {self.path}. Write to a folder that "
                f"all workers share, under the same name."
            )
        if lines:
            raise ValueError(
                f"The worker on {platform.node()} cannot go on with {self.path} "
                f"({'; '.join(lines)}). Install the same pdeops for all workers."
            )

    def sync(self) -> None:
        """Flush the data written by this machine to the disk."""
        descriptor = os.open(self.path, os.O_WRONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _store(self, descriptor: int, index: int, sample: Solved) -> float:
        """Write a sample if it meets the tolerance; returns its residual."""
        spec = self.spec
        if not sample.residual <= spec.tolerance:
            raise ArithmeticError(
                f"Sample {index} of {spec.name} (seed {spec.seed}) misses the tolerance: "
                f"{spec.measure} = {sample.residual:.1e} instead of {spec.tolerance:.0e} "
                f"({sample.reason}). {self.problem.remedy} Nothing of it was stored."
            )
        for name, values in sample.fields.items():
            self.places[name].write(descriptor, index, values.numpy())
        return sample.residual


def _check_device(
    problem: Generated, device: torch.device, workers: "int | distributed.Client"
) -> None:
    """Raise a ValueError unless the problem can be solved there, by this process."""
    if device.type == "cpu":
        return
    if reason := problem.unfit_for_devices():
        raise ValueError(f"{reason}; got device {str(device)!r}. Use device 'cpu', with workers.")
    if workers != 1:
        raise ValueError(
            f"On a device one process solves all samples; got device {str(device)!r} and workers "
            f"{workers}. Leave out one of them."
        )
    if device.type != "cuda" or not torch.cuda.is_available():
        raise ValueError(f"torch sees no GPU; got device {str(device)!r}. Use device 'cpu'.")
