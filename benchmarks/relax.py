"""Learned over-relaxation: iterations of SOR on a sequence of shifted Laplacians.

The first experiment of *Learning to Relax* (Khodak, Chow, Balcan, Talwalkar 2024): 5000 systems
(A + c I) x = b on 10 x 10 interior nodes, A the five-point Laplacian with diagonal 4, c = -0.15 +
0.6 Beta(1/2, 3/2) (high variance) or Beta(2, 6) (low), b Gaussian, to 1e-8. A sine transform solves
each of them directly: the experiment only tests learning from iteration counts alone.

python -m benchmarks.relax: print, and write results/relax_sor.csv.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdeops.compare.tables import write_csv
from pdeops.kernels import sweeps
from pdeops.solvers import Binned, ChebCB, TsallisINF
from pdeops.solvers.tuning.relax import Tuner

from .bench import RESULTS, machine

ARMS = tuple(round(1 + 0.05 * i, 2) for i in range(20))
RANGE = {"low": -0.15, "high": 0.65}
BETA = {"high": (0.5, 1.5), "low": (2.0, 6.0)}
NUM_SYSTEMS, SIDE, RTOL, LIMIT, LANES = 5000, 10, 1e-8, 10_000, 16


def laplacian() -> Any:
    """The matrix with diagonal 4 on SIDE x SIDE interior nodes."""
    import scipy.sparse

    line = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(SIDE, SIDE))
    one = scipy.sparse.eye_array(SIDE)
    return scipy.sparse.csr_array(scipy.sparse.kron(line, one) + scipy.sparse.kron(one, line))


@dataclass(frozen=True)
class Sequence:
    """A sequence of systems, and the iterations of each arm on each.

    Attributes:
        shifts: c of each system.
        counts: iterations of SOR, (systems, arms).
    """

    shifts: np.ndarray
    counts: np.ndarray

    @property
    def best_fixed(self) -> int:
        """Total number of iterations with the best single ω for the whole sequence."""
        return int(self.counts.sum(0).min())

    @property
    def instance_optimal(self) -> int:
        """Total number of iterations with the best ω for each system."""
        return int(self.counts.min(1).sum())

    def play(self, tuner: Tuner) -> int:
        """Total number of iterations of a tuner."""
        total = 0
        for c, row in zip(self.shifts.tolist(), self.counts, strict=True):
            cost = int(row[ARMS.index(tuner.choose(c))])
            tuner.observe(cost)
            total += cost
        return total


def sequence(variance: str, num_systems: int = NUM_SYSTEMS, seed: int = 0) -> Sequence:
    """Draw the systems and solve each with every ω."""
    rng = np.random.default_rng(seed)
    shifts = RANGE["low"] + 0.6 * rng.beta(*BETA[variance], size=num_systems)
    b = rng.standard_normal((num_systems, SIDE**2)).T
    counts = np.empty((num_systems, len(ARMS)), dtype=np.int64)
    order = np.argsort(shifts)  # similar shifts take similar numbers of iterations
    for part in np.array_split(order, math.ceil(num_systems / LANES)):
        counts[part] = iterations(shifts[part], np.ascontiguousarray(b[:, part]))
    return Sequence(shifts, counts)


def iterations(shifts: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Iterations of SOR from zero with each ω, shape (systems, arms); one column of b per shift."""
    A = laplacian()
    diagonal = A.diagonal()[:, None] + shifts
    values = np.repeat(A.data[:, None], len(shifts), axis=1)
    values[A.indices == np.repeat(np.arange(SIDE**2), np.diff(A.indptr))] = diagonal
    tolerances = RTOL * np.linalg.norm(b, axis=0)
    counts = np.empty((len(ARMS), len(shifts)), dtype=np.int64)
    kernel = sweeps.relax_many
    for omega, row in zip(ARMS, counts, strict=True):
        matrix = (A.indptr, A.indices, values, omega / diagonal)
        kernel(*matrix, b, np.zeros_like(b), tolerances, LIMIT, row)
    return counts.T


def tsallis(generator: torch.Generator) -> Tuner:
    return TsallisINF(ARMS, generator)


def binned(generator: torch.Generator) -> Tuner:
    return Binned(lambda: TsallisINF(ARMS, generator), num_bins=5, **RANGE)


def chebcb(generator: torch.Generator) -> Tuner:
    return ChebCB(ARMS, generator, **RANGE)


TUNERS: dict[str, Callable[[torch.Generator], Tuner]] = {
    "Tsallis-INF": tsallis,
    "Tsallis-INF, 5 bins": binned,
    "ChebCB": chebcb,
}


def mean_total(
    systems: Sequence, make: Callable[[torch.Generator], Tuner], seeds: int = 3
) -> float:
    """Total number of iterations of a tuner, mean over seeds."""
    return (
        sum(systems.play(make(torch.Generator().manual_seed(seed))) for seed in range(seeds))
        / seeds
    )


def main(folder: Path = RESULTS) -> None:
    rows = []
    for variance in BETA:
        systems = sequence(variance)
        fixed = systems.counts.sum(0)
        totals: dict[str, float] = {
            f"ω = {w:g}": float(n) for w, n in zip(ARMS, fixed, strict=True)
        }
        totals["best ω for each system"] = float(systems.instance_optimal)
        totals |= {name: mean_total(systems, make) for name, make in TUNERS.items()}
        for name, total in totals.items():
            row = {
                "variance": variance,
                "method": name,
                "systems": NUM_SYSTEMS,
                "iterations": f"{total:.0f}",
                "over_instance_optimal": f"{total / systems.instance_optimal:.3f}",
                "over_best_fixed": f"{total / systems.best_fixed:.3f}",
                "times_fewer_than_gauss_seidel": f"{fixed[0] / total:.2f}",
            }
            print("  ".join(map(str, row.values())))
            rows.append({**row, **machine()})
    write_csv(folder / "relax_sor.csv", rows)


if __name__ == "__main__":
    main()
