"""python -m benchmarks.graph_losses: losses of learned preconditioners of sparse matrices.

Each network on the graph of the matrix is trained from the same weights with each loss of
`tasks/preconditioner/conjugate_gradients.py`, for the same processor seconds on one thread: the
condition number by Ritz vectors, the decay of the A-norm in CG, and the Frobenius loss. AdamW with
lr 7e-3 falling linearly to 0, clip 1, one seed, batches of seven systems of `MatrixSystems`, whose
time is counted. The polynomial of the sparse inverses has degree 0: M is the network alone.

Then CG solves A x = b to |b - A x| <= 1e-8 |b|, b white noise, for unseen matrices of 1000
unknowns. Two of the kinds are drawn in training, `grid3d` is not. Untrained, `GraphInverse` is
Jacobi, `FactoredGraphInverse` FSAI, `GraphIncompleteFactor` IC(0).

Writes results/graph_losses.csv: the mean number of iterations over the matrices of a kind. Rows of
the file are not measured again.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pdeops.datasets.systems import MatrixSystems
from pdeops.datasets.systems.matrices import KINDS
from pdeops.models import FactoredGraphInverse, GraphIncompleteFactor, GraphInverse
from pdeops.solvers import Matrix, cg
from pdeops.tasks.preconditioner.conjugate_gradients import MEASURES, ConjugateGradients

from .bench import RESULTS, Cells, add_missing
from .graph_preconditioner import SEED
from .opponents import limit_threads

UNTRAINED, UNSEEN = "untrained", ("triangles_jumps", "elasticity", "grid3d")
SIZE, MATRICES, STEPS, BATCH, LR = 1000, 5, 12, 7, 7e-3

# Constructor and the smallest and the largest matrix in training; the incomplete factor trains with
# dense triangular solves.
NETWORKS: dict[str, tuple[Callable[[], Any], tuple[int, int]]] = {
    "GraphInverse": (lambda: GraphInverse(degree=0), (300, 1000)),
    "FactoredGraphInverse": (lambda: FactoredGraphInverse(degree=0), (300, 1000)),
    "GraphIncompleteFactor": (GraphIncompleteFactor, (150, 300)),
}


def initial(name: str) -> Any:
    """The untrained network, with the same weights in each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[name][0]()


def train(model: nn.Module, systems: MatrixSystems, measure: str, seconds: float) -> int:
    """Train the model for processor seconds; returns the number of updates."""
    objective = ConjugateGradients(steps=STEPS, measure=measure)
    systems.set_epoch(0)
    objective(copy.deepcopy(model), systems.__getitems__(range(BATCH))).backward()  # compiles loops
    optimizer = torch.optim.AdamW(model.parameters(), LR)
    start, epoch = time.process_time(), 0
    while (spent := (time.process_time() - start) / seconds) < 1:
        epoch += 1  # one batch each
        systems.set_epoch(epoch)
        optimizer.param_groups[0]["lr"] = LR * (1 - spent)
        optimizer.zero_grad()
        objective(model, systems.__getitems__(range(BATCH))).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
    return epoch


def iterations(network: Any, kind: str) -> float:
    """Mean iterations of CG over the unseen matrices of a kind."""
    counts = []
    for seed in range(MATRICES):
        random = np.random.default_rng((SEED, SIZE, seed))
        A = Matrix(KINDS[kind](SIZE, random), symmetric=True, positive_definite=True)
        b = torch.from_numpy(random.standard_normal(A.shape[0]))
        result = cg(A, b, M=network.on(A), rtol=1e-8, max_iterations=5000)
        if not result.converged:
            raise RuntimeError(f"CG did not converge on {kind} number {seed}: {result.reason}")
        counts.append(result.iterations)
    return statistics.mean(counts)


def measured(name: str, measure: str, seconds: float) -> list[Cells]:
    """A row for each kind of unseen matrices."""
    model = initial(name)
    systems = MatrixSystems(sizes=NETWORKS[name][1], num_samples=BATCH)
    updates = 0 if measure == UNTRAINED else train(model, systems, measure, seconds)
    return [
        {"updates": updates, "kind": kind, "iterations": f"{iterations(model.eval(), kind):.1f}"}
        for kind in UNSEEN
    ]


def cases(
    names: Sequence[str], losses: Sequence[str], seconds: float
) -> Iterator[tuple[Mapping[str, str], Callable[[], list[Cells]]]]:
    """Each network with each loss, for `add_missing`."""
    for name in names:
        for measure in (UNTRAINED, *losses):
            spent = 0.0 if measure == UNTRAINED else seconds
            key = {"network": name, "loss": measure, "seconds": f"{spent:.0f}"}
            yield key, partial(measured, name, measure, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_losses")
    parser.add_argument("--networks", nargs="*", choices=[*NETWORKS], default=[*NETWORKS])
    parser.add_argument("--losses", nargs="*", choices=[*MEASURES], default=[*MEASURES])
    parser.add_argument("--seconds", type=float, default=30, help="of one training")
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    limit_threads(1)
    add_missing(a.out / "graph_losses.csv", cases(a.networks, a.losses, a.seconds))


if __name__ == "__main__":
    main()
