"""Classical preconditioners by name, as `pdeops solve --method` takes them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from ..linop import LinearOperator
from .krylov.approximate_inverse import ApproximateInverse, FactoredApproximateInverse
from .krylov.diagonal import Diagonal
from .krylov.incomplete_cholesky import IncompleteCholesky
from .krylov.sor import SSOR
from .multigrid.algebraic import AlgebraicMultigrid
from .multigrid.ghosts import GhostElimination
from .multigrid.multigrid import Multigrid
from .operators.recognise import Structure
from .operators.stencil import Stencil


def multigrid(found: Structure) -> LinearOperator:
    """A multigrid cycle in single precision, which takes as many iterations and is faster; in
    double precision where A is not definite in single (its coefficients jump too far)."""
    A: Any = found.on_grid
    if isinstance(A, Stencil) and not A.positive_definite:  # as conjugate gradients assume
        A = Stencil(A.diagonal(), A.couplings, A.grid, positive_definite=True)
    with suppress(ValueError):
        return Multigrid(A.to(torch.float32))
    return Multigrid(A)


# Name -> preconditioner of the structure that `recognise` found, for stencils on a grid.
FOR_STENCILS: dict[str, Callable[[Structure], LinearOperator]] = {
    "multigrid": multigrid,
    "elimination": GhostElimination,
}
# Name -> preconditioner of any symmetric positive definite A; None is no preconditioner.
CLASSICAL: dict[str, Callable[[Any], LinearOperator | None]] = {
    "amg": AlgebraicMultigrid,
    "ic0": IncompleteCholesky,
    "ssor": lambda A: SSOR(A, omega=1.5),
    "jacobi": Diagonal,
    "chebyshev": lambda A: ApproximateInverse(A, degree=8),
    "fsai": lambda A: FactoredApproximateInverse(A, degree=4),
    "none": lambda A: None,
}
