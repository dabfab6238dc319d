"""python -m benchmarks.factor_ceiling: the best sparse factors on the pattern of A, optimised.

For one matrix of about 250 unknowns of each kind, the entries of G on a pattern are optimised
(Adam, the exact condition number κ of Gᵀ Â G by dense eigenvalues): the diagonal; the triangle in
the order of `GraphInverse`; the whole pattern, symmetric. A network on that pattern can hardly do
better. `steps` is √κ relative to Jacobi's (G = I), and `products` this times the products with A in
one application of Gᵀ Â G: 1, 2 and 3. The classical factor (`fsai`) has the pattern of the
triangle.

Writes results/factor_ceiling.csv; kinds in that file are not measured again.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pdeops.datasets.systems.matrices import KINDS
from pdeops.solvers import Matrix
from pdeops.solvers.krylov.approximate_inverse import UnitDiagonal

from .bench import RESULTS, Cells, add_missing
from .graph_preconditioner import SEED
from .opponents import limit_threads

SIZE, STEPS = 250, 250
PRODUCTS = {"jacobi": 1, "diagonal": 1, "fsai": 2, "triangle": 2, "symmetric": 3}


def log_condition(B: Tensor) -> Tensor:
    """log κ of a symmetric positive definite matrix."""
    values = torch.linalg.eigvalsh(B)
    return values[-1].log() - values[0].log()


def optimised(start: Tensor, factor: Callable[[Tensor], Tensor], A: Tensor, lr: float) -> float:
    """The least log κ of Gᵀ A G for G = factor(x), x from `start`."""
    x, best = start.clone().requires_grad_(), float("inf")
    optimizer = torch.optim.Adam([x], lr=lr)
    for k in range(STEPS):
        optimizer.param_groups[0]["lr"] = lr * (1 - k / STEPS)
        optimizer.zero_grad()
        G = factor(x)
        loss = log_condition(G.T @ A @ G)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        best = min(best, loss.item())
    return best


def conditions(kind: str, size: int) -> dict[str, float]:
    """log κ of Gᵀ Â G for the factors of `PRODUCTS`."""
    csr = KINDS[kind](size, np.random.default_rng((SEED, size)))
    scaled = UnitDiagonal(Matrix(csr, symmetric=True, positive_definite=True))
    A = torch.from_numpy(scaled.csr().toarray())
    L = torch.from_numpy(scaled.triangle(scaled.classical()).toarray())
    pattern, triangle = A != 0, L != 0
    near = 1.5 * torch.eye(len(A)).double() - A / torch.linalg.eigvalsh(A)[-1]
    return {
        "jacobi": log_condition(A).item(),
        "diagonal": optimised(torch.zeros(len(A)).double(), lambda x: x.exp().diag(), A, 0.03),
        "fsai": log_condition(L @ A @ L.T).item(),
        "triangle": optimised(L, lambda x: (x * triangle).T, A, 0.01),
        "symmetric": optimised(near, lambda x: (x + x.T) / 2 * pattern, A, 0.01),
    }


def measured(kind: str) -> list[Cells]:
    """A row for each factor."""
    found, rows = conditions(kind, SIZE), list[Cells]()
    for name, value in found.items():
        steps = float(np.exp((value - found["jacobi"]) / 2))
        cost = f"{steps * PRODUCTS[name]:.2f}"
        rows.append({"factor": name, "steps": f"{steps:.2f}", "products": cost})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.factor_ceiling")
    parser.add_argument("--kinds", nargs="*", choices=[*KINDS], metavar="KIND", default=[*KINDS])
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    limit_threads(1)
    cases = [({"kind": kind}, partial(measured, kind)) for kind in a.kinds]
    add_missing(a.out / "factor_ceiling.csv", cases)


if __name__ == "__main__":
    main()
