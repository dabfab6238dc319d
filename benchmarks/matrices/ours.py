"""Our default solver, from a matrix in memory to x, in the two phases of an opponent."""

from typing import Any

import numpy as np

from ..opponents import MAX_ITERATIONS, Found, Given, Solve


def set_up(given: Given) -> Solve:
    """The solver that `pdeops solve` takes without options.

    Raises:
        ValueError: A is not symmetric.
    """
    import torch

    from pdeops.cli.solve import as_matrix
    from pdeops.solvers import cg, recognise
    from pdeops.solvers.preconditioners import CLASSICAL, FOR_STENCILS, default_preconditioner

    found = recognise(given.A)
    A: Any = found.operator or as_matrix(given.A)
    name = default_preconditioner(found)
    M = FOR_STENCILS[name](found) if found.operator else CLASSICAL[name](A)

    def solve(b: np.ndarray) -> Found:
        columns = torch.from_numpy(np.ascontiguousarray(b.T))
        fields = columns.reshape(*b.shape[1:], *A.grid.shape)
        result = cg(A, fields, M=M, rtol=given.rtol, max_iterations=MAX_ITERATIONS)
        return Found(result.x.reshape(columns.shape).numpy().T, result.iterations, name)

    return solve


def load() -> None:
    """Import what a solve needs: imports are no part of its time."""
    import pdeops.cli.solve
    import pdeops.solvers.preconditioners  # noqa: F401
