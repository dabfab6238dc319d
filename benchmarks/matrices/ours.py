"""Our default solver, from a matrix in memory to x, in the two phases of an opponent."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..opponents import MAX_ITERATIONS, Given, Solve


def load() -> Callable[[Given], Solve]:
    """Import what a solve needs; the time of imports is no part of a solve."""
    from pdeops.cli.solve import as_matrix
    from pdeops.solvers import cg, recognise
    from pdeops.solvers.preconditioners import CLASSICAL, FOR_STENCILS, default_preconditioner

    def set_up(given: Given) -> Solve:
        """The solver that `pdeops solve` takes without options.

        Raises:
            ValueError: A is not symmetric.
        """
        import torch

        found = recognise(given.A)
        A: Any = found.operator or as_matrix(given.A)
        name = default_preconditioner(found)
        M = FOR_STENCILS[name](found) if found.operator else CLASSICAL[name](A)

        def solve(b: np.ndarray) -> tuple[np.ndarray, int]:
            columns = torch.from_numpy(np.ascontiguousarray(b.T))
            fields = columns.reshape(*b.shape[1:], *A.grid.shape)
            result = cg(A, fields, M=M, rtol=given.rtol, max_iterations=MAX_ITERATIONS)
            return result.x.reshape(columns.shape).numpy().T, result.iterations

        return solve

    return set_up
