"""Classical preconditioners by name, as `pdeops solve --preconditioner` takes them."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from ..linop import LinearOperator
from .krylov.diagonal import Diagonal
from .krylov.incomplete_cholesky import IncompleteCholesky
from .krylov.sor import SSOR
from .multigrid.amg import RugeStueben, SmoothedAggregation
from .multigrid.ghosts import GhostElimination
from .multigrid.multigrid import Multigrid
from .operators.recognise import Structure


def default_preconditioner(found: Structure) -> str:
    """The name of the best classical preconditioner for a matrix of this structure."""
    if found.operator is None:
        return "ic0"
    assert found.ghosts is not None
    return "elimination" if found.ghosts.any() else "multigrid"


def multigrid(found: Structure) -> LinearOperator:
    """A multigrid cycle in single precision, which takes as many iterations and is faster; in
    double precision where A is not definite in single (its coefficients jump too far)."""
    assert found.operator is not None
    with suppress(ValueError):
        return Multigrid(found.operator.to(torch.float32))
    return Multigrid(found.operator)


def algebraic(A: Any) -> LinearOperator:
    """Algebraic multigrid: Ruge-Stüben where no coupling is positive, else smoothed aggregation."""
    import scipy.sparse

    positive = scipy.sparse.tril(A.to_csr(), -1).max() > 0
    return SmoothedAggregation(A) if positive else RugeStueben(A)


# Name -> preconditioner of the structure that `recognise` found, for stencils on a grid.
FOR_STENCILS: dict[str, Callable[[Structure], LinearOperator]] = {
    "multigrid": multigrid,
    "elimination": GhostElimination,
}
# Name -> preconditioner of any symmetric positive definite A; None is no preconditioner.
CLASSICAL: dict[str, Callable[[Any], LinearOperator | None]] = {
    "amg": algebraic,
    "ic0": IncompleteCholesky,
    "ssor": lambda A: SSOR(A, omega=1.5),
    "jacobi": Diagonal,
    "none": lambda A: None,
}
