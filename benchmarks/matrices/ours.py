"""Our default solver, from a matrix in memory to x, in the two phases of an opponent."""

import importlib
from typing import Any

import numpy as np

from ..opponents import MAX_ITERATIONS, Found, Given, Solve


def by_parts(given: Given) -> Solve:
    """Recognition, the default preconditioner and conjugate gradients.

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


def by_default(given: Given) -> Solve:
    """`pdeops.solve` as a user calls it, with what is known of the matrix: one call for set-up and
    solution, whose share of set-up it reports itself.

    Raises:
        ValueError: A is not symmetric.
    """
    pdeops: Any = importlib.import_module("pdeops")
    known: dict[str, Any] = {}
    if given.components > 1:
        known = {"near_nullspace": given.near_null_space}

    def solve(b: np.ndarray) -> Found:
        result = pdeops.solve(given.A, b, rtol=given.rtol, **known)
        seconds = result.setup_seconds + result.solve_seconds
        share = result.setup_seconds / seconds if seconds else 0.0
        return Found(result.x.numpy(), result.iterations, result.method, share)

    return solve


set_up = by_parts
IMPORTS = ("pdeops.cli.solve", "pdeops.solvers.preconditioners")


def load() -> None:
    """Import what a solve needs: imports are no part of its time."""
    for name in IMPORTS:
        importlib.import_module(name)
