"""Our default solver, from a matrix in memory to x, in the two phases of an opponent."""

import importlib
from typing import Any

import numpy as np

from ..opponents import Found, Given, Solve


def set_up(given: Given) -> Solve:
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


IMPORTS = ("pdeops.solvers.choice.solve",)


def load() -> None:
    """Import what a solve needs: imports are no part of its time."""
    for name in IMPORTS:
        importlib.import_module(name)
